"""The label join: what the clicks and conversions of an impression make of it.

Everything known about one impression id of one day stands in one group of rows, brought together
by one shuffle. It reads and writes nothing, and leaves the counting to `counters`: here each group
only learns how many of its rows met which fate. docs/samples.md tells the rules as timelines.
"""

from datetime import timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from esmm_dist.contract.schema import CLICK, CONVERSION
from esmm_dist.samples.filing import CONTENT, DROPPED, LATER
from esmm_dist.samples.layout import CASE
from esmm_dist.samples.logs import EVENT_TIME, TYPE

PLACE = "place"
PREVIOUS = "previous"
CLICKS = "clicks"
CONVERSIONS = "conversions"
CLICK_TIMES = "click_times"
VALID_CLICK_TIMES = "valid_click_times"
CONVERSION_KEYS = "conversion_keys"
CREDITED = "credited_conversions"
IS_SAMPLE = "is_sample"

_CLICK_EVENT = f"struct<{EVENT_TIME}:timestamp,{LATER}:boolean>"
_CONVERSION_EVENT = f"struct<{EVENT_TIME}:timestamp,{TYPE}:string,{LATER}:boolean>"
_NO_TIMES = "array<timestamp>"


def gather(impressions: DataFrame, clicks: DataFrame, conversions: DataFrame) -> DataFrame:
    """The rows of the three logs under each other, ready to be brought together.

    An event's time moves into a struct, so that `event_time` is an impression's alone.
    """
    is_live = F.col(DROPPED).isNull()
    click = F.when(is_live, F.struct(EVENT_TIME, LATER)).alias(CLICKS)
    conversion = F.when(is_live, F.struct(EVENT_TIME, TYPE, LATER)).alias(CONVERSIONS)
    keys = [*CASE, DROPPED]
    return (
        impressions.select(
            "*",
            F.lit(None).cast(_CLICK_EVENT).alias(CLICKS),
            F.lit(None).cast(_CONVERSION_EVENT).alias(CONVERSIONS),
        )
        .unionByName(clicks.select(*keys, click), allowMissingColumns=True)
        .unionByName(conversions.select(*keys, conversion), allowMissingColumns=True)
    )


def group(rows: DataFrame) -> DataFrame:
    """Gives each row its place in its case, and the events of the whole case.

    The first place is the impression's that counts: the earliest, and among equals the one with
    the least content hash, so that no order of rows or files can change it.
    """
    whole_case = Window.partitionBy(*CASE).rowsBetween(
        Window.unboundedPreceding, Window.unboundedFollowing
    )
    in_order = Window.partitionBy(*CASE).orderBy(F.col(EVENT_TIME).asc_nulls_last(), CONTENT)
    others = [c for c in rows.columns if c not in (CLICKS, CONVERSIONS)]
    return rows.select(
        *others,
        F.row_number().over(in_order).alias(PLACE),
        F.lag(F.struct(EVENT_TIME, CONTENT)).over(in_order).alias(PREVIOUS),
        F.collect_list(CLICKS).over(whole_case).alias(CLICKS),
        F.collect_list(CONVERSIONS).over(whole_case).alias(CONVERSIONS),
    )


def is_impression() -> Column:
    """Whether a row is an impression that may count; events have no event_time of their own."""
    return F.col(DROPPED).isNull() & F.col(EVENT_TIME).isNotNull()


def label(
    grouped: DataFrame, click_window: timedelta, conversion_window: timedelta
) -> DataFrame:
    """Adds is_sample, click, conversion, and the times by which events are judged.

    A click counts from the impression to impression + window, both included; a conversion from a
    click that counts to that click + window. Any such click will do: if an earlier one still
    covers the conversion, so does the latest before it, and it is the latest that is credited.
    """
    is_sample = is_impression() & (F.col(PLACE) == 1)
    times = F.array_distinct(F.col(f"{CLICKS}.{EVENT_TIME}"))
    without_later = F.transform(F.col(CONVERSIONS), lambda c: F.struct(c[EVENT_TIME], c[TYPE]))
    timed = grouped.select(
        "*",
        is_sample.alias(IS_SAMPLE),
        _if_any(CLICKS, times, _NO_TIMES).alias(CLICK_TIMES),
        _if_any(
            CONVERSIONS,
            F.array_distinct(without_later),
            f"array<struct<{EVENT_TIME}:timestamp,{TYPE}:string>>",
        ).alias(CONVERSION_KEYS),
    )
    valid_times = F.filter(CLICK_TIMES, lambda time: time.between(*_from(EVENT_TIME, click_window)))
    with_clicks = timed.select(
        "*", _if_any(CLICK_TIMES, valid_times, _NO_TIMES).alias(VALID_CLICK_TIMES)
    )
    credited = F.filter(
        CONVERSION_KEYS,
        lambda key: F.exists(
            VALID_CLICK_TIMES,
            lambda click: key[EVENT_TIME].between(click, click + F.lit(conversion_window)),
        ),
    )
    num_credited = F.when(F.size(CONVERSION_KEYS) > 0, F.size(credited)).otherwise(F.lit(0))
    with_credit = with_clicks.select("*", num_credited.alias(CREDITED))
    return with_credit.select(
        "*",
        (F.size(VALID_CLICK_TIMES) > 0).cast("tinyint").alias(CLICK),
        (F.col(CREDITED) > 0).cast("tinyint").alias(CONVERSION),
    )


def _from(start: str, window: timedelta) -> tuple[Column, Column]:
    return F.col(start), F.col(start) + F.lit(window)


def _if_any(events: str, value: Column, kind: str) -> Column:
    """Most impressions have no event: they are spared Spark's list functions, which are slow."""
    return F.when(F.size(events) > 0, value).otherwise(F.array().cast(kind))
