"""What pydantic finds wrong with a config, told in one line to the one who wrote it.

It knows the models only by what pydantic tells of them.
"""

import difflib
import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def one_line(error: ValidationError, document: Any, model: type[BaseModel]) -> str:
    """The first mistake, and how many more there are; of a typo first the key that is too much."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    key = _key(first["loc"], document)
    match first["type"]:
        case "extra_forbidden":
            message = f"unknown key {key}{_nearest(first['loc'], model)}"
        case "missing":
            message = f"the key {key} is missing"
        case "union_tag_not_found":
            message = f"the key {key}.{_discriminator(first)} is missing"
        case "union_tag_invalid":
            known = ", ".join(re.findall(r"'(\w+)'", first["ctx"]["expected_tags"]))
            message = f"{key}.{_discriminator(first)} = {first['ctx']['tag']!r}: known are {known}"
        case _:
            reason = first["msg"].removeprefix("Value error, ")
            value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
            message = f"{key}{value}: {reason}" if key else reason
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{message}{more}"


def _discriminator(error: ErrorDetails) -> str:
    return error["ctx"]["discriminator"].strip("'")


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


def _nearest(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    known = sorted(_allowed_keys(model, location[:-1]))
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
