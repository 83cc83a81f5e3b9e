"""YAML as its 1.2 core schema reads it, without the surprises of 1.1, which PyYAML speaks.

1e-3 is a number; NO, 12:30 and 2022-04-24 are texts; 010 is ten; a key that stands twice is an
error. It knows nothing of what a document means.
"""

import re
from typing import Any

import yaml

YAMLError = yaml.YAMLError


def load(text: str) -> Any:
    """Reads one document of plain mappings, lists, texts, numbers and truth values.

    Raises:
        YAMLError: the text is no such document.
    """
    try:
        return yaml.load(text, _FastLoader)
    except YAMLError:
        return yaml.load(text, _Loader)  # tells better where it is wrong


def place_and_reason(error: YAMLError) -> tuple[int, str]:
    """The line, counted from 1, in which a document is wrong, and what is wrong with it."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return error.problem_mark.line + 1, error.problem or "not understood"
    return 1, str(error).partition("\n")[0]


def dump(document: Any) -> str:
    """Writes a document so that `load` reads it back to the same."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """Safe, and free of the types that PyYAML finds in plain texts."""


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same by libyaml, which reads eight times as fast; PyYAML may be there without it."""


class _Dumper(yaml.SafeDumper):
    """Quotes what _Loader would not read back as a text."""


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0 if text.startswith(("0o", "0x")) else 10)


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            mark = node.value[place][0].start_mark
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} twice", mark)
    return loader.construct_mapping(node, deep=True)


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    """All of a list at once: as PyYAML makes them, piece by piece, a list may hold itself."""
    return loader.construct_sequence(node, deep=True)


for _side in (_Loader, _FastLoader, _Dumper):
    _side.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers
                if not tag.endswith((":bool", ":float", ":int", ":timestamp"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:bool",
        re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
        list("tTfF"),
    )
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:int",
        re.compile(r"^[-+]?[0-9]+(?:_[0-9]+)*$|^0o[0-7]+$|^0x[0-9a-fA-F]+$"),
        list("-+0123456789"),
    )
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?$"
                   r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"),
        list("-+.0123456789"),
    )
for _loader in (_Loader, _FastLoader):
    _loader.add_constructor("tag:yaml.org,2002:int", _integer)
    _loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_repeats)
    _loader.add_constructor("tag:yaml.org,2002:seq", _sequence)
