"""The columns in which rows travel from the logs to their file: Spark packs, Arrow unpacks.

Moving a value through the shuffle and into Arrow costs more than anything done with it, so there
are few columns: two int32 ids share a long, and events use the columns that impressions have. No
column holds a null. It decides nothing about rows.

    sample_id   XXH64 of the impression id: what tells impressions apart
    time        microseconds since 1970 of the event
    key         of an impression its group_id; of a conversion XXH64 of its id where one is declared
                (of all that stands for one where it is null), else of its type; of a click 0
    marks       a `Mark`, and above it an impression's flags, or whether a click is untimely
    click_time  of a conversion when its click was, where one is looked up for it; of the last click
                of a burst when the first was, where double clicks are dropped; else 0
    value       of a conversion what it is worth, NaN if unknown; only where values are declared
    pair_n      ids of the features 2n (upper half) and 2n + 1 of those that are no lists
    list_n      packed ids of the n-th multi-valued feature
    weights_n   floats, as many, of the n-th one that has weights

Shape legend: N rows of one file; R some of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, MultiValuedFeature, time_of, weights_column
from esmm_dist.samples.encoding import cut_column, unweighted_column
from esmm_dist.samples.filing import DAY, MARK, UNTIMELY
from esmm_dist.samples.logs import (
    CLICK_TIME,
    CONVERSION_ID,
    EVENT_TIME,
    GROUP_KEY,
    IMPRESSION_ID,
    TYPE,
    VALUE,
    feature_column,
    later_column,
)
from esmm_dist.samples.marks import DROPPED, MARK_BITS, Mark
from esmm_dist.samples.snapshots import missing_column, sources_of

SAMPLE_ID = "sample_id"
TIME = "time"
KEY = "key"
MARKS = "marks"
NO_GROUP = 0
GROUP_KEY_IS_NULL = "group_key_is_null"
FLOAT_BYTES = 4
MAX_FLAGS_OF_INT = 31 - MARK_BITS
MAX_FLAGS = 63 - MARK_BITS
# Columns of events alone, each on the wire only where the config needs it.
NO_VALUE_OF = {CLICK_TIME: 0, VALUE: float("nan")}

Array = npt.NDArray[Any]


def scalar_features(features: Sequence[Feature]) -> list[Feature]:
    """The features that hold one id a row, which travel in pairs."""
    return [feature for feature in features if not isinstance(feature, MultiValuedFeature)]


def list_features(features: Sequence[Feature]) -> list[MultiValuedFeature]:
    """The features that hold a list of ids."""
    return [feature for feature in features if isinstance(feature, MultiValuedFeature)]


def weighted_features(features: Sequence[Feature]) -> list[MultiValuedFeature]:
    """The features whose values have weights."""
    return [feature for feature in list_features(features) if feature.weights is not None]


def later_counter(feature: Feature) -> str:
    """The counter of samples with a value of after the impression: no build with any is published.
    """
    return f"samples_{feature.name}_later"


def counters_of_flags(features: Sequence[Feature]) -> dict[str, str]:
    """What each flag of an impression counts among the samples, from the lowest bit on, and the
    column of an encoded row that raises it."""
    flags = {"samples_null_group": GROUP_KEY_IS_NULL}
    for feature in list_features(features):
        flags[f"samples_{feature.name}_cut"] = cut_column(feature)
    for feature in weighted_features(features):
        flags[f"samples_{feature.name}_unweighted"] = unweighted_column(feature)
    for snapshot in sources_of(features):
        flags[f"samples_without_{snapshot}"] = missing_column(snapshot)
    flags |= {later_counter(f): later_column(f) for f in features if time_of(f) is not None}
    return flags


# ---------------------------------------------------------------------------------------------
# Spark's side
# ---------------------------------------------------------------------------------------------


def pack_impressions(
    impressions: DataFrame, features: Sequence[Feature], of_events: Sequence[str] = ()
) -> DataFrame:
    """Encoded impressions with `day` and `mark` as rows of the wire, and their day.

    Args:
        of_events: the names in `NO_VALUE_OF` that some event has.
    """
    group = F.when(F.col(GROUP_KEY).isNotNull(), F.xxhash64(GROUP_KEY))
    flags = counters_of_flags(features)
    if len(flags) > MAX_FLAGS:
        raise InputError(
            f"features: their lists, weights, sources and times are told by {len(flags)} flags a "
            f"row, at most {MAX_FLAGS} fit: leave out some of features.*.time"
        )
    # Few fit the type that marks have by themselves; where they do not, Spark widens all rows'.
    kind = "int" if len(flags) <= MAX_FLAGS_OF_INT else "bigint"
    marks = F.col(MARK).cast(kind)
    for bit, flag in enumerate(flags.values()):
        marks = marks + F.when(F.col(flag), F.lit(1 << MARK_BITS + bit)).otherwise(F.lit(0))
    impressions = impressions.withColumn(GROUP_KEY_IS_NULL, F.col(GROUP_KEY).isNull())
    return impressions.select(
        DAY,
        *_keys(F.coalesce(group, F.lit(NO_GROUP)), marks),
        *[F.lit(NO_VALUE_OF[name]).alias(name) for name in of_events],
        *_pairs([F.col(feature_column(f.name)) for f in scalar_features(features)]),
        *[
            F.col(feature_column(feature.name)).alias(f"list_{n}")
            for n, feature in enumerate(list_features(features))
        ],
        *[
            F.col(feature_column(weights_column(feature))).alias(f"weights_{n}")
            for n, feature in enumerate(weighted_features(features))
        ],
    )


def pack_events(
    events: DataFrame, features: Sequence[Feature], of_events: Sequence[str] = ()
) -> DataFrame:
    """Clicks, conversions, or the bare impressions of before a day, with `day` and `mark`, as rows
    of the wire, and their day.

    Args:
        of_events: as `pack_impressions` takes them.
    """
    key = F.lit(0).cast("bigint")
    if CONVERSION_ID in events.columns:
        told = [name for name in (EVENT_TIME, TYPE, CLICK_TIME) if name in events.columns]
        key = F.coalesce(F.when(F.col(CONVERSION_ID).isNotNull(), F.xxhash64(CONVERSION_ID)),
                         F.xxhash64(*told))
    elif TYPE in events.columns:
        key = F.coalesce(F.xxhash64(TYPE), key)
    marks = F.col(MARK).cast("int")
    if UNTIMELY in events.columns:
        marks = marks + F.when(F.col(UNTIMELY), F.lit(1 << MARK_BITS)).otherwise(F.lit(0))
    return events.select(
        DAY,
        *_keys(key, marks),
        *[
            F.coalesce(F.col(name) if name in events.columns else F.lit(None),
                       F.lit(NO_VALUE_OF[name])).alias(name)
            for name in of_events
        ],
        *_pairs([F.lit(0)] * len(scalar_features(features))),
        *[F.lit(bytearray()).alias(f"list_{n}") for n in range(len(list_features(features)))],
        *[
            F.array().cast("array<float>").alias(f"weights_{n}")
            for n in range(len(weighted_features(features)))
        ],
    )


def _keys(key: Column, marks: Column) -> list[Column]:
    # What takes part in nothing is spread over the files, so that no bot's clicks meet in one.
    takes_part = F.col(IMPRESSION_ID).isNotNull() & (F.col(MARK) < min(DROPPED))
    identity = F.coalesce(
        F.when(takes_part, F.xxhash64(IMPRESSION_ID)), F.xxhash64(EVENT_TIME, IMPRESSION_ID)
    )
    return [
        identity.alias(SAMPLE_ID),
        F.coalesce(F.unix_micros(EVENT_TIME), F.lit(0)).alias(TIME),
        key.alias(KEY),
        marks.alias(MARKS),
    ]


def _pairs(ids: Sequence[Column]) -> list[Column]:
    longs = [number.cast("bigint") for number in ids]
    if len(longs) % 2:
        longs.append(F.lit(0).cast("bigint"))
    return [
        (F.shiftleft(upper, 32) + lower).alias(f"pair_{n}")
        for n, (upper, lower) in enumerate(zip(longs[::2], longs[1::2]))
    ]


# ---------------------------------------------------------------------------------------------
# Arrow's side
# ---------------------------------------------------------------------------------------------


class Wire:
    """All rows that came to one file."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Takes batches of the wire's columns, at least one."""
        self._table = pa.Table.from_batches(list(batches))
        self.sample_id_N = self._array(SAMPLE_ID)
        self.time_N = self._array(TIME)
        self.key_N = self._array(KEY)
        marks_N = self._array(MARKS)
        self.mark_N = (marks_N & ((1 << MARK_BITS) - 1)).astype(np.uint8)
        self.flags_N = marks_N >> MARK_BITS

    def __len__(self) -> int:
        return len(self.mark_N)

    @property
    def click_time_N(self) -> Array:
        """When the click of a conversion was, or the first one of a click's burst, (N,) int64, in
        microseconds since 1970; only where they are looked for."""
        return self._array(CLICK_TIME)

    @property
    def value_N(self) -> Array:
        """What conversions are worth, (N,) float64, NaN if unknown; only where values are
        declared."""
        return self._array(VALUE)

    def rows_with(self, *marks: Mark) -> Array:
        """Indices of the rows that bear one of the marks, in order."""
        return np.flatnonzero(np.isin(self.mark_N, [mark.value for mark in marks]))

    def ids(self, rows_R: Array) -> Iterator[Array]:
        """Ids of the scalar features in their order, (R,) int32 each; one more where their number
        is odd, since they travel in pairs."""
        for name in self._table.column_names:
            if name.startswith("pair_"):
                pair_R = self._array(name)[rows_R]
                yield (pair_R >> 32).astype(np.int32)
                yield pair_R.astype(np.int32)

    def lists(self, place: int, rows_R: Array) -> pa.Array:
        """Packed ids of the list feature at a place in their order."""
        return self._table[f"list_{place}"].take(pa.array(rows_R)).combine_chunks()

    def weights(self, place: int, rows_R: Array) -> pa.Array:
        """Packed float32 of the weighted feature at a place in their order: Arrow's lists of floats
        lie in memory as packed ones do."""
        lists = self._table[f"weights_{place}"].take(pa.array(rows_R)).combine_chunks()
        floats = lists.flatten()
        assert floats.null_count == 0
        offsets = np.asarray(lists.offsets) - lists.offsets[0].as_py()
        bytes_R1 = pa.py_buffer((offsets * FLOAT_BYTES).astype(np.int32))
        packed = pa.py_buffer(np.ascontiguousarray(floats.to_numpy(), "<f4"))
        return pa.Array.from_buffers(pa.binary(), len(lists), [None, bytes_R1, packed])

    def contents(self, rows_R: Array) -> list[Array]:
        """What impressions say apart from their time, as columns that compare as their contents do.

        Lists stand by their rank among those at hand: equal lists have equal ranks, and the order
        depends on the lists alone.
        """
        names = self._table.column_names
        numbers = [self._array(name)[rows_R] for name in names if name.startswith("pair_")]
        num_lists = sum(name.startswith("list_") for name in names)
        num_weights = sum(name.startswith("weights_") for name in names)
        ranks = [_ranks(self.lists(n, rows_R)) for n in range(num_lists)]
        ranks += [_ranks(self.weights(n, rows_R)) for n in range(num_weights)]
        return [self.key_N[rows_R], self.flags_N[rows_R], *numbers, *ranks]

    def _array(self, name: str) -> Array:
        column = self._table[name]
        assert column.null_count == 0, name
        return np.concatenate([chunk.to_numpy() for chunk in column.chunks])


def _ranks(lists_R: pa.Array) -> Array:
    found = lists_R.dictionary_encode()
    order = np.asarray(pa.compute.sort_indices(found.dictionary))
    rank_of_code = np.empty(len(order), np.int64)
    rank_of_code[order] = np.arange(len(order))
    return rank_of_code[np.asarray(found.indices)] if len(order) else np.zeros(0, np.int64)
