"""Which rows of the logs each day sees, and which of them can take no part.

A row that can take no part stays, and says why in `dropped`: the name of the counter that counts
it. Nothing is joined and no row is lost here, so that every row can be accounted for.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.samples.days import Calendar, span
from esmm_dist.samples.logs import EVENT_TIME, FILED_DAY, IMPRESSION_ID, TYPE

DAY = "day"
DROPPED = "dropped"
CONTENT = "content"
LATER = "later"


def filed(frame: DataFrame, days: Sequence[date], calendar: Calendar) -> DataFrame:
    """The rows filed under some days: by the partition if there is one, else by event_time."""
    if FILED_DAY in frame.columns:
        return frame.where(F.col(FILED_DAY).isin(list(days)))
    # The plain range is what Spark can push down to the files; days in between may be unwanted.
    first, last = F.lit(calendar.start(min(days))), F.lit(calendar.end(max(days)))
    in_range = (F.col(EVENT_TIME) >= first) & (F.col(EVENT_TIME) < last)
    day = day_of(F.col(EVENT_TIME), days, calendar)
    return (
        frame.where(in_range)
        .withColumn(FILED_DAY, day)
        .where(F.col(FILED_DAY).isNotNull())
    )


def day_of(time: Column, days: Sequence[date], calendar: Calendar) -> Column:
    """The day among `days` in which an instant falls, else null."""
    cases = [
        F.when((time >= F.lit(calendar.start(day))) & (time < F.lit(calendar.end(day))), F.lit(day))
        for day in days
    ]
    return F.coalesce(*cases)


def own_impressions(
    impressions: DataFrame, days: Sequence[date], calendar: Calendar
) -> DataFrame:
    """The impressions filed under the days, with `content` and the reason to drop a row, if any."""
    day_of_time = day_of(F.col(EVENT_TIME), days, calendar)
    misfiled = ~day_of_time.eqNullSafe(F.col(FILED_DAY))
    others = [c for c in impressions.columns if c not in (IMPRESSION_ID, EVENT_TIME, FILED_DAY)]
    return filed(impressions, days, calendar).select(
        F.col(FILED_DAY).alias(DAY),
        IMPRESSION_ID,
        EVENT_TIME,
        _content(impressions, [EVENT_TIME, *others]).alias(CONTENT),
        _reason("impressions", {"misfiled": misfiled}).alias(DROPPED),
        *others,
    )


def _content(frame: DataFrame, names: Sequence[str]) -> Column:
    """A hash of what a row says; the null flags keep (null, a) apart from (a, null)."""
    parts = [part for name in names for part in (F.col(name), F.col(name).isNull())]
    return F.xxhash64(*parts)


def _reason(log: str, others: Mapping[str, Column]) -> Column:
    """Why a row takes no part, the first of the reasons that holds; null if it does take part."""
    reasons = {"null_id": F.col(IMPRESSION_ID).isNull(), "null_time": F.col(EVENT_TIME).isNull()}
    holds = [
        F.when(condition, F.lit(f"{log}_{reason}"))
        for reason, condition in (reasons | dict(others)).items()
    ]
    return F.coalesce(*holds)


def own_clicks(clicks: DataFrame, day: date, last_day: date, calendar: Calendar) -> DataFrame:
    """The clicks that a day sees: those filed under it, and the later ones up to `last_day`.

    Returns:
        The clicks; `later` says that one is filed under a later day. Those that can take no part
        are seen by their own day alone.
    """
    return _seen(clicks.withColumn(DROPPED, _reason("clicks", {})), day, last_day, calendar)


def own_conversions(
    conversions: DataFrame, types: Sequence[str], day: date, last_day: date, calendar: Calendar
) -> DataFrame:
    """The conversions that a day sees, as for clicks; those of other types are dropped."""
    is_of_type = F.col(TYPE).isin(list(types)) if types else F.lit(True)
    of_other_type = ~F.coalesce(is_of_type, F.lit(False))
    reason = F.coalesce(
        F.when(of_other_type, F.lit("conversions_other_type")), _reason("conversions", {})
    )
    return _seen(conversions.withColumn(DROPPED, reason), day, last_day, calendar)


def _seen(events: DataFrame, day: date, last_day: date, calendar: Calendar) -> DataFrame:
    is_later = F.col(FILED_DAY) > F.lit(day)
    columns = [c for c in events.columns if c != FILED_DAY]
    return (
        filed(events, span(day, last_day), calendar)
        .select(*columns, is_later.alias(LATER))
        .where(~F.col(LATER) | F.col(DROPPED).isNull())
    )
