"""The columns in which rows travel from the logs to their file, and all rows that came to one.

Moving a value through the shuffle and into Arrow costs more than anything done with it, so there
are few columns: two int32 ids share a long, and events use the columns that impressions have. No
column holds a null. Spark packs them (samples/packing); nothing is decided about rows.

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

from esmm_dist.contract.features import Feature, MultiValuedFeature
from esmm_dist.labelling.marks import MARK_BITS, Mark

CLICK_TIME = "click_time"
"""Of a conversion that is attributed to one click: when that was, in microseconds since 1970. Of
the last click of a burst: when the first was."""
VALUE = "value"
SAMPLE_ID = "sample_id"
TIME = "time"
KEY = "key"
MARKS = "marks"
NO_GROUP = 0
FLOAT_BYTES = 4
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
