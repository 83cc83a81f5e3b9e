"""One sample file, held against everything that readers rely on, and its ids counted.

It runs where Spark's tasks run, on a file's bytes and whole columns; it never stops at the first
finding, because one look should tell all that is wrong.

Shape legend: N rows of the file; V ids of its lists.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.encodings import OUT_OF_VOCABULARY_ID
from esmm_dist.contract.features import (
    Feature,
    MultiValuedFeature,
    VocabularyEncoding,
)
from esmm_dist.contract.profile import DELAY_EDGES_S
from esmm_dist.contract.schema import CLICK, CONVERSION, GROUP_ID
from esmm_dist.labelling.content import CONTENT_HASH, content_hash
from esmm_dist.labelling.packed import VALUE_BYTES, lengths, packed_values
from esmm_dist.labelling.sample_file import TALLY
from esmm_dist.labelling.wire import Array
from esmm_dist.samples.value_rules import DELAY_OF, broken_rules

FINDING_SCHEMA = "day int, place int, id bigint, num_values bigint, report string"
TALLY_OF = {
    "impressions_out": "num_rows", "samples_clicked": "num_clicks",
    "samples_converted": "num_conversions",
}

Report = dict[str, Any]


@dataclass(frozen=True)
class Listed:
    """What the manifest says of a file."""

    day: date
    num_rows: int
    content_hash: str | None
    num_fake_negatives: int = 0
    """Its last rows, which are no samples."""
    unclicked_rate: float | None = None
    """The share of its day's un-clicked samples that was kept."""


@dataclass(frozen=True)
class Inspector:
    """Looks into the files whose bytes a partition holds."""

    features: Sequence[Feature]
    types: Mapping[str, str]
    """Columns in order, by the manifest."""
    num_ids: Mapping[str, int]
    """Of each feature one more than its largest id."""
    shuffle_seed: int
    listed: Mapping[str, Listed]
    """By path, relative to the samples' directory."""

    @property
    def counted(self) -> tuple[str, ...]:
        """The columns whose ids are counted; rows of counts name them by their place here."""
        return (GROUP_ID, *[feature.name for feature in self.features])

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Takes `path` and `content` of files; gives one row with a report of each, and one for
        each id that occurs in a column of it."""
        for batch in batches:
            for path, content in zip(batch["path"].to_pylist(), batch["content"]):
                relative = next(name for name in self._names(path) if name in self.listed)
                report, counts = self.look(relative, content.as_buffer())
                yield from _rows(self.listed[relative].day, report, counts)

    def _names(self, path: str) -> Iterator[str]:
        """The ends of a path, the longest first, one of which the manifest lists."""
        parts = path.split("/")
        return ("/".join(parts[first:]) for first in range(len(parts)))

    def look(self, path: str, content: pa.Buffer) -> tuple[Report, list[tuple[Array, Array]]]:
        """A file's report, and of each counted column its ids with their numbers."""
        report: Report = {"path": path, "findings": [], "columns": {}}
        try:
            file = pq.ParquetFile(pa.BufferReader(content))
            table, notes = file.read(), file.metadata.metadata or {}
        except Exception as error:  # a decoder may make anything of damaged bytes
            reason = str(error).partition("\n")[0]
            report["findings"].append(f"cannot be decoded ({reason})")
            return report, []
        report["findings"] += self._of_shape(path, file, table)
        if report["findings"]:
            return report, []
        samples = table.slice(0, len(table) - self.listed[path].num_fake_negatives)
        report |= {
            "tally": _tally(notes) or {},
            "num_rows": len(samples),
            "num_clicks": int(samples[CLICK].to_numpy().sum()),
            "num_conversions": int(samples[CONVERSION].to_numpy().sum()),
            "delays": _delays(samples),
        }
        report["findings"] += [
            *_of_tally(report), *self._of_notes(path, table, notes), *broken_rules(
                table, len(samples), self.features, self.num_ids, self.shuffle_seed,
                self.listed[path].unclicked_rate,
            ),
        ]
        return report, [self._count(samples, name, report) for name in self.counted]

    def _of_shape(self, path: str, file: pq.ParquetFile, table: pa.Table) -> Iterator[str]:
        if file.num_row_groups != 1:
            yield f"holds {file.num_row_groups} row groups instead of one"
        listed = self.listed[path].num_rows
        if len(table) != listed:
            yield f"holds {len(table):,} rows, the manifest says {listed:,}"
        found = {field.name: str(field.type) for field in table.schema}
        wanted = {name: str(pa.type_for_alias(kind)) for name, kind in self.types.items()}
        if list(found.items()) != list(wanted.items()):
            yield f"its columns are {_text(found)}, the manifest says {_text(wanted)}"
        for name, column in zip(table.column_names, table.columns):
            if column.null_count:
                yield f"the column {name!r} holds {column.null_count:,} nulls"

    def _of_notes(
        self, path: str, table: pa.Table, notes: Mapping[bytes, bytes]
    ) -> Iterator[str]:
        written = self.listed[path].content_hash
        noted = notes.get(CONTENT_HASH.encode(), b"").decode(errors="replace") or None
        if noted != written:
            yield f"its footer names the content {noted}, the manifest {written}"
        if written is not None and content_hash(table) != written:
            yield "its values are not those that were written: bytes have changed"

    def _count(self, table: pa.Table, name: str, report: Report) -> tuple[Array, Array]:
        """Ordinary ids and their numbers; null and unknown ones go into the report."""
        feature = next((feature for feature in self.features if feature.name == name), None)
        if isinstance(feature, MultiValuedFeature):
            length_N = lengths(table[name])
            is_whole = not (length_N % VALUE_BYTES).any()
            id_V = packed_values(table[name], "<i4") if is_whole else np.empty(0, np.int32)
            num_null = int(np.count_nonzero(length_N == 0))
        else:
            id_V = table[name].to_numpy()
            num_null = int(np.count_nonzero(id_V == 0))
        ids, numbers = np.unique(id_V, return_counts=True)
        has_unknown = feature is not None and isinstance(feature.encode, VocabularyEncoding)
        is_unknown = (ids == OUT_OF_VOCABULARY_ID) & has_unknown
        is_known = (ids != 0) & ~is_unknown
        report["columns"][name] = {
            "num_values": len(id_V), "num_known": int(numbers[is_known].sum()),
            "num_null_rows": num_null, "num_unknown": int(numbers[is_unknown].sum()),
        }
        return ids[is_known], numbers[is_known]


