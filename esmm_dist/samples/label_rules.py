"""What the config says of labels and of what is left out, as the labelling of a file takes it.

It decides nothing.
"""

from datetime import date

from esmm_dist.contract.sections import Config
from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.thinning import Thinning
from esmm_dist.samples.days import Calendar, micros, micros_of_instant
from esmm_dist.samples.schedule import click_window, conversion_window, max_skew, repeat_span


def credit_rules(config: Config) -> CreditRules:
    """The rules by which clicks and conversions count."""
    conversions = config.logs.conversions
    return CreditRules(
        click_window=micros(click_window(config)),
        conversion_window=micros(conversion_window(config)),
        repeat_span=micros(repeat_span(config)),
        max_skew=micros(max_skew(config)),
        implies_click=conversions.without_click == "imply_click",
        has_value=conversions.value is not None,
        has_bursts=config.logs.clicks.double_click_seconds is not None,
        names_click=conversions.attribute_by != "impression_id",
    )


def thinning(config: Config) -> Thinning | None:
    """Which un-clicked samples are left out; None if every sample is kept."""
    samples = config.samples
    if samples.unclicked_rate == 1:
        return None
    calendar, days = Calendar.of(config.logs.day_timezone), samples.unclicked_days
    first, end = -(2**63), 2**63 - 1
    if days is not None:
        first, end = (
            micros_of_instant(instant)
            for instant in (calendar.start(days.first), calendar.end(days.last))
        )
    return Thinning(samples.unclicked_rate, first, end, samples.shuffle_seed)


def rate_of_day(day: date, config: Config) -> float:
    """The share of a day's un-clicked samples that the config keeps."""
    samples = config.samples
    days = samples.unclicked_days
    is_meant = days is None or days.first <= day <= days.last
    return samples.unclicked_rate if is_meant else 1.0
