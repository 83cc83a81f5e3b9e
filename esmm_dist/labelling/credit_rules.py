"""What a file's clicks and conversions are credited by.

It decides nothing; samples/label_rules takes it from the config.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class CreditRules:
    """Lengths in microseconds, ends included."""

    click_window: int
    conversion_window: int
    repeat_span: int = 0
    """How long after one of the day before an impression of equal id is the same."""
    max_skew: int = 0
    """How long before its cause an event counts as if it lay at it."""
    implies_click: bool = False
    """Whether a conversion of an impression without a click that counts stands for one."""
    has_value: bool = False
    """Whether conversions are worth something."""
    has_bursts: bool = False
    """Whether the last click of a burst says when the first was."""
    names_click: bool = False
    """Whether a conversion says which click it is of; else any of its impression's will do."""
