"""Whether a feature's values are logged as texts or as numbers, and how another writing is read.

7 and "7" hash to other ids. Who writes a request may not know which of them the log has: in
JavaScript 64-bit integers do not fit a number, and tables of one null turn integers to floats. So a
value is brought to the form that the log has wherever there is one way to do so, and refused
elsewhere. The rules, for a value that is not null:
* logged as numbers: a text that is a whole number as one writes it (-12, not 012, +12 or 1.0) is
  that number; any other text is refused;
* logged as texts: a whole number (12, 12.0) is its decimal text; a fraction or a boolean is
  refused, for there are several texts of it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from esmm_dist.contract.encoder import Value, canonical

ValueKind = Literal["text", "number"]
"""number: booleans too, which count as 0 and 1."""

_WHOLE = re.compile(r"0|-?[1-9][0-9]*")


def as_logged(value: Value, kind: ValueKind | None) -> Value:
    """The value as a log of that kind holds it.

    Args:
        kind: None where nobody noted it: the value stays as it is.

    Raises:
        ValueError: no log of that kind holds it, or it could stand for several of its values.
    """
    plain = canonical(value)
    if kind is None or plain is None:
        return value
    if kind == "number":
        return _number(plain) if isinstance(plain, str) else value
    if isinstance(plain, str):
        return value
    if isinstance(value, bool) or isinstance(plain, float):
        raise ValueError(f"{value!r} stands for no text: the log has texts: write it as it does")
    return str(plain)


def _number(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"the text {text!r} is no whole number: the log has numbers")
    number = canonical(int(text))
    assert isinstance(number, int)
    return number


def agreed(kinds_of_days: Iterable[Mapping[str, ValueKind] | None]) -> dict[str, ValueKind]:
    """What days noted of the values of their features, where they do not contradict each other."""
    found: dict[str, set[ValueKind]] = {}
    for kinds in kinds_of_days:
        for name, kind in (kinds or {}).items():
            found.setdefault(name, set()).add(kind)
    return {name: kind for name, (kind, *others) in found.items() if not others}
