"""Which clicks are no person's: those of bots, and the second half of a double click.

Decided before anything is joined, so that no hot key travels with its rows to one task. Both rules
look at the clicks filed under one day, so that no other day changes what they find.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from esmm_dist.contract.logs import ClickSource
from esmm_dist.samples.filing import REASON
from esmm_dist.samples.logs import (
    BOT_KEY,
    CLICK_ID,
    EVENT_TIME,
    FILED_DAY,
    IMPRESSION_ID,
    key_column,
)
from esmm_dist.samples.marks import Mark

MICROS_PER_SECOND = 1_000_000
INTERVAL = "interval"
IS_DOUBLE = "is_double"
STAYS = "stays"
IS_NAMESAKE = "is_namesake"


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
    """Filed clicks, those soon after another one of the same impression, or of the same keys,
    marked by their `reason`.

    Where clicks have ids, each of those marked gets a namesake: the click that stays, under the id
    of the one that goes, by which a conversion may name it.
    """
    if source.double_click_seconds is None:
        return clicks
    target = _target(source)
    # What takes no part already is spread over the tasks.
    apart = F.when(F.col(REASON).isNotNull(), F.xxhash64(EVENT_TIME, *target))
    others = [name for name in clicks.columns if name not in (EVENT_TIME, FILED_DAY, REASON)]
    by_time = Window.partitionBy(FILED_DAY, apart, *target).orderBy(EVENT_TIME, *others)
    before = F.lag(F.unix_micros(EVENT_TIME)).over(by_time)
    gap = int(source.double_click_seconds * MICROS_PER_SECOND)
    is_double = F.coalesce(F.unix_micros(EVENT_TIME) - before <= gap, F.lit(False))
    clicks = clicks.withColumn(IS_DOUBLE, F.col(REASON).isNull() & is_double)
    if CLICK_ID in clicks.columns:
        time = F.when(~F.col(IS_DOUBLE), F.col(EVENT_TIME))
        stays = F.last(time, ignorenulls=True).over(
            by_time.rowsBetween(Window.unboundedPreceding, Window.currentRow)
        )
        clicks = _with_namesakes(clicks.withColumn(STAYS, F.when(F.col(IS_DOUBLE), stays)))
    return _marked(clicks, F.col(IS_DOUBLE), Mark.CLICKS_DOUBLE).drop(IS_DOUBLE)


def _with_namesakes(clicks: DataFrame) -> DataFrame:
    once, twice = F.array(F.lit(False)), F.array(F.lit(False), F.lit(True))
    copies = F.when(F.col(STAYS).isNotNull(), twice).otherwise(once)
    is_namesake = F.col(IS_NAMESAKE)
    return clicks.withColumn(IS_NAMESAKE, F.explode(copies)).withColumns({
        EVENT_TIME: F.when(is_namesake, F.col(STAYS)).otherwise(F.col(EVENT_TIME)),
        IS_DOUBLE: F.col(IS_DOUBLE) & ~is_namesake,
    }).drop(STAYS)


def without_namesakes(clicks: DataFrame) -> DataFrame:
    """The clicks that were made, each under its own id."""
    if IS_NAMESAKE not in clicks.columns:
        return clicks
    return clicks.where(~F.col(IS_NAMESAKE)).drop(IS_NAMESAKE)


def _target(source: ClickSource) -> list[str]:
    """What tells where a click went, as far as its own row says it."""
    return [key_column(name) for name in source.keys] or [IMPRESSION_ID]


def _marked(clicks: DataFrame, holds: Column, mark: Mark) -> DataFrame:
    reason = F.when(F.col(REASON).isNull() & holds, F.lit(mark.value))
    return clicks.withColumn(REASON, F.coalesce(F.col(REASON), reason))
