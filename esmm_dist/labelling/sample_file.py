"""From the rows that came to one file to that file: labelled, ordered, written, and counted.

It runs where Spark's tasks run, on Arrow's batches, one file at a time; a file's tally lies in its
own footer, so that no file can be published without its count, or counted without being published.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.features import Feature, weights_column
from esmm_dist.contract.schema import (
    CLICK,
    CLICK_DELAY_S,
    CONVERSION,
    CONVERSION_DELAY_S,
    CONVERSION_VALUE,
    DECLARED_COLUMNS,
    FAKE_NEGATIVE,
    GROUP_ID,
    MATURE,
    OBSERVED_S,
    SAMPLE_ID,
    WEIGHT,
    column_types,
)
from esmm_dist.labelling.content import CONTENT_HASH, content_hash
from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.crediting import MICROS_PER_SECOND
from esmm_dist.labelling.flags import counters_of_flags
from esmm_dist.labelling.label_stream import streamed
from esmm_dist.labelling.labels import Labelled, label
from esmm_dist.labelling.ripeness import Observed
from esmm_dist.labelling.thinning import Thinning, left_out_and_weight
from esmm_dist.labelling.wire import (
    Array,
    Wire,
    list_features,
    scalar_features,
    weighted_features,
)

TALLY = "esmm_dist.tally"
IMMATURE = "samples_immature"
FAKE_NEGATIVES = "samples_fake_negative"
FIRST_TIME = "first_event_time"
LAST_TIME = "last_event_time"

# Of the columns that get a dictionary.
NUM_ROWS_LOOKED_AT, MAX_VALUES = 4096, 1024

MAGIC = b"PAR1"
CONTENT = "content"
CONTENT_SCHEMA = f"{CONTENT} binary"

_ARROW_TYPES = {
    "int64": pa.int64(), "int32": pa.int32(), "int8": pa.int8(), "float32": pa.float32(),
    "binary": pa.binary(),
}


@dataclass(frozen=True)
class SampleFileWriter:
    """Makes one file of each of Spark's partitions."""

    features: Sequence[Feature]
    rules: CreditRules
    shuffle_seed: int
    as_of: int | None
    """The last instant that is visible, in microseconds since 1970; None: the logs are complete."""
    lateness: int = 0
    """Microseconds for which a row may lie unseen after it happened."""
    thinning: Thinning | None = None
    """Which samples are left out; None: none."""
    fake_negative_after_s: int | None = None
    """Seconds after its click from which a conversion is late, and its sample stands in the file
    once more as a negative; None: none does."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """One row with the bytes of a file, without the magic that ends it; none for no rows."""
        found = [batch for batch in batches if batch.num_rows]
        if found:
            yield without_magic(self.written(Wire(found)))

    def written(self, wire: Wire) -> pa.Buffer:
        """The Parquet file of some rows: one row group, no nulls, the tally in its footer."""
        labelled, weight_K = self._thinned(wire, label(wire, self.rules, self.shuffle_seed))
        observed = Observed.at(
            self.as_of, self.lateness, wire.time_N[labelled.row_K], self.rules
        )
        counters = self._tally(wire, labelled, observed)
        fake_negative_M = None
        if self.fake_negative_after_s is not None:
            longest = self.rules.click_window + self.rules.conversion_window
            labelled, observed, fake_negative_M = streamed(
                labelled, observed, self.fake_negative_after_s, longest // MICROS_PER_SECOND
            )
            counters[FAKE_NEGATIVES] = num_fake = int(fake_negative_M.sum())
            # Clicked samples are never thinned: each counts 1.
            weight_K = np.concatenate([weight_K, np.ones(num_fake, np.float32)])
        table = self._table(wire, labelled, observed, weight_K, fake_negative_M)
        return parquet_bytes(table, counters)

    def _thinned(self, wire: Wire, labelled: Labelled) -> tuple[Labelled, Array]:
        """The samples that are written, and what each counts."""
        if self.thinning is None:
            return labelled, np.ones(len(labelled.row_K), np.float32)
        row_K = labelled.row_K
        is_left_out_K, weight_K = left_out_and_weight(
            self.thinning, wire.sample_id_N[row_K], wire.time_N[row_K], labelled.click_K
        )
        return labelled.without(is_left_out_K), weight_K[~is_left_out_K]

    def _table(
        self, wire: Wire, labelled: Labelled, observed: Observed, weight_K: Array,
        fake_negative_K: Array | None,
    ) -> pa.Table:
        row_K = labelled.row_K
        columns: dict[str, Array | pa.Array] = {
            SAMPLE_ID: wire.sample_id_N[row_K],
            GROUP_ID: wire.key_N[row_K],
            CLICK: labelled.click_K,
            CONVERSION: labelled.conversion_K,
            WEIGHT: weight_K,
            CLICK_DELAY_S: labelled.click_delay_s_K,
            CONVERSION_DELAY_S: labelled.conversion_delay_s_K,
            OBSERVED_S: observed.seconds_K,
            MATURE: observed.mature_K,
        }
        for feature, ids_K in zip(scalar_features(self.features), wire.ids(row_K)):
            columns[feature.name] = ids_K
        for place, list_feature in enumerate(list_features(self.features)):
            columns[list_feature.name] = wire.lists(place, row_K)
        for place, weighted in enumerate(weighted_features(self.features)):
            columns[weights_column(weighted)] = wire.weights(place, row_K)
        if fake_negative_K is not None:
            columns[FAKE_NEGATIVE] = fake_negative_K
        if labelled.value_K is not None:
            columns[CONVERSION_VALUE] = labelled.value_K
        types = column_types(self.features, [name for name in DECLARED_COLUMNS if name in columns])
        schema = pa.schema(
            [pa.field(name, _ARROW_TYPES[kind], nullable=False) for name, kind in types.items()]
        )
        return pa.table([columns[name] for name in types], schema=schema)

    def _tally(self, wire: Wire, labelled: Labelled, observed: Observed) -> dict[str, int]:
        flags_K, time_K = wire.flags_N[labelled.row_K], wire.time_N[labelled.row_K]
        counters = dict(labelled.counters)
        counters[IMMATURE] = int(np.count_nonzero(observed.mature_K == 0))
        for bit, counter in enumerate(counters_of_flags(self.features)):
            counters[counter] = int(np.count_nonzero(flags_K & 1 << bit))
        if len(time_K):
            counters |= {FIRST_TIME: int(time_K.min()), LAST_TIME: int(time_K.max())}
        return counters


def repeating(table: pa.Table) -> list[str]:
    """The columns that a dictionary makes smaller, and faster to write and to read: those of few
    values. Rows lie in the order of a hash, so the first ones are a sample of all."""
    first = table.slice(0, NUM_ROWS_LOOKED_AT)
    return [name for name in first.column_names if len(first[name].unique()) <= MAX_VALUES]


def parquet_bytes(table: pa.Table, tally: Mapping[str, int]) -> pa.Buffer:
    """A file of some rows: one row group, its tally and the hash of its values in the footer."""
    metadata = {TALLY: json.dumps(tally), CONTENT_HASH: content_hash(table)}
    sink = pa.BufferOutputStream()
    # Files are read whole: statistics cost, and help nobody.
    pq.write_table(
        table.replace_schema_metadata(metadata), sink, row_group_size=max(1, len(table)),
        use_dictionary=repeating(table), write_statistics=False, compression="snappy",
    )
    return sink.getvalue()


def without_magic(file: pa.Buffer) -> pa.RecordBatch:
    """A row with a file's bytes, which are not copied, up to the magic that ends it.

    Made of buffers: pa.array keeps every memoryview that it is given, with the bytes below, for as
    long as the process lives.
    """
    bounds = pa.py_buffer(np.array([0, file.size - len(MAGIC)], np.int32))
    content = pa.Array.from_buffers(pa.binary(), 1, [None, bounds, file])
    return pa.RecordBatch.from_arrays([content], [CONTENT])


def merged(tallies: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The tally of several files of a day."""
    tallies = list(tallies)
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update({n: v for n, v in tally.items() if n not in (FIRST_TIME, LAST_TIME)})
    times = [tally for tally in tallies if FIRST_TIME in tally]
    if times:
        total[FIRST_TIME] = min(tally[FIRST_TIME] for tally in times)
        total[LAST_TIME] = max(tally[LAST_TIME] for tally in times)
    return dict(total)
