"""As-of joins against plain loops: ties, edges, nulls, rows that are old or came to light late, and
a key that half of all have."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import (
    CategoricalFeature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
)
from esmm_dist.contract.logs import SnapshotSource
from esmm_dist.labelling.flags import missing_column
from esmm_dist.samples.snapshots import (
    as_they_stood,
    check_snapshot_keys,
    read_snapshot,
)

pytestmark = pytest.mark.spark

START = datetime(2024, 3, 1, tzinfo=UTC)
END = START + timedelta(hours=2)
USERS = SnapshotSource(name="users", path="", key="user_id", ingest_time="arrived")
ITEMS = SnapshotSource(name="items", path="", key="item_id", max_age_hours=0.5)
TIME = pa.timestamp("us", "UTC")
TAGS = pa.list_(pa.string())
ENCODE = HashEncoding(hash_size=9)
FEATURES = (
    CategoricalFeature(name="city", group=Group.USER, encode=ENCODE, source="users"),
    MultiValuedFeature(
        name="tags", kind=Kind.MULTI_VALUED, group=Group.USER, encode=ENCODE, source="users"
    ),
    CategoricalFeature(name="price", group=Group.ITEM, encode=ENCODE, source="items"),
)


def instant(rng: random.Random) -> datetime:
    """One of 7,200 seconds, so that many are equal."""
    return START + timedelta(seconds=rng.randrange(7200))


def random_tables(seed: int) -> dict[str, list[dict[str, Any]]]:
    """4,000 impressions, half of them of one user, and two snapshots with ties and nulls."""
    rng = random.Random(seed)
    impressions = [
        {"impression_id": str(n), "event_time": None if n % 97 == 0 else instant(rng),
         "key_of_users": rng.choice(["hot", "hot", "hot", "a", "b", None]),
         "key_of_items": rng.choice([*range(30), None])}
        for n in range(4000)
    ]
    users = [
        {"user_id": rng.choice(["hot", "a", "c", None]),
         "event_time": rng.choice([instant(rng), instant(rng), None]),
         "arrived": rng.choice([instant(rng), None]),
         "city": rng.choice(["x", "y", None]),
         "tags": rng.choice([["p"], [], None])}
        for _ in range(3000)
    ]
    items = [
        {"item_id": rng.randrange(30), "event_time": instant(rng), "price": n}
        for n in range(60)
    ]
    return {"impressions": impressions, "users": users, "items": items}


SCHEMAS = {
    "impressions": pa.schema([("impression_id", pa.string()), ("event_time", TIME),
                              ("key_of_users", pa.string()), ("key_of_items", pa.int64())]),
    "users": pa.schema([("user_id", pa.string()), ("event_time", TIME), ("arrived", TIME),
                        ("city", pa.string()), ("tags", TAGS)]),
    "items": pa.schema([("item_id", pa.int64()), ("event_time", TIME), ("price", pa.int64())]),
}


def frames_of(
    spark: SparkSession, folder: Path, tables: dict[str, list[dict[str, Any]]]
) -> dict[str, DataFrame]:
    frames = {}
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[name]), folder / name / "0.parquet")
        frames[name] = spark.read.parquet(str(folder / name))
    for source in (USERS, ITEMS):
        frames[source.name] = read_snapshot(frames[source.name], source, FEATURES)
    return frames


def candidates(
    row: dict[str, Any], table: list[dict[str, Any]], source: SnapshotSource,
    max_age: timedelta | None,
) -> list[dict[str, Any]]:
    """The latest rows at or before an impression and known by then, and of those the ones that came
    to light last, several of which may be of both instants."""
    key, time = row[f"key_of_{source.name}"], row["event_time"]
    if key is None or time is None:
        return []
    before = [other for other in table if other[source.key] == key
              and other["event_time"] is not None and other["event_time"] <= time
              and known_from(other) <= time]
    latest = max((other["event_time"] for other in before), default=None)
    if latest is None or (max_age is not None and row["event_time"] - latest > max_age):
        return []
    at_once = [other for other in before if other["event_time"] == latest]
    known = max(known_from(other) for other in at_once)
    return [other for other in at_once if known_from(other) == known]


def known_from(row: dict[str, Any]) -> datetime:
    found: datetime = row.get("arrived") or row["event_time"]
    return found


def joined(frames: dict[str, DataFrame]) -> dict[str, dict[str, Any]]:
    snapshots = {name: frames[name] for name in ("users", "items")}
    rows = as_they_stood(frames["impressions"], snapshots, [USERS, ITEMS], END).collect()
    assert len({row.impression_id for row in rows}) == len(rows)
    return {row.impression_id: row.asDict() for row in rows}


def test_the_latest_row_that_was_known_at_the_impression_holds(
    spark: SparkSession, tmp_path: Path
) -> None:
    tables = random_tables(1)
    found = joined(frames_of(spark, tmp_path / "one", tables))
    assert len(found) == len(tables["impressions"])
    num_ties = 0
    for row in tables["impressions"]:
        its = found[row["impression_id"]]
        users = candidates(row, tables["users"], USERS, None)
        values = [(other["city"], other["tags"]) for other in users]
        num_ties += len({str(value) for value in values}) > 1
        assert its[missing_column("users")] == (not users)
        assert (its["feature_city"], its["feature_tags"]) in (values or [(None, None)])
        items = candidates(row, tables["items"], ITEMS, timedelta(minutes=30))
        assert its[missing_column("items")] == (not items)
        assert its["feature_price"] in ([o["price"] for o in items] or [None])
    assert num_ties > 20
    # The same rows in another order: what ties come to does not depend on it.
    shuffled = {name: random.Random(2).sample(rows, len(rows)) for name, rows in tables.items()}
    assert joined(frames_of(spark, tmp_path / "two", shuffled)) == found


def test_of_rows_of_one_instant_the_one_that_came_to_light_last_holds(
    spark: SparkSession, tmp_path: Path
) -> None:
    """A row is corrected twice: once before its time comes, and once an hour after it."""
    known = [-20, -10, None, 60]
    rows: dict[str, list[dict[str, Any]]] = {"users": [
        {"user_id": key, "event_time": START, "city": f"{minutes}",
         "arrived": None if minutes is None else START + timedelta(minutes=minutes)}
        for key, some in {"a": known, "b": known[:2], "c": known[1::-1]}.items()
        for minutes in some
    ], "impressions": [
        {"impression_id": f"{key}{minutes}", "event_time": START + timedelta(minutes=minutes),
         "key_of_users": key}
        for key in "abc" for minutes in (0, 59, 60)
    ], "items": []}
    found = joined(frames_of(spark, tmp_path, rows))
    assert {name: row["feature_city"] for name, row in found.items()} == {
        "a0": "None", "a59": "None", "a60": "60",
        **{f"{key}{minutes}": "-10" for key in "bc" for minutes in (0, 59, 60)},
    }


def test_a_million_rows_are_looked_up_without_a_join_or_a_driver(spark: SparkSession) -> None:
    """Half of the impressions are of one key, a tenth of none; a row a minute holds of each key."""
    minute = F.timestamp_seconds(F.lit(0).cast("bigint") + F.col("minute") * 60)
    rows = spark.range(1_000_000).select(
        (F.col("id") % 100_000).alias("item_id"), F.floor(F.col("id") / 100_000).alias("minute")
    ).select("item_id", minute.alias("event_time"), F.col("minute").cast("string").alias("price"))
    key = F.when(F.col("id") % 2 == 0, 7).when(F.col("id") % 10 != 1, F.col("id") % 100_000)
    impressions = spark.range(200_000).select(
        F.col("id").cast("string").alias("impression_id"), key.alias("key_of_items"),
        F.timestamp_seconds(F.col("id") % 600).alias("event_time"),
    )
    source = SnapshotSource(name="items", path="", key="item_id")
    found = as_they_stood(
        impressions.select("*", F.col("key_of_items").alias("key")),
        {"items": read_snapshot(rows, source, FEATURES)}, [source], END,
    )
    plan = found._jdf.queryExecution().optimizedPlan().toString()
    assert "Window" in plan and "Join" not in plan
    wanted = F.when(
        F.col("key").isNotNull(), F.floor(F.unix_seconds("event_time") / 60).cast("string")
    )
    told = found.agg(
        F.count("*").alias("all"),
        F.sum((~F.col("feature_price").eqNullSafe(wanted)).cast("int")).alias("wrong"),
        F.sum(F.col(missing_column("items")).cast("int")).alias("without"),
    ).collect()[0]
    assert (told["all"], told.wrong, told.without) == (200_000, 0, 20_000)


def test_keys_that_cannot_be_equal_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    frames = frames_of(spark, tmp_path, random_tables(1))
    wrong = frames["users"].withColumn("key_of_users", frames["users"].event_time.cast("bigint"))
    with pytest.raises(InputError) as caught:
        check_snapshot_keys(frames["impressions"], {"users": wrong})
    assert str(caught.value) == (
        "logs.snapshots.users: its key is bigint, in logs.impressions it is string: write it alike "
        "in both"
    )
