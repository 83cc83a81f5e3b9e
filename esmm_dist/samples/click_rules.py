"""Which clicks are no person's: those of bots, and all but the first of a double click.

Decided before anything is joined, so that no hot key travels with its rows to one task. Both rules
look at the clicks filed under one day, so that no other day changes what they find.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from esmm_dist.contract.logs import ClickSource
from esmm_dist.labelling.marks import Mark
from esmm_dist.labelling.wire import CLICK_TIME
from esmm_dist.samples.filing import REASON
from esmm_dist.samples.logs import (
    BOT_KEY,
    CLICK_ID,
    EVENT_TIME,
    FILED_DAY,
    IMPRESSION_ID,
    key_column,
)

MICROS_PER_SECOND = 1_000_000
INTERVAL = "interval"
FOLLOWS = "follows"
IS_FOLLOWED = "is_followed"
BEGIN = "begin"
END = "end"
IS_DOUBLE = "is_double"
CHOICE = "choice"
"""Of a namesake whether it is the first to go by, 1, or the second; 0 of a click that was made."""


def without_bots(clicks: DataFrame, source: ClickSource) -> DataFrame:
    """Filed clicks, those of a key that clicked too often in an interval marked by their `reason`.

    Intervals follow one another from 1970 on. The clicks, each once however often it was logged,
    are counted before they are looked up, so a key with millions of them comes to one row.
    """
    bots = source.bots
    if bots is None:
        return clicks
    micros = F.unix_micros(EVENT_TIME)
    interval = F.floor(micros / (bots.interval_seconds * MICROS_PER_SECOND))
    clicks = clicks.withColumn(INTERVAL, interval)
    of_bot = [FILED_DAY, BOT_KEY, INTERVAL]
    too_many = (
        clicks.where(F.col(REASON).isNull() & F.col(BOT_KEY).isNotNull())
        .groupBy(*of_bot)
        .agg(F.count_distinct(EVENT_TIME, *_target(source)).alias("num_clicks"))
        .where(F.col("num_clicks") > bots.max_clicks)
    )
    found = clicks.join(too_many, of_bot, how="left")
    return _marked(found, F.col("num_clicks").isNotNull(), Mark.CLICKS_OF_BOTS).drop(
        INTERVAL, "num_clicks"
    )


def without_double_clicks(clicks: DataFrame, source: ClickSource) -> DataFrame:
    """Filed clicks, those in the middle of a burst marked by their `reason`, and of its last one in
    `click_time` when the first was.

    In a burst of clicks on one impression, or of the same keys, each comes soon after the one
    before. Its first click may be of no impression, or of another one than its last: which of both
    counts is told once their impressions are known. Between them none is needed, so a key that
    clicks without end comes to two rows.

    Where clicks have ids, each of those marked gets namesakes, by which a conversion may name it:
    an end of its burst under its id, and where the ends may be of two impressions the other end
    too, for the case that the one finds none.
    """
    if source.double_click_seconds is None:
        return clicks
    target, time = _target(source), F.unix_micros(EVENT_TIME)
    # What takes no part already is spread over the tasks.
    apart = F.when(F.col(REASON).isNotNull(), F.xxhash64(EVENT_TIME, *target))
    others = [name for name in clicks.columns if name not in (EVENT_TIME, FILED_DAY, REASON)]
    by_time = Window.partitionBy(FILED_DAY, apart, *target).orderBy(EVENT_TIME, *others)
    gap = int(source.double_click_seconds * MICROS_PER_SECOND)
    follows = F.coalesce(time - F.lag(time).over(by_time) <= gap, F.lit(False))
    is_followed = F.coalesce(F.lead(time).over(by_time) - time <= gap, F.lit(False))
    clicks = clicks.withColumns({
        FOLLOWS: F.col(REASON).isNull() & follows, IS_FOLLOWED: is_followed,
    })
    so_far = by_time.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    begin = F.last(F.when(~F.col(FOLLOWS), time), ignorenulls=True).over(so_far)
    clicks = clicks.withColumn(BEGIN, begin)
    is_last = F.col(FOLLOWS) & ~F.col(IS_FOLLOWED) & (time > F.col(BEGIN))
    clicks = clicks.withColumns({
        CLICK_TIME: F.when(is_last, F.col(BEGIN)), IS_DOUBLE: F.col(FOLLOWS) & ~is_last,
    })
    if CLICK_ID in clicks.columns:
        # A frame that reaches ahead of each row would be gone through anew at each row.
        burst = Window.partitionBy(FILED_DAY, apart, *target, BEGIN)
        clicks = clicks.withColumn(END, F.max(time).over(burst))
        clicks = _with_namesakes(clicks, source).drop(END)
    return _marked(clicks, F.col(IS_DOUBLE), Mark.CLICKS_DOUBLE).drop(
        FOLLOWS, IS_FOLLOWED, BEGIN, IS_DOUBLE
    )


def _with_namesakes(clicks: DataFrame, source: ClickSource) -> DataFrame:
    # A day does not read all impressions before its own, or after them where the first one wins:
    # whether the end on that side finds one, it cannot tell for certain. Hence that end comes last.
    ends = (BEGIN, END) if source.credit == "first_impression" else (END, BEGIN)
    choices = F.array(*[F.lit(n) for n in range(3 if source.keys else 2)])
    copies = F.when(F.col(IS_DOUBLE), choices).otherwise(F.array(F.lit(0)))
    time = F.when(F.col(CHOICE) > 0, F.when(F.col(CHOICE) == 1, F.col(ends[0])).otherwise(
        F.col(ends[1])
    ))
    return clicks.withColumn(CHOICE, F.explode(copies)).withColumns({
        EVENT_TIME: F.coalesce(F.timestamp_micros(time), EVENT_TIME),
        CLICK_TIME: F.when(F.col(CHOICE) > 0, F.col(BEGIN)).otherwise(F.col(CLICK_TIME)),
        IS_DOUBLE: F.col(IS_DOUBLE) & (F.col(CHOICE) == 0),
    })


def without_namesakes(clicks: DataFrame) -> DataFrame:
    """The clicks that were made, each under its own id."""
    if CHOICE not in clicks.columns:
        return clicks
    return clicks.where(F.col(CHOICE) == 0).drop(CHOICE)


def without_lost_namesakes(clicks: DataFrame) -> DataFrame:
    """Clicks with their impressions, without the namesakes that found none."""
    if CHOICE not in clicks.columns:
        return clicks
    return clicks.where((F.col(CHOICE) == 0) | F.col(IMPRESSION_ID).isNotNull())


def _target(source: ClickSource) -> list[str]:
    """What tells where a click went, as far as its own row says it."""
    return [key_column(name) for name in source.keys] or [IMPRESSION_ID]


def _marked(clicks: DataFrame, holds: Column, mark: Mark) -> DataFrame:
    reason = F.when(F.col(REASON).isNull() & holds, F.lit(mark.value))
    return clicks.withColumn(REASON, F.coalesce(F.col(REASON), reason))
