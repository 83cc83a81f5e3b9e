"""From a YAML file and overrides to a checked config; every mistake is one line.

It does not look at data and knows no section by name: `sections` says what is allowed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from esmm_dist.contract import yaml_core
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.mistakes import one_line
from esmm_dist.contract.sections import Config
from esmm_dist.storage.address import path_of, reason_of

DEFAULT_CONFIG_PATH = "conf/kuairand.yaml"


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
    document = _read(path_of(path))
    for override in overrides:
        _override(document, override)
    flags = "".join(f" --set {override}" for override in overrides)
    return parse_config(document, source=f"{path}{flags}")


def parse_config(document: dict[str, Any], source: str) -> Config:
    """Checks a config that is already a mapping; `source` names it in errors.

    The mapping is checked as JSON, strictly: true is not taken for 1, nor a text for a number.
    """
    try:
        return Config.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        raise InputError(f"{source}: {one_line(error, document, Config)}") from None


def dump_config(config: Config) -> str:
    """A config with all its defaults, as YAML that load_config reads back to the same."""
    return yaml_core.dump(config.model_dump(mode="json"))


def flat(node: Any, key: str = "") -> dict[str, Any]:
    """The values of a document by dotted key, as --set names them."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return {key: node}
    prefix = f"{key}." if key else ""
    children = node.items()
    return {k: v for name, child in children for k, v in flat(child, f"{prefix}{name}").items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml_core.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}: give an existing file to --config") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: no text in UTF-8: give a YAML file to --config") from None
    except yaml_core.YAMLError as error:
        line, reason = yaml_core.place_and_reason(error)
        raise InputError(f"{path}:{line}: no valid YAML: {reason}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected a mapping of sections such as logs, samples, train")
    return _plain(document)


def _plain(node: Any) -> Any:
    """A copy whose keys are texts and in which nothing is shared: an override of one section must
    not reach another one that a YAML alias made the same."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    return [_plain(item) for item in node] if isinstance(node, list) else node


def _override(document: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"--set {override}: write it as section.key=value")
    if not text.strip():
        raise InputError(f"--set {override}: no value: write null for none, '' for an empty text")
    try:
        value = yaml_core.load(text)
    except yaml_core.YAMLError:
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
    if name.isdecimal() and int(name) < len(items):
        return int(name)
    raise InputError(f"--set {override}: the list has no element {name!r}")
