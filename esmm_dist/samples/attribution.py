"""Which impression an event belongs to, and which click a conversion, where the log does not say.

Frames in, frames out; nothing is counted and no row is lost. A log that carries impression_id
passes as it is. docs/samples.md tells the rules as timelines.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from esmm_dist.contract.logs import Logs
from esmm_dist.labelling.wire import CLICK_TIME
from esmm_dist.samples.click_rules import CHOICE
from esmm_dist.samples.days import micros
from esmm_dist.samples.filing import DAY, REASON, UNTIMELY
from esmm_dist.samples.logs import (
    CLICK_ID,
    EVENT_TIME,
    FILED_DAY,
    IMPRESSION_DAY,
    IMPRESSION_ID,
    key_column,
)

AT = "at"
IS_EFFECT = "is_effect"
CAUSE = "cause"
APART = "apart"


def clicks_of_impressions(
    clicks: DataFrame, impressions: DataFrame, days: Sequence[date], logs: Logs, window: timedelta,
    max_skew: timedelta,
) -> DataFrame:
    """Filed clicks with the impression_id, and its day, that each belongs to, null where there is
    none.

    Args:
        clicks: with `reason`; those that have one take no part.
        impressions: as `filing.own_impressions` gives them, of the days and of those before them.
        days: those of impressions that may have been clicked.
        window: how long after its impression a click counts.
        max_skew: how long before its impression it still counts.
    """
    if logs.clicks.attribute_by == "impression_id":
        return clicks
    keys = [key_column(name) for name in logs.clicks.keys]
    # Of the rows of one id that which is kept: the earliest, and of several at that instant one
    # that has its keys, by the least of them.
    is_keyless = (~_none_is_null(keys)).alias("is_keyless")
    of_id = Window.partitionBy(IMPRESSION_ID).orderBy(DAY)
    since = F.unix_micros(f"kept.{EVENT_TIME}") - F.lag(F.unix_micros("last")).over(of_id)
    span = micros(timedelta(seconds=logs.impressions.repeat_seconds))
    shown = (
        impressions.groupBy(DAY, IMPRESSION_ID)
        .agg(F.min(F.struct(EVENT_TIME, is_keyless, *keys)).alias("kept"),
             F.max(EVENT_TIME).alias("last"))
        .withColumn("is_again", F.coalesce(since <= span, F.lit(False)))
        .where(F.col(DAY).isin(list(days)) & ~F.col("is_again") & ~F.col("kept.is_keyless"))
        .select(
            F.col(DAY).alias(IMPRESSION_DAY), IMPRESSION_ID,
            F.col(f"kept.{EVENT_TIME}"), *[F.col(f"kept.{k}") for k in keys],
        )
    )
    found = with_cause(
        clicks, shown, keys, F.struct(EVENT_TIME, IMPRESSION_ID, IMPRESSION_DAY),
        is_first=logs.clicks.credit == "first_impression", window=window, max_skew=max_skew,
    )
    return found.select(*clicks.columns, *_of_cause(IMPRESSION_ID, IMPRESSION_DAY))


def conversions_by_keys(
    conversions: DataFrame, clicks: DataFrame, logs: Logs, window: timedelta, max_skew: timedelta
) -> DataFrame:
    """Filed conversions with the impression_id and the time of the click of equal keys that gets
    the credit, null where there is none.

    Args:
        conversions: with `reason`; those that have one take no part.
        clicks: those that may get the credit, with `reason` and the impression_id of each.
        window: how long after its click a conversion counts.
        max_skew: how long before its click it still counts.
    """
    keys = [key_column(name) for name in logs.conversions.keys]
    made = clicks.where(F.col(REASON).isNull() & ~F.col(UNTIMELY) & _none_is_null(keys))
    # An impression_id that the clicks log carries says no day.
    told = [name for name in (IMPRESSION_ID, IMPRESSION_DAY) if name in clicks.columns]
    # By what clicks say of themselves: an impression that was found for one need not be found where
    # other days are built.
    own = [key_column(name) for name in logs.clicks.keys if name not in logs.conversions.keys]
    found = with_cause(
        conversions, made, keys, F.struct(EVENT_TIME, *own, *told, _named(clicks)),
        is_first=logs.conversions.credit == "first_click", window=window, max_skew=max_skew,
    )
    return found.select(*conversions.columns, *_of_cause(*told, CLICK_TIME))


def conversions_by_click_id(conversions: DataFrame, clicks: DataFrame) -> DataFrame:
    """The conversions that a day sees with the impression_id and the time of their click.

    Of several clicks of one id that the day sees the earliest is meant, of those at one instant the
    one of the least impression. A namesake goes by the time of its burst, after a click of that
    instant that was made.

    Args:
        conversions: with `day`.
        clicks: those that a day sees, with `day`, those that take no part left out.
    """
    place = [F.unix_micros(EVENT_TIME)]
    if CHOICE in clicks.columns:
        burst = F.when(F.col(CHOICE) > 0, F.col(CLICK_TIME))
        place = [F.coalesce(burst, *place), F.col(CHOICE)]
    named = (
        clicks.where(F.col(CLICK_ID).isNotNull())
        .groupBy(DAY, CLICK_ID)
        .agg(F.min(F.struct(*place, IMPRESSION_ID, _named(clicks))).alias(CAUSE))
    )
    return conversions.join(named, [DAY, CLICK_ID], how="left").select(
        *conversions.columns, *_of_cause(IMPRESSION_ID, CLICK_TIME)
    )


def with_cause(
    effects: DataFrame, causes: DataFrame, keys: Sequence[str], cause: Column, is_first: bool,
    window: timedelta, max_skew: timedelta,
) -> DataFrame:
    """Effects with the last, or the first, cause of equal keys in whose window they lie, else null.

    One sort of both by keys and time, in which each effect looks back to the cause nearest before
    its place: the last cause is looked for from the effect's time (and the skew) backwards, the
    first one from the beginning of the window forwards, which is backwards where time runs
    backwards. No pair is formed, so a hot key costs a sort of its rows and no more.

    Args:
        effects: with `reason`; those that have one get no cause.
        cause: a struct (event_time, …) of a cause, by which ties are broken: of two at one instant
            the greater is the later.

    Returns:
        The columns of `effects` and the struct `cause`.
    """
    place = F.unix_micros(EVENT_TIME)
    offset = -micros(window) if is_first else micros(max_skew)
    # What takes no part is spread over the tasks, null keys above all.
    apart = F.when(F.col(REASON).isNotNull(), F.xxhash64(EVENT_TIME, FILED_DAY, *keys))
    looking = effects.withColumns({
        APART: apart, AT: place + offset, IS_EFFECT: F.lit(True), CAUSE: F.lit(None),
    })
    sought = causes.select(
        *keys, F.lit(None).cast("bigint").alias(APART), place.alias(AT),
        F.lit(False).alias(IS_EFFECT), cause.alias(CAUSE),
    )
    direction = F.desc if is_first else F.asc
    order = [direction(AT), F.asc(IS_EFFECT), direction(CAUSE)]
    back = Window.partitionBy(APART, *keys).orderBy(*order).rowsBetween(
        Window.unboundedPreceding, Window.currentRow
    )
    nearest = F.last(CAUSE, ignorenulls=True).over(back)
    delay = F.unix_micros(EVENT_TIME) - F.unix_micros(f"{CAUSE}.{EVENT_TIME}")
    is_inside = (delay >= -micros(max_skew)) & (delay <= micros(window))
    return (
        looking.unionByName(sought, allowMissingColumns=True)
        .withColumn(CAUSE, nearest)
        .where(IS_EFFECT)
        .select(*effects.columns, F.when(is_inside, F.col(CAUSE)).alias(CAUSE))
    )


def _named(clicks: DataFrame) -> Column:
    """The time by which a conversion names its click: all of a burst go by that of the first."""
    time = F.unix_micros(EVENT_TIME)
    if CLICK_TIME in clicks.columns:
        time = F.coalesce(F.col(CLICK_TIME), time)
    return time.alias(CLICK_TIME)


def _of_cause(*names: str) -> list[Column]:
    return [F.col(f"{CAUSE}.{name}").alias(name) for name in names]


def _none_is_null(columns: Sequence[str]) -> Column:
    holds = F.lit(True)
    for name in columns:
        holds = holds & F.col(name).isNotNull()
    return holds
