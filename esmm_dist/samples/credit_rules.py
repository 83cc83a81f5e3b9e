"""What the config says of impressions, clicks and conversions, as the labelling of a file takes it.

It decides nothing.
"""

from dataclasses import dataclass

from esmm_dist.contract.sections import Config
from esmm_dist.samples.days import micros
from esmm_dist.samples.schedule import click_window, conversion_window, max_skew, repeat_span


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

    @classmethod
    def of(cls, config: Config) -> "CreditRules":
        """The rules that a config declares."""
        conversions = config.logs.conversions
        return cls(
            click_window=micros(click_window(config)),
            conversion_window=micros(conversion_window(config)),
            repeat_span=micros(repeat_span(config)),
            max_skew=micros(max_skew(config)),
            implies_click=conversions.without_click == "imply_click",
            has_value=conversions.value is not None,
            has_bursts=config.logs.clicks.double_click_seconds is not None,
            names_click=conversions.attribute_by != "impression_id",
        )
