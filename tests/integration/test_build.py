"""From logs to samples: what a build of two days of the example publishes."""

import struct
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from pyspark.sql import SparkSession

from esmm_dist.contract.config import load_config
from esmm_dist.contract.encoder import SPARK_SEED
from esmm_dist.contract.encodings import num_rows_of_feature
from esmm_dist.contract.features import MultiValuedFeature
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.manifest import Day, Manifest, read_encodings, read_manifest
from esmm_dist.contract.schema import SAMPLE_ID, column_types
from esmm_dist.contract.sections import Config
from esmm_dist.labelling.labels import mixed
from esmm_dist.samples.build import Builder

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "conf" / "kuairand.yaml"
EXAMPLE = ROOT / "examples" / "kuairand"
LOGS = ("impressions", "clicks", "conversions")
FIRST, SECOND = date(2022, 4, 24), date(2022, 4, 25)
FILE = "part-00000.parquet"
ARROW_TYPES = {
    "int64": pa.int64(), "int32": pa.int32(), "int8": pa.int8(), "float32": pa.float32(),
    "binary": pa.binary(),
}


def overrides(samples: Path, logs: Path = EXAMPLE) -> list[str]:
    """The example's first two days, fitted on the first."""
    return [
        f"samples.path={samples}",
        f"samples.days={{first: {FIRST}, last: {SECOND}}}",
        f"samples.fit_days={{first: {FIRST}, last: {FIRST}}}",
        f"train.days={{first: {FIRST}, last: {FIRST}}}",
        f"evaluate.days={{first: {SECOND}, last: {SECOND}}}",
        *[f"logs.{log}.path={logs / log}" for log in LOGS],
    ]


def build(spark: SparkSession, flags: Sequence[str], days: Sequence[date] = ()) -> Manifest:
    """What the job does, in a session that outlives it."""
    config = load_config(CONFIG, flags)
    manifest = Builder(spark, config, refit=False).build(days or days_of(config.samples.days))
    return manifest


@pytest.fixture(scope="module")
def samples(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of both days; no test changes them."""
    path = tmp_path_factory.mktemp("build") / "samples"
    build(spark, overrides(path))
    return path


@pytest.fixture
def config(samples: Path) -> Config:
    return load_config(CONFIG, overrides(samples))


def day_in(manifest: Manifest, day: date) -> Day:
    """One day of a manifest."""
    (found,) = manifest.select([day], "the test's samples")
    return found


def rows_of(samples: Path, day: Day) -> pa.Table:
    """A day's rows, in the order of its files."""
    return pa.concat_tables([pq.read_table(samples / file.path) for file in day.files])


def impression_hashes(day: date) -> list[int]:
    """The impressions of a day as the samples name them, found without Spark."""
    ids = pq.read_table(EXAMPLE / "impressions" / f"dt={day}" / FILE)["impression_id"].to_pylist()
    unsigned = [xxhash.xxh64_intdigest(text.encode(), SPARK_SEED) for text in dict.fromkeys(ids)]
    return np.array(unsigned, np.uint64).view(np.int64).tolist()


def num_rows_in(log: str, day: date) -> int:
    return int(pq.read_metadata(EXAMPLE / log / f"dt={day}" / FILE).num_rows)


def test_the_manifest_says_what_the_logs_hold(samples: Path) -> None:
    manifest = read_manifest(samples)
    assert [day.day for day in manifest.days] == [FIRST, SECOND]
    second = day_in(manifest, SECOND)
    assert second.counters["impressions_in"] == 14_898
    assert (second.num_rows, second.num_clicks, second.num_conversions) == (14_639, 6_500, 208)
    for day in manifest.days:
        for log in LOGS:
            assert day.counters[f"{log}_in"] == num_rows_in(log, day.day)
        assert day.num_rows == day.counters["impressions_out"] == len(impression_hashes(day.day))


def test_files_are_one_row_group_of_the_contracts_columns_without_nulls(
    samples: Path, config: Config
) -> None:
    wanted = {name: ARROW_TYPES[t] for name, t in column_types(config.features).items()}
    for day in read_manifest(samples).days:
        assert sum(file.num_rows for file in day.files) == day.num_rows
        assert len(day.files) == -(-day.counters["impressions_in"] // config.samples.rows_per_file)
        for file in day.files:
            path = samples / file.path
            found = pq.ParquetFile(path)
            assert found.num_row_groups == 1
            assert (file.num_rows, file.num_bytes) == (found.metadata.num_rows, path.stat().st_size)
            schema = found.schema_arrow
            assert dict(zip(schema.names, schema.types)) == wanted
            assert schema.names == list(wanted)
            assert not any(field.nullable for field in schema)


def test_rows_are_the_days_impressions_each_once_with_ids_that_fit_their_tables(
    samples: Path, config: Config
) -> None:
    manifest = read_manifest(samples)
    encodings = read_encodings(samples, manifest)
    for day in manifest.days:
        rows = rows_of(samples, day)
        assert sorted(rows[SAMPLE_ID].to_pylist()) == sorted(impression_hashes(day.day))
        clicks, conversions = (np.array(rows[name]) for name in ("click", "conversion"))
        assert (clicks.sum(), conversions.sum()) == (day.num_clicks, day.num_conversions)
        assert (conversions <= clicks).all()
        for feature in config.features:
            column = rows[feature.name].to_pylist()
            ids = (
                np.frombuffer(b"".join(column), "<i4") if isinstance(feature, MultiValuedFeature)
                else np.array(column)
            )
            assert 0 <= ids.min() and ids.max() < num_rows_of_feature(feature, encodings)


def test_rows_lie_in_the_order_of_the_seeded_hash(samples: Path, config: Config) -> None:
    """Files are ranges of one hash of the id, rows of a file lie in the order of another."""
    seed = config.samples.shuffle_seed
    hash_seed = xxhash.xxh64_intdigest(struct.pack("<q", seed), SPARK_SEED)
    day = day_in(read_manifest(samples), SECOND)
    num_files = len(day.files)
    for number, file in enumerate(day.files):
        ids = np.array(pq.ParquetFile(samples / file.path).read()[SAMPLE_ID])
        order = mixed(ids, seed)
        assert (order[1:] > order[:-1]).all()
        for identity in ids.tolist():
            hashed = xxhash.xxh64_intdigest(struct.pack("<q", identity), hash_seed)
            assert (((hashed >> 33) + 2**30) % 2**31) * num_files >> 31 == number
