"""Which rows of the logs each day sees, and which of them can take no part.

A row that can take no part stays, and its mark says why, so that every row can be accounted for.
Nothing is joined here, and no row is lost.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.labelling.marks import Mark
from esmm_dist.samples.days import ONE_DAY, Calendar
from esmm_dist.samples.logs import EVENT_TIME, FILED_DAY, IMPRESSION_DAY, IMPRESSION_ID, TYPE

DAY = "day"
MARK = "mark"
REASON = "reason"
UNTIMELY = "is_untimely"
"""Whether a click that counts was filed where some day that sees its conversions would not look."""


def filed(frame: DataFrame, days: Sequence[date], calendar: Calendar) -> DataFrame:
    """The rows filed under some days: by the partition if there is one, else by event_time."""
    if FILED_DAY in frame.columns:
        return frame.where(F.col(FILED_DAY).isin(list(days)))
    # The plain range is what Spark can push down to the files; days in between may be unwanted.
    first, last = F.lit(calendar.start(min(days))), F.lit(calendar.end(max(days)))
    in_range = (F.col(EVENT_TIME) >= first) & (F.col(EVENT_TIME) < last)
    return (
        frame.where(in_range)
        .withColumn(FILED_DAY, _day_of(F.col(EVENT_TIME), days, calendar))
        .where(F.col(FILED_DAY).isNotNull())
    )


def _day_of(time: Column, days: Sequence[date], calendar: Calendar) -> Column:
    """The day among `days` in which an instant falls, else null."""
    return F.coalesce(*[F.when(_falls_in(time, day, calendar), F.lit(day)) for day in days])


def _falls_in(time: Column, day: date, calendar: Calendar) -> Column:
    return (time >= F.lit(calendar.start(day))) & (time < F.lit(calendar.end(day)))


def own_impressions(
    impressions: DataFrame, days: Sequence[date], calendar: Calendar
) -> DataFrame:
    """The impressions filed under the days, each with its `day` and `mark`."""
    is_filed_right = F.coalesce(
        by_day(days, lambda day: _falls_in(F.col(EVENT_TIME), day, calendar)), F.lit(False)
    )
    mark = _first_that_holds({
        Mark.IMPRESSIONS_NULL_ID: F.col(IMPRESSION_ID).isNull(),
        Mark.IMPRESSIONS_NULL_TIME: F.col(EVENT_TIME).isNull(),
        Mark.IMPRESSIONS_MISFILED: ~is_filed_right,
    }, F.lit(Mark.IMPRESSION.value))
    others = [c for c in impressions.columns if c != FILED_DAY]
    return filed(impressions, days, calendar).select(
        *others, F.col(FILED_DAY).alias(DAY), mark.alias(MARK)
    )


def impressions_before(
    impressions: DataFrame, days: Sequence[date], calendar: Calendar, span: timedelta
) -> DataFrame:
    """The live impressions shown at most `span` before each of the days, with that day and `mark`.
    """
    before = own_impressions(impressions, [day - ONE_DAY for day in days], calendar)
    is_near = F.coalesce(*[
        F.when(F.col(DAY) == F.lit(day - ONE_DAY),
               F.col(EVENT_TIME) >= F.lit(calendar.start(day) - span))
        for day in days
    ])
    # The plain bound is what Spark can push down to the files.
    is_near &= F.col(EVENT_TIME) >= F.lit(calendar.start(min(days)) - span)
    return before.where(is_near & (F.col(MARK) == Mark.IMPRESSION.value)).select(
        IMPRESSION_ID, EVENT_TIME, F.date_add(DAY, 1).alias(DAY),
        F.lit(Mark.IMPRESSION_BEFORE.value).alias(MARK),
    )


def filed_clicks(
    clicks: DataFrame, needed: Sequence[str], first_day_of: Mapping[date, date], is_by_keys: bool,
    days: Sequence[date], calendar: Calendar,
) -> DataFrame:
    """The clicks filed under the days, with `reason`, the mark of those that can take no part, and
    `is_untimely`.

    Args:
        needed: the columns without which a click finds no impression.
        first_day_of: of each day the first one whose clicks are filed under it in time.
        is_by_keys: whether clicks are looked up by keys; then those out of time are misfiled.
    """
    is_timely = F.lit(True)
    if FILED_DAY in clicks.columns:
        is_timely = F.coalesce(by_day(days, lambda day: (
            F.col(EVENT_TIME) >= F.lit(calendar.start(first_day_of[day]))
        ) & (F.col(EVENT_TIME) < F.lit(calendar.end(day)))), F.lit(True))
    reasons = {
        Mark.CLICKS_NULL_ID: _any_is_null(needed),
        Mark.CLICKS_NULL_TIME: F.col(EVENT_TIME).isNull(),
    }
    if is_by_keys:
        reasons[Mark.CLICKS_MISFILED] = ~is_timely
    found = _with_reason(filed(clicks, days, calendar), reasons)
    return found.withColumn(UNTIMELY, F.col(REASON).isNull() & ~is_timely)


def filed_conversions(
    conversions: DataFrame, needed: Sequence[str], types: Sequence[str], is_by_keys: bool,
    days: Sequence[date], calendar: Calendar,
) -> DataFrame:
    """The conversions filed under the days, as for clicks; those of other types are dropped.

    Args:
        is_by_keys: whether they are looked up by keys; then none may be filed before its day.
    """
    is_of_type = F.col(TYPE).isin(list(types)) if types else F.lit(True)
    reasons = {
        Mark.CONVERSIONS_OTHER_TYPE: ~F.coalesce(is_of_type, F.lit(False)),
        Mark.CONVERSIONS_NULL_ID: _any_is_null(needed),
        Mark.CONVERSIONS_NULL_TIME: F.col(EVENT_TIME).isNull(),
    }
    if is_by_keys and FILED_DAY in conversions.columns:
        reasons[Mark.CONVERSIONS_MISFILED] = ~by_day(
            days, lambda day: F.col(EVENT_TIME) < F.lit(calendar.end(day))
        )
    return _with_reason(filed(conversions, days, calendar), reasons)


def clicks_seen(clicks: DataFrame, days_seen: Mapping[date, Sequence[date]]) -> DataFrame:
    """The filed clicks that each day sees.

    Args:
        days_seen: of each day that is built the days whose clicks it sees, its own among them.

    Returns:
        A row for each click and day that sees it, with `day` and `mark`. Those that can take no
        part are seen by their own day alone.
    """
    return _seen(clicks, days_seen, (Mark.CLICK, Mark.CLICK_ELSEWHERE))


def conversions_seen(
    conversions: DataFrame, days_seen: Mapping[date, Sequence[date]]
) -> DataFrame:
    """The filed conversions that each day sees, as for clicks."""
    return _seen(conversions, days_seen, (Mark.CONVERSION, Mark.CONVERSION_ELSEWHERE))


def _seen(
    events: DataFrame, days_seen: Mapping[date, Sequence[date]], live: tuple[Mark, Mark]
) -> DataFrame:
    seen_by: dict[date, list[date]] = {}
    for day, filed_days in days_seen.items():
        for filed_day in filed_days:
            seen_by.setdefault(filed_day, []).append(day)
    observers = by_day(list(seen_by), lambda day: F.array(*[F.lit(d) for d in seen_by[day]]))
    own, elsewhere = (F.lit(mark.value) for mark in live)
    if IMPRESSION_DAY in events.columns:
        # Another day's impression may bear the same id.
        is_own = F.col(IMPRESSION_DAY) == F.col(DAY)
        columns = [F.when(is_own, F.col(IMPRESSION_ID)).alias(IMPRESSION_ID)]
    else:
        columns = [F.col(IMPRESSION_ID)] if IMPRESSION_ID in events.columns else []
    told = (IMPRESSION_ID, IMPRESSION_DAY, FILED_DAY, REASON)
    columns += [F.col(c) for c in events.columns if c not in told]
    return (
        events.select(*events.columns, F.explode(observers).alias(DAY))
        .where(F.col(REASON).isNull() | (F.col(DAY) == F.col(FILED_DAY)))
        .select(
            *columns,
            DAY,
            F.coalesce(
                F.col(REASON), F.when(F.col(DAY) == F.col(FILED_DAY), own).otherwise(elsewhere)
            ).alias(MARK),
        )
    )


def _with_reason(events: DataFrame, reasons: Mapping[Mark, Column]) -> DataFrame:
    return events.withColumn(REASON, _first_that_holds(reasons, F.lit(None).cast("int")))


def _any_is_null(columns: Sequence[str]) -> Column:
    is_null = F.lit(False)
    for name in columns:
        is_null = is_null | F.col(name).isNull()
    return is_null


def by_day(days: Sequence[date], value: Callable[[date], Column]) -> Column:
    """What belongs to the day a row is filed under, null of other days."""
    return F.coalesce(*[F.when(F.col(FILED_DAY) == F.lit(day), value(day)) for day in days])


def _first_that_holds(reasons: Mapping[Mark, Column], otherwise: Column) -> Column:
    cases = [F.when(holds, F.lit(mark.value)) for mark, holds in reasons.items()]
    return F.coalesce(*cases, otherwise)
