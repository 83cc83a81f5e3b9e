"""What became of every row of the logs, as sums, and the identities that those sums must obey.

Each row of a log is counted in one day's build and under one fate: an event by the day of its
impression, or, if its own day has no such impression, by the day it is filed under. It labels
nothing; docs/samples.md defines every counter.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from esmm_dist.contract.features import Feature, MultiValuedFeature
from esmm_dist.contract.schema import CLICK, CONVERSION
from esmm_dist.samples.encoding import group_id, is_cut
from esmm_dist.samples.filing import CONTENT, DROPPED, LATER
from esmm_dist.samples.labels import (
    CLICK_TIMES,
    CLICKS,
    CONVERSION_KEYS,
    CONVERSIONS,
    CREDITED,
    IS_SAMPLE,
    PLACE,
    PREVIOUS,
    VALID_CLICK_TIMES,
    is_impression,
)
from esmm_dist.samples.logs import EVENT_TIME

DROPPED_BEFORE_THE_JOIN = (
    "impressions_null_id", "impressions_null_time", "impressions_misfiled",
    "clicks_null_id", "clicks_null_time",
    "conversions_other_type", "conversions_null_id", "conversions_null_time",
)
IDENTITIES = {
    ("impressions_in",): (
        "impressions_null_id", "impressions_null_time", "impressions_misfiled",
        "impressions_repeated", "impressions_conflicting", "impressions_out",
    ),
    ("clicks_in", "clicks_from_later_days"): (
        "clicks_null_id", "clicks_null_time", "clicks_without_impression", "clicks_repeated",
        "clicks_before_impression", "clicks_after_window", "clicks_credited",
    ),
    ("conversions_in", "conversions_from_later_days"): (
        "conversions_other_type", "conversions_null_id", "conversions_null_time",
        "conversions_without_impression", "conversions_repeated", "conversions_without_click",
        "conversions_before_click", "conversions_after_window", "conversions_credited",
    ),
}
NULL_GROUP = "samples_null_group"
FIRST_TIME = "first_event_time"
LAST_TIME = "last_event_time"


def cut_counter(feature: Feature) -> str:
    """The counter of samples whose list was longer than the feature's max_length."""
    return f"samples_{feature.name}_cut"


def fates(features: Sequence[Feature]) -> dict[str, Column]:
    """How much a labelled row adds to each counter."""
    return (
        {name: (F.col(DROPPED) == name).cast("int") for name in DROPPED_BEFORE_THE_JOIN}
        | _impression_fates()
        | _click_fates()
        | _conversion_fates()
        | _sample_counts(features)
    )


def _impression_fates() -> dict[str, Column]:
    is_further = is_impression() & (F.col(PLACE) > 1)
    is_repeat = F.col(PREVIOUS).eqNullSafe(F.struct(EVENT_TIME, CONTENT))
    return {
        "impressions_repeated": (is_further & is_repeat).cast("int"),
        "impressions_conflicting": (is_further & ~is_repeat).cast("int"),
        "impressions_out": F.col(IS_SAMPLE).cast("int"),
    }


def _click_fates() -> dict[str, Column]:
    num_before = F.size(F.filter(CLICK_TIMES, lambda time: time < F.col(EVENT_TIME)))
    num_valid, num_distinct = F.size(VALID_CLICK_TIMES), F.size(CLICK_TIMES)
    met = {
        "clicks_from_later_days": _num_filed(CLICKS, later=True),
        "clicks_repeated": F.size(CLICKS) - num_distinct,
        "clicks_before_impression": num_before,
        "clicks_after_window": num_distinct - num_before - num_valid,
        "clicks_credited": num_valid,
    }
    return _of_samples(met, CLICKS) | {
        "clicks_without_impression": _of_cases_without_sample(CLICKS)
    }


