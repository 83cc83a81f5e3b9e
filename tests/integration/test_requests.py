"""Whole requests: raw rows of a log get the ids that the built samples have, without Spark and
by the scoring job, from the same rows and the encodings that the build learned."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.exported import inputs_of
from esmm_dist.contract.manifest import read_encodings
from esmm_dist.contract.sections import Config
from esmm_dist.contract.value_kinds import ValueKind, agreed
from esmm_dist.samples.build import Builder
from esmm_dist.scoring.table import ScoringTable
from esmm_dist.serving.inputs import of_arrow
from esmm_dist.serving.requests import RequestEncoder
from tests.factories.built_samples import sample_id
from tests.factories.random_values import AWKWARD, random_value
from tests.factories.spark_ids import ARROW_TYPES

pytestmark = pytest.mark.spark

NUM_ROWS = 1_500
DAY = date(2024, 3, 1)
MORNING = datetime(2024, 3, 1, 6, tzinfo=UTC)
KINDS = ("string", "int64", "double", "float", "boolean")
SCHEMA = pa.schema([
    ("impression_id", pa.string()), ("event_time", pa.timestamp("us", "UTC")),
    ("user_id", pa.string()),
    *[(kind, ARROW_TYPES[kind]) for kind in KINDS],
    *[(f"list_{kind}", pa.list_(ARROW_TYPES[kind])) for kind in ("string", "double")],
    ("counts", pa.list_(pa.float64())),
])


def features() -> list[dict[str, Any]]:
    """Every kind and encoding, each on every type of column that it takes."""
    declared: list[dict[str, Any]] = []
    for kind in KINDS:
        of: dict[str, Any] = {"group": "user", "kind": "categorical"}
        declared += [{"name": f"hashed_{kind}", "encode": {"hash_size": 997}, **of},
                     {"name": f"known_{kind}", "encode": {"min_count": 2}, **of}]
        if kind != "string":
            declared.append({"name": f"cut_{kind}", "group": "item", "kind": "numeric",
                             "encode": {"num_quantiles": 8}})
    for kind in ("string", "double"):
        of = {"group": "item", "kind": "multi_valued", "max_length": 3}
        declared += [{"name": f"hashes_{kind}", "encode": {"hash_size": 97}, **of},
                     {"name": f"keys_{kind}", "encode": {"min_count": 2}, "weights": "counts",
                      **of}]
    return declared + [
        {"name": "pair", "kind": "cross", "of": ["hashed_string", "cut_double"],
         "encode": {"hash_size": 10_000}},
        {"name": "city", "group": "user", "kind": "categorical", "source": "users",
         "encode": {"min_count": 1}},
    ]


def column_of(feature: dict[str, Any]) -> str:
    """The column of the log that a feature is made of."""
    kind = feature["name"].partition("_")[2]
    return f"list_{kind}" if feature["kind"] == "multi_valued" else kind


def from_log() -> list[dict[str, Any]]:
    return [f for f in features() if f["kind"] != "cross" and "source" not in f]


def random_rows(rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for n in range(NUM_ROWS):
        row: dict[str, Any] = {kind: random_value(rng, kind) for kind in KINDS}
        if n < 30:
            row |= {kind: AWKWARD[kind][n] for kind in KINDS if n < len(AWKWARD[kind])}
        for kind in ("string", "double"):
            row[f"list_{kind}"] = rng.choice([None, [
                random_value(rng, kind) for _ in range(rng.randrange(6))
            ]])
        row["counts"] = rng.choice([None, [random_value(rng, "double") for _ in range(3)]])
        rows.append(row | {"impression_id": str(n), "user_id": rng.choice(["u", "v", None]),
                           "event_time": MORNING + timedelta(seconds=n)})
    return rows


def config_in(folder: Path) -> Config:
    days, later = {"first": str(DAY), "last": str(DAY)}, str(DAY + timedelta(days=1))
    logs: dict[str, Any] = {
        log: {"path": str(folder / log), "empty_days": "allow"}
        for log in ("impressions", "clicks", "conversions")
    }
    logs["impressions"]["columns"] = {f["name"]: column_of(f) for f in from_log()}
    logs["snapshots"] = [{"name": "users", "path": str(folder / "users"), "key": "user_id"}]
    return parse_config({
        "name": "requests", "logs": logs, "features": features(),
        "samples": {"path": str(folder / "samples"), "days": days, "fit_days": days},
        "train": {"days": days}, "evaluate": {"days": {"first": later, "last": later}},
    }, "test")


def as_written_elsewhere(request: dict[str, Any]) -> dict[str, Any]:
    """Numbers as texts and texts as numbers, wherever that is one and the same value."""
    def other(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return value if name == "counts" else [other(name, one) for one in value]
        if isinstance(value, (bool, float)) or value is None:
            return value
        if isinstance(value, int):
            return str(value)
        is_whole = value.removeprefix("-").isdecimal() and str(int(value)) == value
        return int(value) if is_whole and abs(int(value)) < 2**63 else value

    return {name: other(name, value) for name, value in request.items()}


class Built(NamedTuple):
    """The log as written and what was made of it."""

    config: Config
    rows: list[dict[str, Any]]
    samples: dict[int, dict[str, Any]]
    encodings: Encodings
    kinds: dict[str, ValueKind]


@pytest.fixture(scope="module")
def built(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("requests")
    rows = random_rows(random.Random(7))
    for log, of_log in {"impressions": rows, "clicks": [], "conversions": []}.items():
        (folder / log).mkdir()
        pq.write_table(pa.Table.from_pylist(of_log, SCHEMA), folder / log / "0.parquet")
    (folder / "users").mkdir()
    users = {"user_id": ["u", "u"], "city": ["rome", "oslo"],
             "event_time": [MORNING - timedelta(days=1), MORNING + timedelta(seconds=700)]}
    pq.write_table(pa.table(users), folder / "users" / "0.parquet")
    config = config_in(folder)
    manifest = Builder(spark, config, refit=False).build([DAY])
    (day,) = manifest.days
    samples = [row for file in day.files
               for row in pq.ParquetFile(folder / "samples" / file.path).read().to_pylist()]
    # as any client would read the log back
    read = pq.read_table(folder / "impressions" / "0.parquet").to_pylist()
    return Built(config, read, {row["sample_id"]: row for row in samples},
                 read_encodings(config.samples.path, manifest), agreed([day.value_kinds]))


def test_the_manifest_says_how_values_were_logged(built: Built) -> None:
    assert built.kinds == {
        f["name"]: "text" if f["name"] == "city" or column_of(f).endswith("string") else "number"
        for f in features() if f["kind"] != "cross"
    } | {"group_id": "text"}


def request_of(row: dict[str, Any], number: int) -> dict[str, Any]:
    """A log's row as a client sends it; what a snapshot says, it has looked up."""
    city = None if row["user_id"] != "u" else "rome" if number < 700 else "oslo"
    return {f["name"]: row[column_of(f)] for f in from_log()} | {
        "counts": row["counts"], "city": city,
    }


