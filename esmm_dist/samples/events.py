"""The clicks and conversions that days see, each with the impression it belongs to.

It only puts in order what other modules do: file the rows, drop what no person made, look for the
causes. Where logs carry impression_id nothing is looked for.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.logs import Logs
from esmm_dist.labelling.marks import DROPPED, Mark
from esmm_dist.samples.attribution import (
    clicks_of_impressions,
    conversions_by_click_id,
    conversions_by_keys,
)
from esmm_dist.samples.click_rules import (
    without_bots,
    without_double_clicks,
    without_lost_namesakes,
    without_namesakes,
)
from esmm_dist.samples.conversion_rules import without_repeats
from esmm_dist.samples.days import ONE_DAY, Calendar
from esmm_dist.samples.filing import (
    MARK,
    UNTIMELY,
    clicks_seen,
    conversions_seen,
    filed_clicks,
    filed_conversions,
    own_impressions,
)
from esmm_dist.samples.io import LogFrames
from esmm_dist.samples.logs import IMPRESSION_ID, key_column
from esmm_dist.samples.schedule import Windows, days_seen


def events_seen(
    frames: LogFrames, logs: Logs, windows: Windows, calendar: Calendar
) -> tuple[DataFrame, DataFrame]:
    """The clicks and the conversions that each day sees, with `day`, `mark` and impression_id; a
    conversion that is looked up by click_id or keys with click_time.

    Args:
        frames: canonical logs.
    """
    clicks = _clicks(frames, logs, windows, calendar)
    conversions = _conversions(frames, logs, windows, calendar)
    if logs.conversions.attribute_by == "keys":
        conversions = conversions_by_keys(
            conversions, clicks, logs, windows.conversion, windows.max_skew
        )
    converted = conversions_seen(conversions, windows.conversion_days)
    if logs.conversions.attribute_by == "click_id":
        bearers = clicks_seen(without_lost_namesakes(clicks), windows.click_days)
        named = bearers.where(F.col(MARK) < min(DROPPED))
        converted = conversions_by_click_id(converted, named)
    return clicks_seen(without_namesakes(clicks), windows.click_days), converted


def _clicks(frames: LogFrames, logs: Logs, windows: Windows, calendar: Calendar) -> DataFrame:
    """Filed clicks with their impressions, rivals of the days' clicks among them."""
    is_by_keys = logs.clicks.attribute_by == "keys"
    has_rivals = logs.conversions.attribute_by == "keys"
    days = days_seen(windows.click_days)
    if has_rivals:
        days = tuple(sorted({*days, *days_seen(windows.rival_click_days)}))
    clicks = filed_clicks(
        frames.clicks, _needed(logs.clicks.keys, IMPRESSION_ID),
        {day: calendar.first_day_reaching(day, windows.click_filing) for day in days}, is_by_keys,
        days, calendar,
    )
    if not has_rivals:
        clicks = clicks.drop(UNTIMELY)
    clicks = without_double_clicks(without_bots(clicks, logs.clicks), logs.clicks)
    if not is_by_keys:
        return clicks
    rival_days = days_seen(windows.rival_impression_days)
    # Those of the day before tell which of a day's own are the same.
    shown_days = sorted({*rival_days, *[day - ONE_DAY for day in rival_days]})
    shown = own_impressions(frames.impressions, shown_days, calendar)
    return clicks_of_impressions(
        clicks, shown.where(F.col(MARK) == Mark.IMPRESSION.value), rival_days, logs, windows.click,
        windows.max_skew,
    )


def _conversions(
    frames: LogFrames, logs: Logs, windows: Windows, calendar: Calendar
) -> DataFrame:
    source = logs.conversions
    found = filed_conversions(
        frames.conversions, _needed(source.keys, source.attribute_by), source.types,
        source.attribute_by == "keys", windows.conversion_days_read, calendar,
    )
    return without_repeats(found, windows.repeats_since)


def _needed(keys: Sequence[str], otherwise: str) -> list[str]:
    return [key_column(name) for name in keys] or [otherwise]
