"""Rows per second from Parquet to shuffled batches: our reader beside Petastorm's and pyarrow's.

    python -m benchmarks.read [--quick]

Reads 10 M generated rows (--quick: 4 M) of 20 int32 ids, two labels and a weight from files of
65,536 rows (snappy, ids uniform over 100 to 1 M values), on two cores, with the files in the page
cache. The readers take turns, so that what else the machine does falls on all alike; of each the
median turn counts. Bars: 4 M rows/s for ours, and faster than Petastorm's own shuffling loader.
The record is written beside this script (--quick: none).
"""

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from petastorm import make_batch_reader
from petastorm.pytorch import BatchedDataLoader

from benchmarks.parts.record import bars, heading, stem, table, write_record
from esmm_dist.contract.features import CategoricalFeature, Group, HashEncoding, fingerprint
from esmm_dist.contract.manifest import (
    Day,
    EncodingsReference,
    Manifest,
    SampleColumn,
    SampleFile,
)
from esmm_dist.contract.schema import LABEL_COLUMNS, column_types
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader

NUM_CORES = 2
ROWS_PER_FILE = 65_536
BATCH_SIZE = 4096
ROWS_PER_SECOND_BAR = 4_000_000
SHUFFLING_LOADER = "petastorm loader, shuffled batches"
# Rows that Petastorm's queue mixes; ours mixes one file a lane, 524,288 rows.
SHUFFLING_QUEUE_CAPACITY = 65_536
FEATURES = tuple(
    CategoricalFeature(
        name=f"field_{place:02d}", group=Group.USER,
        encode=HashEncoding(hash_size=10 ** (2 + place % 5)),
    )
    for place in range(20)
)
COLUMNS = [*LABEL_COLUMNS, *(feature.name for feature in FEATURES)]
DAY = date(2024, 1, 1)
NOW = datetime(2024, 1, 2, tzinfo=UTC)

Reading = Callable[[], int]
"""Reads once and says how many rows came out."""


def write_samples(folder: Path, num_rows: int) -> Manifest:
    """Generates the files and the manifest that lists them."""
    rng = np.random.default_rng(1)
    files = []
    for number, start in enumerate(range(0, num_rows, ROWS_PER_FILE)):
        path = folder / f"part-{number:05d}.parquet"
        size = min(ROWS_PER_FILE, num_rows - start)
        pq.write_table(random_rows(rng, size), path, row_group_size=size, compression="snappy")
        files.append(SampleFile(path=path.name, num_rows=size, num_bytes=path.stat().st_size))
    day = Day(
        day=DAY, build_id="generated", built_at=NOW, as_of=None, files=tuple(files),
        num_rows=num_rows, num_clicks=0, num_conversions=0, first_event_time=NOW,
        last_event_time=NOW, counters={},
    )
    return Manifest(
        number=1, created_at=NOW, fingerprint=fingerprint(FEATURES),
        encodings=EncodingsReference(path="none", content_hash="none"),
        columns={name: SampleColumn(type=type_) for name, type_ in column_types(FEATURES).items()},
        shuffle_seed=1, days=(day,),
    )


def random_rows(rng: np.random.Generator, size: int) -> pa.Table:
    """Rows whose ids are uniform over each field's table."""
    click = rng.random(size) < 0.1
    # What is not named below (delays, …) is zero: nothing reads it.
    columns = {name: np.zeros(size, pa.type_for_alias(type_).to_pandas_dtype())
               for name, type_ in column_types(FEATURES).items()}
    columns |= {
        "sample_id": rng.integers(-(2**63), 2**63 - 1, size),
        "group_id": rng.integers(-(2**63), 2**63 - 1, size),
        "click": click.astype(np.int8),
        "conversion": (click & (rng.random(size) < 0.1)).astype(np.int8),
        "weight": np.ones(size, np.float32),
    }
    for feature in FEATURES:
        assert isinstance(feature.encode, HashEncoding)
        columns[feature.name] = rng.integers(1, feature.encode.hash_size, size).astype(np.int32)
    fields = [
        pa.field(name, pa.type_for_alias(type_), nullable=False)
        for name, type_ in column_types(FEATURES).items()
    ]
    return pa.table(columns, schema=pa.schema(fields))


