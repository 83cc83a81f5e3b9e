"""Logs and snapshots lie in tables and in files of any format: the samples are the same."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import Manifest
from esmm_dist.contract.sections import Config
from tests.factories.raw_logs import config_of, dirty_logs, write_logs
from tests.oracles.log_rows import Rules, start_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

DAY = date(2026, 3, 1)
HOUR = timedelta(hours=1)
RULES = Rules(ZoneInfo("UTC"), 6 * HOUR, 6 * HOUR, ("order",))
WITH_MICROSECONDS = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of a day in Parquet, and a snapshot of users; no test changes them."""
    folder = tmp_path_factory.mktemp("sources")
    write_logs(dirty_logs(9, 300, [DAY], RULES, True), folder, True, num_files=1, seed=1)
    since = start_of(DAY, RULES.zone)
    write_users(folder, [
        {"user_id": user, "event_time": since + hours * HOUR, "city": f"{user}{hours}"}
        for user in ("u", "v", None) for hours in (0, 7, 13)
    ])
    return folder


def write_users(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "users").mkdir()
    schema = pa.schema([("user_id", pa.string()), ("event_time", pa.timestamp("us", "UTC")),
                        ("city", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "users" / "0.parquet")


def config_with(folder: Path, samples: Path, **sources: dict[str, Any]) -> Config:
    """The config of a folder's tables, with other words on where some of them lie."""
    document = config_of(folder, True, RULES, DAY, DAY).model_dump(mode="json")
    users = {"name": "users", "path": str(folder / "users"), "key": "user_id"}
    for log in ("impressions", "clicks", "conversions"):
        document["logs"][log] |= sources.get(log, {})
    document["logs"]["snapshots"] = [users | sources.get("users", {})]
    document["samples"]["path"] = str(samples)
    document["features"].append({"name": "city", "group": "user", "kind": "categorical",
                                 "source": "users", "encode": {"min_count": 1}})
    return parse_config(document, "test")


def build(spark: "SparkSession", config: Config) -> Manifest:
    from esmm_dist.samples.build import Builder

    return Builder(spark, config, refit=False).build([DAY])


def contents(config: Config, manifest: Manifest) -> list[bytes]:
    return [(Path(config.samples.path) / file.path).read_bytes()
            for day in manifest.days for file in day.files]


def test_tables_and_other_formats_give_the_same_files_as_parquet(
    spark: "SparkSession", lying: Path, tmp_path: Path
) -> None:
    """Impressions and users in the catalog, clicks in ORC, conversions in CSV."""
    plain = config_with(lying, tmp_path / "plain")
    wanted = build(spark, plain)
    frames = {name: spark.read.parquet(str(lying / name))
              for name in ("impressions", "clicks", "conversions", "users")}
    spark.sql("CREATE DATABASE shop")
    try:
        frames["impressions"].write.partitionBy("dt").saveAsTable("shop.impressions")
        frames["users"].write.format("orc").saveAsTable("shop.users")
        frames["clicks"].write.partitionBy("dt").orc(str(tmp_path / "clicks"))
        frames["conversions"].write.options(header="true", **WITH_MICROSECONDS).csv(
            str(tmp_path / "conversions")
        )
        other = config_with(
            lying, tmp_path / "other",
            impressions={"path": None, "table": "shop.impressions"},
            users={"path": None, "table": "shop.users"},
            clicks={"path": str(tmp_path / "clicks"), "format": "orc"},
            conversions={
                "path": str(tmp_path / "conversions"), "format": "csv",
                "options": {"header": "true", "inferSchema": "true", **WITH_MICROSECONDS},
            },
        )
        found = build(spark, other)
    finally:
        spark.sql("DROP DATABASE shop CASCADE")
    assert found.days[0].counters == wanted.days[0].counters
    assert found.days[0].num_conversions > 0 < found.days[0].counters["samples_without_users"]
    assert contents(other, found) == contents(plain, wanted)


@pytest.mark.parametrize(
    "table, told",
    [
        ("shop.nothing", "logs.clicks (shop.nothing): Spark's catalog has no such table"),
        ("shop-a.clicks", "logs.clicks (shop-a.clicks): this is no table's name: put what is no"),
        ("lake.shop.clicks", "logs.clicks (lake.shop.clicks): Spark"),
    ],
)
def test_a_table_that_is_not_there_is_named(
    spark: "SparkSession", lying: Path, tmp_path: Path, table: str, told: str
) -> None:
    config = config_with(lying, tmp_path / "s", clicks={"path": None, "table": table})
    with pytest.raises(InputError) as raised:
        build(spark, config)
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize(
    "form, options, told",
    [
        ("csv", {}, 'let Spark read times by logs.clicks.options: {inferSchema: "true"}'),
        ("csv", {"inferSchema": "true"}, "say by logs.clicks.options.timestampFormat how times"),
        ("json", {}, 'let Spark read times by logs.clicks.options: {inferTimestamp: "true"}'),
    ],
)
def test_a_time_that_spark_reads_as_a_text_is_told_with_the_option(
    spark: "SparkSession", lying: Path, tmp_path: Path, form: str, options: dict[str, str],
    told: str,
) -> None:
    from esmm_dist.samples.io import open_logs

    lines = {"csv": "event_time,impression_id\n1.3.2026,i\n",
             "json": '{"event_time": "2026-03-01T12:00:00Z", "impression_id": "i"}\n'}
    (tmp_path / "clicks").write_text(lines[form])
    source = {"path": str(tmp_path / "clicks"), "format": form, "partition": None}
    config = config_with(lying, tmp_path / "s",
                         clicks=source | {"options": {"header": "true"} | options})
    with pytest.raises(InputError, match="'event_time' is string, a timestamp is wanted") as raised:
        open_logs(spark, config)
    assert told in str(raised.value)


@pytest.mark.parametrize(("form", "num_nameless"), [("csv", 1), ("json", 0)])
def test_a_line_that_is_not_of_its_format_ends_the_build_unless_the_options_say_otherwise(
    spark: "SparkSession", lying: Path, tmp_path: Path, form: str, num_nameless: int
) -> None:
    """Read as nulls it lies under no day, and a click is lost without a word."""
    lines = {"csv": ["event_time,impression_id", f"{DAY}T12:00:00Z,i", f"{DAY}T13:00:00Z"],
             "json": [f'{{"event_time": "{DAY}T12:00:00Z", "impression_id": "i"}}', '{"event_ti']}
    log = tmp_path / f"clicks.{form}"
    log.write_text("\n".join(lines[form]) + "\n")
    options = {"header": "true", "inferSchema": "true", "inferTimestamp": "true"}
    source = {"path": str(log), "format": form, "partition": None}
    with pytest.raises(InputError, match=f"{log}.?: a line is not of its format"):
        build(spark, config_with(lying, tmp_path / "s", clicks=source | {"options": options}))
    options["mode"] = "PERMISSIVE"
    config = config_with(lying, tmp_path / "s", clicks=source | {"options": options})
    assert build(spark, config).days[0].counters["clicks_null_id"] == num_nameless


def test_a_group_key_is_one_whole_number_whatever_its_width(
    spark: "SparkSession", lying: Path, tmp_path: Path
) -> None:
    """An int hashes otherwise than a long: a user would be another one on other days."""
    from esmm_dist.samples.io import open_logs

    rows = pq.ParquetFile(next((lying / "impressions").rglob("*.parquet"))).read().slice(0, 1)
    for kind in (pa.int16(), pa.int32(), pa.int64()):
        folder = tmp_path / str(kind) / f"dt={DAY}"
        folder.mkdir(parents=True)
        place = rows.column_names.index("user_id")
        numbers = pa.array([7], kind)
        pq.write_table(rows.set_column(place, "user_id", numbers), folder / "0.parquet")
        config = config_with(lying, tmp_path / "s", impressions={"path": str(folder.parent)})
        impressions = open_logs(spark, config).impressions
        assert impressions.schema["group_key"].dataType.simpleString() == "bigint"


def test_an_outcome_that_the_log_lacks_is_refused(
    spark: "SparkSession", lying: Path, tmp_path: Path
) -> None:
    config = config_with(lying, tmp_path / "s", impressions={"outcomes": ["revenu"]})
    with pytest.raises(InputError, match="no column 'revenu'; the nearest is 'revenue': correct "
                                         "logs.impressions.outcomes"):
        build(spark, config)


def with_type(name: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    """Gives a column another type."""
    def changed(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        return table.set_column(place, name, table[name].cast(kind))

    return changed


@pytest.mark.parametrize(
    "change, at_all_files, told",
    [
        (with_type("event_time", pa.timestamp("ns", "UTC")), True,
         "the column 'event_time' is INT64 (TIMESTAMP(NANOS,true)), which Spark cannot read: "
         "write it as microseconds"),
        (with_type("event_time", pa.timestamp("ns", "UTC")), False,
         "1.parquet: the column 'event_time' is INT64 there and timestamp in the other files"),
        (with_type("revenue", pa.string()), False,
         "1.parquet: the column 'revenue' is BINARY there and double in the other files"),
    ],
    ids=["nanoseconds", "nanoseconds in one file", "a text"],
)
def test_a_type_that_cannot_be_read_is_told_with_its_column(
    spark: "SparkSession", tmp_path: Path, change: Callable[[pa.Table], pa.Table],
    at_all_files: bool, told: str,
) -> None:
    write_logs(dirty_logs(9, 60, [DAY], RULES, True), tmp_path, True, num_files=2, seed=1)
    write_users(tmp_path, [])
    one = tmp_path / "conversions" / f"dt={DAY}" / "1.parquet"
    for path in sorted((tmp_path / "conversions").rglob("*.parquet")):
        if at_all_files or path == one:
            pq.write_table(change(pq.ParquetFile(path).read()), path)
    config = config_with(tmp_path, tmp_path / "samples", conversions={"value": "revenue"})
    with pytest.raises(InputError) as raised:
        build(spark, config)
    assert told in str(raised.value) and "\n" not in str(raised.value)
