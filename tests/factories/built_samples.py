"""Samples built from raw logs by the real job, and read back with nothing but pyarrow."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import xxhash

from esmm_dist.contract.manifest import Day
from tests.factories.raw_logs import Logs, config_of, write_logs
from tests.oracles.log_rows import Rules

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SPARK_HASH_SEED = 42

TIMES = ("click_delay_s", "conversion_delay_s", "observed_s", "mature")

Labels = dict[int, tuple[int, int, int, float, tuple[int, ...]]]


def sample_id(impression_id: str) -> int:
    """XXH64 of the id as a signed number."""
    unsigned = int(xxhash.xxh64_intdigest(impression_id.encode(), seed=SPARK_HASH_SEED))
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned


def built(
    spark: "SparkSession", logs: Logs, folder: Path, is_partitioned: bool, rules: Rules,
    days: tuple[date, ...], seed: int = 0,
) -> dict[date, tuple[Day, Labels]]:
    """The published days, and of each sample click, conversion, the feature's id, the value, and
    TIMES."""
    from esmm_dist.samples.build import Builder

    write_logs(logs, folder, is_partitioned, num_files=2, seed=seed)
    config = config_of(folder, is_partitioned, rules, days[0], days[-1])
    manifest = Builder(spark, config, refit=False).build(days)
    return {day.day: (day, _labels(folder / "samples", day)) for day in manifest.days}


def _labels(samples: Path, day: Day) -> Labels:
    found: Labels = {}
    for file in day.files:
        # One file alone: the folder names above it are no columns.
        for row in pq.ParquetFile(samples / file.path).read().to_pylist():
            assert row["sample_id"] not in found
            worth = row.get("conversion_value", 0.0)
            times = tuple(row[name] for name in TIMES)
            found[row["sample_id"]] = (row["click"], row["conversion"], row["value"], worth, times)
    return found
