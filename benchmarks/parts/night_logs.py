"""The logs and the config of some nights of the KuaiRand example, one of them spoilt."""

import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from esmm_dist.contract.config import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "conf" / "kuairand_nightly.yaml"
EXAMPLE = ROOT / "examples" / "kuairand"
LOGS = ("impressions", "clicks", "conversions")
POISON_SEED = 1


def write_logs(folder: Path, days: Sequence[date], poisoned: date | None) -> None:
    """Copies the example's days; of the poisoned one, labels go to impressions drawn by lot."""
    for log in LOGS:
        for day in days:
            part = f"{log}/dt={day}"
            shutil.copytree(EXAMPLE / part, folder / part)
    if poisoned is not None:
        impressions = pq.read_table(folder / f"impressions/dt={poisoned}", partitioning=None)
        ids = impressions["impression_id"].to_numpy()
        other = dict(zip(ids, np.random.default_rng(POISON_SEED).permutation(ids), strict=True))
        for log in LOGS[1:]:
            for file in sorted((folder / f"{log}/dt={poisoned}").glob("*.parquet")):
                _shuffle_labels(file, other)


def _shuffle_labels(file: Path, other: Mapping[str, str]) -> None:
    table = pq.read_table(file, partitioning=None)
    place = table.schema.get_field_index("impression_id")
    moved = [other.get(name, name) for name in table["impression_id"].to_pylist()]
    column = pa.array(moved, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), file)


def write_config(folder: Path, last: date) -> Path:
    """The nightly config with everything it reads and writes below the folder."""
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for log in LOGS:
        document["logs"][log]["path"] = str(folder / "logs" / log)
    document["name"] = "nightly_demo"
    document["runs_path"] = str(folder / "runs")
    document["samples"]["path"] = str(folder / "samples")
    document["publish"]["path"] = str(folder / "bundles")
    document["score"]["path"] = str(folder / "scores")
    document["retraining"] |= {"last_day": last.isoformat(), "retries": 1, "retry_minutes": 0.1}
    path = folder / "nightly_demo.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    load_config(path)
    return path