def _conversion_fates() -> dict[str, Column]:
    num_distinct, is_clicked = F.size(CONVERSION_KEYS), F.size(VALID_CLICK_TIMES) > 0
    first_click = F.array_min(VALID_CLICK_TIMES)
    num_before = F.when(
        is_clicked, F.size(F.filter(CONVERSION_KEYS, lambda key: key[EVENT_TIME] < first_click))
    ).otherwise(F.lit(0))
    met = {
        "conversions_from_later_days": _num_filed(CONVERSIONS, later=True),
        "conversions_repeated": F.size(CONVERSIONS) - num_distinct,
        "conversions_without_click": F.when(is_clicked, F.lit(0)).otherwise(num_distinct),
        "conversions_before_click": num_before,
        "conversions_after_window": F.when(
            is_clicked, num_distinct - num_before - F.col(CREDITED)
        ).otherwise(F.lit(0)),
        "conversions_credited": F.col(CREDITED),
    }
    return _of_samples(met, CONVERSIONS) | {
        "conversions_without_impression": _of_cases_without_sample(CONVERSIONS)
    }


def _sample_counts(features: Sequence[Feature]) -> dict[str, Column]:
    is_sample = F.col(IS_SAMPLE)
    counts = {
        "samples_clicked": F.when(is_sample, F.col(CLICK)),
        "samples_converted": F.when(is_sample, F.col(CONVERSION)),
        NULL_GROUP: (is_sample & group_id().isNull()).cast("int"),
    }
    return counts | {
        cut_counter(feature): (is_sample & is_cut(feature)).cast("int")
        for feature in features
        if isinstance(feature, MultiValuedFeature)
    }


def _num_filed(events: str, later: bool) -> Column:
    return F.size(F.filter(events, lambda event: event[LATER] == F.lit(later)))


def _of_samples(met: Mapping[str, Column], events: str) -> dict[str, Column]:
    has_events = F.col(IS_SAMPLE) & (F.size(events) > 0)
    return {name: F.when(has_events, number) for name, number in met.items()}


def _of_cases_without_sample(events: str) -> Column:
    """Later days' events of no impression of this day are for other days to count."""
    is_bare_case = (F.col(PLACE) == 1) & ~F.col(IS_SAMPLE) & (F.size(events) > 0)
    return F.when(is_bare_case, _num_filed(events, later=False))


def with_fates(labelled: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """Adds a column a counter, so that each fate is computed once however often it is summed."""
    measured = fates(features)
    return labelled.select(
        "*",
        *[F.coalesce(number, F.lit(0)).alias(_column(name)) for name, number in measured.items()],
    )


def _column(counter: str) -> str:
    return f"num_{counter}"


def observe(
    counted: DataFrame, features: Sequence[Feature]
) -> tuple[DataFrame, Observation]:
    """Has the sums of all fates taken while a day's rows are written."""
    time = F.when(F.col(IS_SAMPLE), F.unix_micros(EVENT_TIME))
    sums = [F.sum(_column(name)).alias(name) for name in fates(features)]
    observation = Observation()
    return counted.observe(
        observation, *sums, F.min(time).alias(FIRST_TIME), F.max(time).alias(LAST_TIME)
    ), observation


def counters_of(
    day: date, observed: Mapping[str, int | None], rows_in: Mapping[str, Mapping[date, int]]
) -> dict[str, int]:
    """A day's counters: what was observed, and the rows that an independent count found.

    Args:
        rows_in: rows filed under each day, by log: impressions, clicks, conversions.
    """
    counted = {f"{log}_in": rows.get(day, 0) for log, rows in rows_in.items()}
    return counted | {name: value or 0 for name, value in observed.items()}


def check_identities(day: date, counters: Mapping[str, int]) -> None:
    """Holds rows in against rows out and rows dropped by reason, for each log.

    Raises:
        AssertionError: a row was lost, invented, or counted twice; nothing may be published.
    """
    for given, accounted in IDENTITIES.items():
        num_in = sum(counters[name] for name in given)
        num_accounted = sum(counters[name] for name in accounted)
        assert num_in == num_accounted, (
            f"{day}: {' + '.join(given)} = {num_in:,}, but the fates add up to {num_accounted:,} "
            f"({', '.join(f'{name}={counters[name]:,}' for name in accounted)})"
        )
    assert counters["samples_converted"] <= counters["samples_clicked"], day
