"""From a YAML file and overrides to a checked config; every mistake is one line.

It does not look at data and knows no section by name: `sections` says what is allowed.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config

DEFAULT_CONFIG_PATH = "conf/kuairand.yaml"


class _Loader(yaml.SafeLoader):
    """YAML as its 1.2 core schema reads it: 1e-3 is a number, NO a text, a key twice an error."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.nan$"),
    list("-+.0123456789"),
)


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            mark = node.value[place][0].start_mark
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} twice", mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_repeats)


def load_config(
    path: str | Path = DEFAULT_CONFIG_PATH, overrides: Sequence[str] = ()
) -> Config:
    """Reads a config file.

    Args:
        path: the YAML file.
        overrides: `section.key=value` texts, applied in order; a value is read as YAML.

    Raises:
        InputError: names the file, the key, the value, and the nearest key that exists.
    """
    document = _read(Path(path))
    for override in overrides:
        _override(document, override)
    return parse_config(document, source=str(path))


def parse_config(document: dict[str, Any], source: str) -> Config:
    """Checks a config that is already a mapping; `source` names it in errors."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise InputError(_one_line(source, error, document)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: give an existing file to --config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        reason = getattr(error, "problem", None) or "not readable as text"
        raise InputError(f"{place}: no valid YAML: {reason}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected a mapping of sections such as logs, samples, train")
    return document


def _override(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"--set {override}: write it as section.key=value")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise InputError(f"--set {override}: the value is no valid YAML") from None
    *parents, last = key.split(".")
    node: Any = document
    for parent in parents:
        node = _child(node, parent, override)
    if isinstance(node, list):
        node[_index(node, last, override)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise InputError(f"--set {override}: {'.'.join(parents)} is a value, not a section")


def _child(node: Any, name: str, override: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, name, override)]
    if not isinstance(node, dict):
        raise InputError(f"--set {override}: there is no section above {name!r}")
    if node.get(name) is None:
        node[name] = {}
    return node[name]


def _index(items: list[Any], name: str, override: str) -> int:
    """A list's element is named by its number or, as features are, by its `name`."""
    named = [i for i, item in enumerate(items) if isinstance(item, dict)
             and item.get("name") == name]
    if named:
        return named[0]
    if name.isdigit() and int(name) < len(items):
        return int(name)
    raise InputError(f"--set {override}: the list has no element {name!r}")


def _one_line(source: str, error: ValidationError, document: dict[str, Any]) -> str:
    """The first mistake, and how many more there are."""
    errors = error.errors(include_url=False)
    first = errors[0]
    key = _key(first["loc"], document)
    if first["type"] == "extra_forbidden":
        message = f"{source}: unknown key {key}{_nearest(first['loc'], document)}"
    elif first["type"] == "missing":
        message = f"{source}: the key {key} is missing"
    else:
        reason = first["msg"].removeprefix("Value error, ")
        value = "" if isinstance(first["input"], (dict, BaseModel)) else f" = {first['input']!r}"
        message = f"{source}: {key}{value}: {reason}" if key else f"{source}: {reason}"
    more = len(errors) - 1
    return message + (f" (and {more} more)" if more else "")


def _key(location: tuple[int | str, ...], document: Any) -> str:
    """A pydantic location as the dotted key a user wrote: union tags are left out."""
    parts: list[str] = []
    node = document
    for place, step in enumerate(location):
        if isinstance(node, dict) and step not in node and place < len(location) - 1:
            continue  # the tag of a union's branch
        name = node[step].get("name") if isinstance(step, int) and isinstance(node, list) \
            and isinstance(node[step], dict) else None
        parts.append(str(name or step))
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            node = None
    return ".".join(parts)


def _nearest(location: tuple[int | str, ...], document: Any) -> str:
    known = sorted(_allowed_keys(Config, location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": known here are {', '.join(known)}"


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """The keys of every model that may stand at a location."""
    models = {model}
    for step in location:
        if isinstance(step, str) and any(step in m.model_fields for m in models):
            models = {inner for m in models if step in m.model_fields
                      for inner in _models_in(m.model_fields[step].annotation)}
        elif isinstance(step, str):  # a union's tag: a discriminator's value or a class name
            models = {m for m in models if _has_tag(m, step)} or models
    return {name for m in models for name in m.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for argument in get_args(annotation) for model in _models_in(argument)}


def _has_tag(model: type[BaseModel], tag: str) -> bool:
    kind = model.model_fields.get("kind")
    return model.__name__ == tag or (kind is not None and tag in get_args(kind.annotation))
