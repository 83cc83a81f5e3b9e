"""Which clicks are no person's: those of bots, and the second half of a double click.

Decided before anything is joined, so that no hot key travels with its rows to one task. Both rules
look at the clicks filed under one day, so that no other day changes what they find.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from esmm_dist.contract.logs import Bots, ClickSource
from esmm_dist.samples.filing import REASON
from esmm_dist.samples.logs import BOT_KEY, EVENT_TIME, FILED_DAY, IMPRESSION_ID, key_column
from esmm_dist.samples.marks import Mark

MICROS_PER_SECOND = 1_000_000
INTERVAL = "interval"


def without_bots(clicks: DataFrame, bots: Bots | None) -> DataFrame:
    """Filed clicks, those of a key that clicked too often in an interval marked by their `reason`.

    Intervals follow one another from 1970 on. The clicks are counted before they are looked up, so
    a key with millions of them comes to one row.
    """
    if bots is None:
        return clicks
    micros = F.unix_micros(EVENT_TIME)
    interval = F.floor(micros / (bots.interval_seconds * MICROS_PER_SECOND))
    clicks = clicks.withColumn(INTERVAL, interval)
    of_bot = [FILED_DAY, BOT_KEY, INTERVAL]
    too_many = (
        clicks.where(F.col(REASON).isNull() & F.col(BOT_KEY).isNotNull())
        .groupBy(*of_bot)
        .agg(F.count("*").alias("num_clicks"))
        .where(F.col("num_clicks") > bots.max_clicks)
    )
    found = clicks.join(too_many, of_bot, how="left")
    return _marked(found, F.col("num_clicks").isNotNull(), Mark.CLICKS_OF_BOTS).drop(
        INTERVAL, "num_clicks"
    )


def without_double_clicks(clicks: DataFrame, source: ClickSource) -> DataFrame:
    """Filed clicks, those soon after another one of the same impression, or of the same keys,
    marked by their `reason`."""
    if source.double_click_seconds is None:
        return clicks
    target = [key_column(name) for name in source.keys] or [IMPRESSION_ID]
    # What takes no part already is spread over the tasks.
    apart = F.when(F.col(REASON).isNotNull(), F.xxhash64(EVENT_TIME, *target))
    others = [name for name in clicks.columns if name not in (EVENT_TIME, FILED_DAY, REASON)]
    by_time = Window.partitionBy(FILED_DAY, apart, *target).orderBy(EVENT_TIME, *others)
    before = F.lag(F.unix_micros(EVENT_TIME)).over(by_time)
    gap = int(source.double_click_seconds * MICROS_PER_SECOND)
    return _marked(
        clicks.withColumn("is_double", F.unix_micros(EVENT_TIME) - before <= gap),
        F.col("is_double"), Mark.CLICKS_DOUBLE,
    ).drop("is_double")


def _marked(clicks: DataFrame, holds: Column, mark: Mark) -> DataFrame:
    reason = F.when(F.col(REASON).isNull() & F.coalesce(holds, F.lit(False)), F.lit(mark.value))
    return clicks.withColumn(REASON, F.coalesce(F.col(REASON), reason))