def _tally(notes: Mapping[bytes, bytes]) -> dict[str, int] | None:
    try:
        tally = json.loads(notes.get(TALLY.encode(), b""))
    except ValueError:
        return None
    is_one = isinstance(tally, dict) and all(isinstance(value, int) for value in tally.values())
    return tally if is_one else None


def _delays(table: pa.Table) -> dict[str, list[int]]:
    """Rows by interval of DELAY_EDGES_S, by delay column."""
    found = {}
    for name in DELAY_OF:
        delay_N = table[name].to_numpy()
        place = np.searchsorted(DELAY_EDGES_S, delay_N[delay_N >= 0])
        found[name] = np.bincount(place, minlength=len(DELAY_EDGES_S) + 1).tolist()
    return found


def _of_tally(report: Report) -> Iterator[str]:
    if not report["tally"]:
        yield "its footer holds no counts that can be read"
        return
    for name, found in TALLY_OF.items():
        counted = report["tally"].get(name)
        if counted != report[found]:
            yield f"its footer counts {name} {counted}, its rows are {report[found]:,}"


def _text(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


def _rows(
    day: date, report: Report, counts: Sequence[tuple[Array, Array]]
) -> Iterator[pa.RecordBatch]:
    def batch(place: Array, ids: Array, numbers: Array, text: str | None) -> pa.RecordBatch:
        length = len(ids)
        return pa.RecordBatch.from_arrays(
            [
                pa.array(np.full(length, day.toordinal(), np.int32)), pa.array(place),
                pa.array(ids.astype(np.int64)), pa.array(numbers.astype(np.int64)),
                pa.array([text] * length, pa.string()),
            ],
            ["day", "place", "id", "num_values", "report"],
        )

    one = np.zeros(1, np.int32)
    yield batch(one, one, one, json.dumps(report))
    for place, (ids, numbers) in enumerate(counts):
        yield batch(np.full(len(ids), place, np.int32), ids, numbers, None)