def readings_of(folder: Path, manifest: Manifest) -> dict[str, Reading]:
    """The contenders by name."""
    paths = [folder / file.path for file in manifest.days[0].files]
    urls = [f"file://{path}" for path in paths]
    reader = SampleReader(folder, manifest, FEATURES, with_keys=False)

    def ours() -> int:
        plan = TrainPlan.make(
            reader.files([DAY]), batch_size=BATCH_SIZE, num_lanes=8, seed=1, epoch=0, num_ranks=1
        )
        with reader.train_batches(plan, rank=0) as batches:
            return sum(batch.num_rows for batch in batches)

    def petastorm_bare() -> int:
        with make_batch_reader(urls, schema_fields=COLUMNS, num_epochs=1) as groups:
            return sum(len(group.click) for group in groups)

    def petastorm_loader(urls: list[str], queue: int) -> int:
        groups = make_batch_reader(urls, schema_fields=COLUMNS, num_epochs=1)
        with BatchedDataLoader(groups, BATCH_SIZE, shuffling_queue_capacity=queue) as loader:
            return sum(len(batch["click"]) for batch in loader)

    def pyarrow_loop() -> int:
        return sum(pq.ParquetFile(path).read_row_group(0, COLUMNS).num_rows for path in paths)

    return {
        "ours, shuffled batches": ours,
        # An eighth of the files, or it would take up most of the time of the benchmark.
        SHUFFLING_LOADER: lambda: petastorm_loader(
            urls[: len(urls) // 8], SHUFFLING_QUEUE_CAPACITY
        ),
        "petastorm loader, unshuffled batches": lambda: petastorm_loader(urls, 0),
        "petastorm make_batch_reader, columns": petastorm_bare,
        "pyarrow loop, columns": pyarrow_loop,
    }


@dataclass
class Turns:
    """What one reader did, turn by turn."""

    rows_per_second: list[float] = field(default_factory=list)
    cpu_seconds_per_million: list[float] = field(default_factory=list)


def measure(readings: Mapping[str, Reading], num_turns: int) -> dict[str, Turns]:
    """All readers, in turns."""
    turns = {name: Turns() for name in readings}
    for turn in range(num_turns + 1):
        for name, reading in readings.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            num_read = reading()
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
            if turn:  # the first one warms the page cache and imports
                turns[name].rows_per_second.append(num_read / seconds)
                turns[name].cpu_seconds_per_million.append(cpu / num_read * 1e6)
    return turns


def speeds(turns: Mapping[str, Turns]) -> str:
    """Markdown."""
    return table(["", "M rows/s", "lowest", "highest", "CPU s per M rows"], [
        [name, *(f"{speed / 1e6:.2f}" for speed in (
            statistics.median(of_one.rows_per_second), min(of_one.rows_per_second),
            max(of_one.rows_per_second))),
         f"{statistics.median(of_one.cpu_seconds_per_million):.3f}"]
        for name, of_one in turns.items()])


def compared(turns: Mapping[str, Turns]) -> dict[str, float]:
    """Ours against the bar, and against each of the others."""
    ours, *others = (statistics.median(of_one.rows_per_second) for of_one in turns.values())
    return {"ours to 4 M rows/s": ours / ROWS_PER_SECOND_BAR} | {
        f"ours to {name}": ours / other for name, other in zip(list(turns)[1:], others)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true",
                        help="4 M rows instead of 10 M, three turns instead of five, no record")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    pa.set_cpu_count(NUM_CORES)
    torch.set_num_threads(NUM_CORES)
    num_rows, num_turns = (4_000_000, 3) if quick else (10_000_000, 5)
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_samples(Path(folder), num_rows)
        turns = measure(readings_of(Path(folder), manifest), num_turns)
    ratios = compared(turns)
    least = {"ours to 4 M rows/s": 1.0, f"ours to {SHUFFLING_LOADER}": 1.0}
    print(speeds(turns))
    if not quick:
        print(write_record(stem("read"), heading(
            "Reading: rows per second from Parquet to shuffled batches",
            "python -m benchmarks.read",
            f"{num_rows:,} rows of {len(FEATURES)} int32 ids, {NUM_CORES} cores, files in the page "
            f"cache; {num_turns} turns.",
        ) + f"\n{speeds(turns)}\n" + bars(
            ratios, least, lambda label: "No reason was measured in this run.")))
    print(json.dumps({
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()}, "bars": least,
        "missed": [name for name, bar in least.items() if ratios[name] < bar],
    }))


if __name__ == "__main__":
    main()
