"""Vocabularies and bucket boundaries learned from the impressions of the fit days.

The result depends on the rows alone, not on their order: ids keep their meaning for as long as
these encodings are used. It sees no labels and reads no files.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import (
    BucketEncoding,
    Feature,
    MultiValuedFeature,
    VocabularyEncoding,
    is_learned,
    table_of,
)
from esmm_dist.labelling.marks import Mark
from esmm_dist.samples.days import micros
from esmm_dist.samples.filing import DAY, MARK
from esmm_dist.samples.logs import EVENT_TIME, IMPRESSION_ID, feature_column
from esmm_dist.samples.values import canonical

# Rows from which quantiles are taken: their ranks are then right to about .1 %.
NUM_QUANTILE_ROWS = 2**18
_SAMPLING_BITS = 31

NAME = "name"
KEY = "key"
NUMBER = "number"
COUNT = "num_rows"
CONTENT = "content"


class Sighting(NamedTuple):
    """How often a table's key, or a numeric feature's value, was seen."""

    name: str
    key: str | None
    number: float | None
    num_rows: int


def once_each(
    impressions: DataFrame, learned: Sequence[Feature], repeat_span: timedelta
) -> DataFrame:
    """One row an impression, the earliest; none of one that the day before had at most
    `repeat_span` before it.

    Where rows of that instant differ in a learned feature none is taken: which of them becomes the
    sample is decided by ids, and these are not there yet.
    """
    names = [feature_column(feature.name) for feature in learned]
    # The null flags keep (null, a) apart from (a, null).
    parts = [part for name in names for part in (F.col(name), F.col(name).isNull())]
    is_before, time = F.col(MARK) == Mark.IMPRESSION_BEFORE.value, F.unix_micros(EVENT_TIME)
    of_id = Window.partitionBy(DAY, IMPRESSION_ID)
    last_before = F.max(F.when(is_before, time)).over(of_id)
    is_again = F.coalesce(time - last_before <= micros(repeat_span), F.lit(False))
    return (
        impressions.where(is_before | (F.col(MARK) == Mark.IMPRESSION.value))
        .withColumn(CONTENT, F.when(~is_before, F.xxhash64(*parts)))
        .withColumns({
            "place": F.row_number().over(of_id.orderBy(MARK, EVENT_TIME, CONTENT)),
            # Of all rows up to this instant, its own among them.
            "greatest": F.max(CONTENT).over(of_id.orderBy(EVENT_TIME)),
            "is_again": is_again,
        })
        .where((F.col("place") == 1) & (F.col("greatest") == F.col(CONTENT)) & ~F.col("is_again"))
        .drop("place", "greatest", "is_again", CONTENT)
    )


def sightings(
    impressions: DataFrame, features: Sequence[Feature], num_rows: int,
    repeat_span: timedelta = timedelta(),
) -> DataFrame:
    """Counts every key of every vocabulary, and the values of a sample of rows for quantiles.

    Args:
        impressions: as `filing.own_impressions` gives them, and those that `impressions_before`
            gives.
        num_rows: about how many there are, which decides the share sampled for quantiles.
        repeat_span: how long after one of the day before an impression of equal id is the same.

    Returns:
        Columns of `Sighting`; keys seen less often than their table's min_count are left out.
    """
    kinds = {field.name: field.dataType for field in impressions.schema}
    learned = [feature for feature in features if is_learned(feature)]
    is_sampled = _is_sampled(num_rows)
    entries = [
        _entry(feature, kinds[feature_column(feature.name)], is_sampled)
        for feature in learned
        if not isinstance(feature, MultiValuedFeature)
    ]
    lists = [
        _list_entries(feature, kinds[feature_column(feature.name)])
        for feature in learned
        if isinstance(feature, MultiValuedFeature)
    ]
    all_entries = F.concat(F.array(*entries), *lists)
    least = F.coalesce(
        *[
            F.when(F.col(NAME) == table_of(feature), F.lit(feature.encode.min_count))
            for feature in learned
            if isinstance(feature.encode, VocabularyEncoding)
        ],
        F.lit(1),
    )
    is_known = F.col(KEY).isNotNull() | F.col(NUMBER).isNotNull()
    return (
        once_each(impressions, learned, repeat_span)
        .select(F.explode(all_entries).alias("entry"))
        .select(f"entry.{NAME}", f"entry.{KEY}", f"entry.{NUMBER}")
        .where(is_known)
        .groupBy(NAME, KEY, NUMBER)
        .agg(F.count("*").alias(COUNT))
        .where(F.col(COUNT) >= F.when(F.col(KEY).isNotNull(), least).otherwise(F.lit(1)))
        .select(NAME, KEY, NUMBER, COUNT)
    )


def _is_sampled(num_rows: int) -> Column:
    """The same rows whatever their order: those whose hash is small."""
    share = min(1.0, NUM_QUANTILE_ROWS / max(1, num_rows))
    bits = F.shiftrightunsigned(F.xxhash64(IMPRESSION_ID), 64 - _SAMPLING_BITS)
    return bits < F.lit(int(share * 2**_SAMPLING_BITS))


def _entry(feature: Feature, kind: T.DataType, is_sampled: Column) -> Column:
    value = canonical(F.col(feature_column(feature.name)), kind)
    if isinstance(feature.encode, BucketEncoding):
        is_finite = ~value.is_null & (F.abs(value.number) < F.lit(math.inf))
        number = F.when(is_sampled & is_finite, value.number)
        return _struct(feature.name, F.lit(None).cast("string"), number)
    return _struct(table_of(feature), value.key, F.lit(None).cast("double"))


def _list_entries(feature: MultiValuedFeature, kind: T.DataType) -> Column:
    assert isinstance(kind, T.ArrayType)
    values = F.coalesce(F.col(feature_column(feature.name)), F.array().cast(kind))
    element = kind.elementType
    return F.transform(
        values,
        lambda value: _struct(
            table_of(feature), canonical(value, element).key, F.lit(None).cast("double")
        ),
    )


def _struct(name: str, key: Column, number: Column) -> Column:
    return F.struct(F.lit(name).alias(NAME), key.alias(KEY), number.alias(NUMBER))


def fitted(seen: Iterable[Sighting], features: Sequence[Feature]) -> Encodings:
    """Encodings from counted sightings: keys by falling count, then in the order of their text."""
    keys: dict[str, list[tuple[int, str]]] = {}
    numbers: dict[str, list[tuple[float, int]]] = {}
    for name, key, number, num_rows in seen:
        if key is not None:
            keys.setdefault(name, []).append((-num_rows, key))
        elif number is not None:
            numbers.setdefault(name, []).append((number, num_rows))
    learned = [feature for feature in features if is_learned(feature)]
    return Encodings(
        vocabularies={
            table: tuple(key for _, key in sorted(keys.get(table, ())))
            for table in {
                table_of(f): None for f in learned if isinstance(f.encode, VocabularyEncoding)
            }
        },
        boundaries={
            feature.name: quantiles(numbers.get(feature.name, ()), feature.encode.num_quantiles)
            for feature in learned
            if isinstance(feature.encode, BucketEncoding) and feature.encode.num_quantiles
        },
    )


def quantiles(counted: Iterable[tuple[float, int]], num_quantiles: int) -> tuple[float, ...]:
    """Strictly increasing boundaries: the least values that lie above i/n of the rows.

    A bucket begins at its boundary, so a value held by many rows stays apart from the next one.

    Args:
        counted: values with the number of rows that hold them.
    """
    ordered = sorted(counted)
    total = sum(num_rows for _, num_rows in ordered)
    boundaries: list[float] = []
    num_below, rank = 0, 1
    for value, num_rows in ordered:
        if num_below * num_quantiles >= rank * total:
            boundaries.append(value)
            rank = num_below * num_quantiles // total + 1
        num_below += num_rows
    return tuple(boundaries)