def unpacked(column: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, bytes):
        return (value,)
    return tuple(np.frombuffer(value, "<f4" if column.endswith("_weights") else "<i4").tolist())


def test_a_request_gets_the_ids_of_its_sample(built: Built) -> None:
    encoder = RequestEncoder(built.config.features, built.encodings, built.kinds)
    assert len(built.samples) == len(built.rows) == NUM_ROWS
    seen: dict[str, set[Any]] = {one.name: set() for one in encoder.inputs}
    for number, row in enumerate(built.rows):
        sample = built.samples[sample_id(row["impression_id"])]
        ids = encoder.ids(request_of(row, number))
        wanted = {name: unpacked(name, sample[name]) for name in ids}
        assert ids == wanted, row
        assert encoder.ids(as_written_elsewhere(request_of(row, number))) == wanted, row
        for name, values in ids.items():
            seen[name] |= set(values)
    assert all(len(values) > 1 for values in seen.values()), "no input is always the same"


def test_texts_that_have_become_numbers_are_not_built_into_the_same_samples(
    spark: SparkSession, built: Built, tmp_path: Path
) -> None:
    read = pq.read_table(Path(str(built.config.logs.impressions.path)) / "0.parquet")
    place = read.schema.get_field_index("string")
    pq.write_table(read.set_column(place, "string", pa.array(range(read.num_rows))),
                   tmp_path / "0.parquet")
    impressions = built.config.logs.impressions.model_copy(update={"path": str(tmp_path)})
    logs = built.config.logs.model_copy(update={"impressions": impressions})
    builder = Builder(spark, built.config.model_copy(update={"logs": logs}), refit=False)
    with pytest.raises(InputError, match="values of hashed_string are numbers in the log, those of "
                                         f"{DAY} were texts, which hash to other ids"):
        builder.build([DAY])


def test_what_as_of_hides_of_the_logs_is_scored_and_what_of_snapshots_is_refused(
    spark: SparkSession, built: Built
) -> None:
    samples = built.config.samples.model_copy(update={"as_of": MORNING + timedelta(seconds=300)})
    config = built.config.model_copy(update={"samples": samples})
    table = ScoringTable(spark, config, config.features, built.kinds)
    assert table.count([DAY]) == {DAY: NUM_ROWS}
    with pytest.raises(InputError, match=f"hides what snapshots knew later, and {DAY} ends after"):
        table.encoded([DAY], built.encodings)


def test_the_scoring_job_encodes_the_same_ids(spark: SparkSession, built: Built) -> None:
    table = ScoringTable(spark, built.config, built.config.features, built.kinds)
    encoded = table.encoded([DAY], built.encodings)
    assert table.count([DAY]) == {DAY: NUM_ROWS}
    inputs = inputs_of(built.config.features)
    rows = encoded.toArrow().combine_chunks().to_batches()
    assert sum(batch.num_rows for batch in rows) == NUM_ROWS
    requests = {row["impression_id"]: request_of(row, n) for n, row in enumerate(built.rows)}
    encoder = RequestEncoder(built.config.features, built.encodings)
    for batch in rows:
        keys = batch.column("key 0").to_pylist()
        wanted = encoder.encode([requests[key] for key in keys])
        found = of_arrow(batch, inputs)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
