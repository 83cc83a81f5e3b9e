"""Generated experiments for the benchmarks of training: samples, their manifest and a config.

Twenty fields of equal tables, ids uniform or by Zipf's law with exponent 1.1, rows without
anything to learn. The same ids lie beside the samples as a plain array, for those who read no
Parquet.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import fingerprint
from esmm_dist.contract.manifest import (
    ENCODINGS,
    MANIFESTS,
    Day,
    EncodingsReference,
    Manifest,
    SampleColumn,
    SampleFile,
)
from esmm_dist.contract.schema import column_types

NUM_FIELDS = 20
EMBEDDING_DIM = 18
HIDDEN_UNITS = (360, 200, 80)
BATCH_SIZE = 4096
ROWS_PER_FILE = 65_536
ZIPF_EXPONENT = 1.1
LAWS = ("uniform", "zipf")
DAY = date(2024, 1, 1)
NOW = datetime(2024, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Experiment:
    """Where an experiment lies."""

    config: Path
    arrays: Path
    """ids (N, 20) int32 and labels (N, 2) float32, for a contender that reads no Parquet."""
    num_rows: int
    """Of all tables together."""

    @property
    def curve(self) -> Path:
        """The points that its training leaves."""
        return self.config.parent / f"runs/bench/curves/{date(2024, 1, 2)}.jsonl"

    def points(self) -> list[dict[str, Any]]:
        """The curve's points, in order of steps."""
        return [json.loads(line) for line in self.curve.read_text().splitlines()]


def write_experiment(folder: Path, num_rows: int, law: str, num_steps: int) -> Experiment:
    """Writes samples for some steps over tables of `num_rows` rows in all."""
    folder.mkdir(parents=True)
    document = _document(folder, num_rows // NUM_FIELDS)
    config_path = folder / "config.yaml"
    config_path.write_text(yaml.safe_dump(document, sort_keys=False))
    rng = np.random.default_rng(1)
    num_samples = num_steps * BATCH_SIZE
    ids = _random_ids(rng, law, num_rows // NUM_FIELDS, num_samples)
    click = rng.random(num_samples) < 0.1
    labels = np.stack([click, click & (rng.random(num_samples) < 0.1)], axis=1)
    arrays = folder / "arrays.npz"
    np.savez(arrays, ids=ids, labels=labels.astype(np.float32))
    _write_samples(folder / "samples", document, ids, labels)
    return Experiment(config_path, arrays, num_rows)


def _document(folder: Path, rows_per_table: int) -> dict[str, Any]:
    log = {"path": str(folder / "logs")}
    days = {"first": DAY, "last": DAY}
    test_days = {"first": date(2024, 1, 2), "last": date(2024, 1, 2)}
    return {
        "name": "bench",
        "runs_path": str(folder / "runs"),
        "logs": {"impressions": log, "clicks": log, "conversions": log},
        "samples": {"path": str(folder / "samples"), "days": days, "fit_days": days},
        "features": [
            {"name": f"field_{place:02d}", "group": "user", "kind": "categorical",
             "encode": {"hash_size": rows_per_table}}
            for place in range(NUM_FIELDS)
        ],
        "model": {"embedding_dim": EMBEDDING_DIM, "hidden_units": list(HIDDEN_UNITS)},
        "train": {
            "days": days, "batch_size": BATCH_SIZE, "steps_per_checkpoint": None,
            "towers": {"name": "adam", "learning_rate": 0.001},
            "tables": {"name": "adagrad", "learning_rate": 0.05},
        },
        "evaluate": {"days": test_days},
    }


def _random_ids(
    rng: np.random.Generator, law: str, rows_per_table: int, num_samples: int
) -> NDArray[np.int32]:
    """(N, F) ids from 1 on, the frequent ones scattered over the table as hashing would."""
    shape = (num_samples, NUM_FIELDS)
    if law == "uniform":
        return rng.integers(1, rows_per_table, shape, dtype=np.int32)
    weights = np.arange(1, rows_per_table, dtype=np.float64) ** -ZIPF_EXPONENT
    ends = np.cumsum(weights / weights.sum())
    place_of_rank = 1 + rng.permutation(rows_per_table - 1).astype(np.int32)
    ids = np.empty(shape, np.int32)
    for field in range(NUM_FIELDS):
        ranks = np.searchsorted(ends, rng.random(num_samples) * ends[-1])
        ids[:, field] = place_of_rank[ranks]
    return ids


def _write_samples(
    root: Path, document: dict[str, Any], ids: NDArray[np.int32], labels: NDArray[np.bool_]
) -> None:
    config = parse_config(document, "generated")
    types = column_types(config.features)
    schema = pa.schema([pa.field(name, pa.type_for_alias(type_), nullable=False)
                        for name, type_ in types.items()])
    for directory in (MANIFESTS, ENCODINGS):
        (root / directory).mkdir(parents=True)
    files = []
    for number, start in enumerate(range(0, len(ids), ROWS_PER_FILE)):
        part = slice(start, start + ROWS_PER_FILE)
        size = len(ids[part])
        # What is not named here (keys, delays, …) is as good as zero: nothing reads it.
        columns = {name: np.zeros(size, pa.type_for_alias(type_).to_pandas_dtype())
                   for name, type_ in types.items()}
        columns |= {"click": labels[part, 0].astype(np.int8),
                    "conversion": labels[part, 1].astype(np.int8),
                    "weight": np.ones(size, np.float32)}
        columns |= {feature.name: np.ascontiguousarray(ids[part, place])
                    for place, feature in enumerate(config.features)}
        path = root / f"part-{number:05d}.parquet"
        pq.write_table(pa.table(columns, schema=schema), path, row_group_size=size)
        files.append(SampleFile(path=path.name, num_rows=size, num_bytes=path.stat().st_size))
    encodings = Encodings()
    reference = EncodingsReference(path=f"{ENCODINGS}/none.json",
                                   content_hash=encodings.content_hash)
    (root / reference.path).write_text(encodings.model_dump_json())
    day = Day(
        day=DAY, build_id="generated", built_at=NOW, as_of=None, files=tuple(files),
        num_rows=len(ids), num_clicks=int(labels[:, 0].sum()),
        num_conversions=int(labels[:, 1].sum()), first_event_time=NOW, last_event_time=NOW,
        counters={},
    )
    manifest = Manifest(
        number=1, created_at=NOW, fingerprint=fingerprint(config.features), encodings=reference,
        columns={name: SampleColumn(type=type_) for name, type_ in types.items()},
        shuffle_seed=1, days=(day,),
    )
    (root / manifest.path).write_text(manifest.model_dump_json())
