"""Kinds of features from a raw log to the samples: each value is what the encoder says of it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.encoder import (
    cross_encoder,
    encode_values,
    encoder_of,
    weights_of_values,
)
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import CrossFeature, MultiValuedFeature
from esmm_dist.contract.manifest import Manifest, read_encodings, read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.labelling.thinning import left_out_and_weight
from esmm_dist.samples.build import Builder
from esmm_dist.samples.io import Store
from esmm_dist.samples.label_rules import thinning
from esmm_dist.samples.publication import publish
from tests.factories.built_samples import sample_id
from tests.factories.encoding_vectors import packed

pytestmark = pytest.mark.spark

DAY = date(2024, 3, 1)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"impression_id": "whole", "tags": ["a", None, "b", "a"], "counts": [0.5, 9.0, -2.0, 3.0]},
    {"impression_id": "cut", "tags": ["a", "b", "c", "d"], "counts": [1.0, 2.0, 3.0, 4.0]},
    {"impression_id": "short", "tags": ["a", "b"], "counts": [7.0], "hour": 7.5},
    {"impression_id": "null", "tags": ["a", "b"], "counts": [None, 0.0], "hour": 0.0},
    {"impression_id": "none", "tags": None, "counts": None, "hour": None},
    {"impression_id": "empty", "tags": [], "counts": []},
]
SCHEMA = pa.schema([
    ("impression_id", pa.string()), ("event_time", pa.timestamp("us", "UTC")),
    ("user_id", pa.string()), ("hour", pa.float64()), ("seen", pa.timestamp("us", "UTC")),
    ("tags", pa.list_(pa.string())), ("counts", pa.list_(pa.float64())),
])


def write_log(
    folder: Path, rows: list[dict[str, Any]], clicks: Sequence[dict[str, Any]] = ()
) -> None:
    """Impressions, a second apart, clicks if there are any, and no conversions."""
    plain = [{"event_time": NOON + timedelta(seconds=n), "user_id": "u"} | row
             for n, row in enumerate(rows)]
    for log, of_log in {"impressions": plain, "clicks": clicks, "conversions": []}.items():
        (folder / log).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(list(of_log), SCHEMA), folder / log / "0.parquet")


def write_snapshot(folder: Path, rows: list[dict[str, Any]]) -> None:
    """A table of users."""
    folder.mkdir(parents=True)
    schema = pa.schema([("user_id", pa.string()), ("city", pa.string()),
                        ("since", pa.timestamp("us", "UTC"))])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "0.parquet")


def config_of(
    folder: Path, features: list[dict[str, Any]], snapshots: Sequence[dict[str, Any]] = (),
    columns: dict[str, str] | None = None,
) -> Config:
    days, later = {"first": str(DAY), "last": str(DAY)}, str(DAY + timedelta(days=1))
    logs = ("impressions", "clicks", "conversions")
    return parse_config({
        "name": "kinds",
        "logs": {log: {"path": str(folder / log), "empty_days": "allow"} for log in logs} | {
            "impressions": {"path": str(folder / "impressions"), "columns": columns or {}},
            "snapshots": list(snapshots),
        },
        "samples": {"path": str(folder / "samples"), "days": days, "fit_days": days},
        "features": features,
        "train": {"days": days}, "evaluate": {"days": {"first": later, "last": later}},
    }, "test")


def built(spark: SparkSession, config: Config) -> tuple[dict[int, dict[str, Any]], dict[str, int]]:
    """The samples by their id, and the day's counters."""
    Builder(spark, config, refit=False).build([DAY])
    (day,) = read_manifest(config.samples.path).days
    rows = [row for file in day.files
            for row in pq.ParquetFile(f"{config.samples.path}/{file.path}").read().to_pylist()]
    return {row["sample_id"]: row for row in rows}, day.counters


def test_lists_are_packed_with_their_weights_and_values_are_crossed(
    spark: SparkSession, tmp_path: Path
) -> None:
    hashed = {"group": "item", "kind": "multi_valued", "encode": {"hash_size": 100}}
    config = config_of(tmp_path, [
        {"name": "tags", "weights": "counts", "max_length": 3, **hashed},
        {"name": "user_id", "group": "user", "kind": "categorical", "encode": {"hash_size": 9}},
        {"name": "hour", "group": "context", "kind": "numeric", "encode": {"boundaries": [6, 18]}},
        {"name": "user_hour", "kind": "cross", "of": ["user_id", "hour"],
         "encode": {"hash_size": 1000}},
        {"name": "city", "group": "user", "kind": "categorical", "source": "users",
         "encode": {"min_count": 1}},
        {"name": "user_city", "kind": "cross", "of": ["user_id", "city"],
         "encode": {"hash_size": 1000}},
    ], [{"name": "users", "path": str(tmp_path / "users"), "key": "user_id",
         "columns": {"event_time": "since"}}])
    write_snapshot(tmp_path / "users", [
        {"user_id": "u", "city": "old", "since": NOON - timedelta(days=9)},
        {"user_id": "u", "city": "new", "since": NOON + timedelta(seconds=2)},
        {"user_id": "u", "city": "later", "since": NOON + timedelta(seconds=90)},
        {"user_id": None, "city": "nowhere", "since": NOON - timedelta(days=9)},
    ])
    # The first id twice, with other weights: that is another content.
    nobody = {"impression_id": "nobody", "user_id": "v"}
    other = {**ROWS[0], "event_time": NOON, "counts": [1.0, 9.0, -2.0, 3.0]}
    keyless = {"impression_id": "keyless", "user_id": None}
    write_log(tmp_path, [*ROWS, nobody, other, keyless])
    samples, counters = built(spark, config)
    tags, cross = config.features[0], config.features[3]
    assert isinstance(tags, MultiValuedFeature) and isinstance(cross, CrossFeature)
    crossed = cross_encoder(cross, config.features, Encodings())
    encode = encoder_of(tags, Encodings())
    for row in ROWS[1:]:
        sample = samples[sample_id(row["impression_id"])]
        assert sample["tags"] == packed(encode_values(tags, encode, row["tags"]))
        weights = np.frombuffer(sample["tags_weights"], "<f4").tolist()
        assert tuple(weights) == weights_of_values(tags, row["tags"], row["counts"])
        assert sample["user_hour"] == crossed(["u", row.get("hour")])
    assert {samples[sample_id(row["impression_id"])]["user_hour"] > 0 for row in ROWS} == {
        True, False
    }
    # The vocabulary is learned from the same rows: new for four of them, old for two, null for one.
    cities = [samples[sample_id(row["impression_id"])]["city"] for row in ROWS]
    assert cities == [3, 3, 2, 2, 2, 2]
    assert samples[sample_id("nobody")]["city"] == samples[sample_id("nobody")]["user_city"] == 0
    assert samples[sample_id("keyless")]["city"] == samples[sample_id("keyless")]["user_city"] == 0
    assert counters["samples_without_users"] == 2
    either = np.frombuffer(samples[sample_id("whole")]["tags_weights"], "<f4").tolist()
    assert either in ([0.5, -2.0, 3.0], [1.0, -2.0, 3.0])
    assert (counters["impressions_conflicting"], counters["impressions_repeated"]) == (1, 0)
    assert (counters["samples_tags_cut"], counters["samples_tags_unweighted"]) == (1, 2)


def test_a_value_of_after_its_impression_is_refused_with_an_example(
    spark: SparkSession, tmp_path: Path
) -> None:
    names = [f"hour_{n}" for n in range(30)]  # with more flags than fit an int
    config = config_of(tmp_path, [
        {"name": name, "group": "user", "kind": "numeric", "encode": {"boundaries": [1, 2]},
         "time": "seen" if name == names[-1] else "event_time"}
        for name in names
    ], columns={name: "hour" for name in names})
    second = timedelta(seconds=1)
    write_log(tmp_path, [
        {"impression_id": "at", "event_time": NOON, "seen": NOON},
        {"impression_id": "unknown", "event_time": NOON, "seen": None},
        {"impression_id": "later", "event_time": NOON + 2 * second, "seen": NOON + 3 * second},
        {"impression_id": "late", "event_time": NOON + second, "seen": NOON + 9 * second},
    ])
    with pytest.raises(InputError) as caught:
        Builder(spark, config, refit=False).build([DAY])
    assert str(caught.value) == (
        "features.hour_29: on 2024-03-01 2 samples have a value of after their impression by the "
        "column 'seen', the first is the impression 'late': log the value as it was when it was "
        "shown"
    )
    assert not (tmp_path / "samples" / "_manifests").exists()


def test_unclicked_samples_are_left_out_at_the_declared_rate_and_counted(
    spark: SparkSession, tmp_path: Path
) -> None:
    config = config_of(tmp_path, [
        {"name": "hour", "group": "user", "kind": "numeric", "encode": {"boundaries": [1, 2]}},
    ])
    num_rows, num_clicked, rate = 400, 40, 0.25
    of_day = config.samples.model_copy(update={
        "unclicked_rate": rate, "unclicked_days": config.samples.days, "rows_per_file": 150,
    })
    config = config.model_copy(update={"samples": of_day})
    write_log(tmp_path, [{"impression_id": str(n)} for n in range(num_rows)],
              [{"impression_id": str(n), "event_time": NOON + timedelta(hours=1)}
               for n in range(num_clicked)])
    samples, counters = built(spark, config)
    rates = thinning(config)
    assert rates is not None
    ids = np.array([sample_id(str(n)) for n in range(num_rows)])
    is_clicked = (np.arange(num_rows) < num_clicked).astype(np.int8)
    times = np.full(num_rows, rates.first_time)
    is_left_out, weights = left_out_and_weight(rates, ids, times, is_clicked)
    assert {i: row["weight"] for i, row in samples.items()} == dict(
        zip(ids[~is_left_out].tolist(), weights[~is_left_out].tolist())
    )
    assert {row["weight"] for row in samples.values()} == {1.0, 1 / rate}
    assert counters["samples_left_out"] == is_left_out.sum() == num_rows - len(samples) > 200
    assert counters["impressions_out"] == len(samples)
    assert counters["samples_clicked"] == num_clicked
    (day,) = read_manifest(config.samples.path).days
    assert day.unclicked_rate == rate


def test_a_rate_that_keeps_nothing_of_a_day_is_told(spark: SparkSession, tmp_path: Path) -> None:
    config = config_of(tmp_path, [
        {"name": "hour", "group": "user", "kind": "numeric", "encode": {"boundaries": [1, 2]}},
    ])
    few = config.samples.model_copy(update={"unclicked_rate": 1e-6})
    write_log(tmp_path, ROWS)
    with pytest.raises(InputError, match="samples.unclicked_rate = 1e-06: it leaves out all 6 "):
        built(spark, config.model_copy(update={"samples": few}))


# ---------------------------------------------------------------------------------------------
# Vocabularies that grow
# ---------------------------------------------------------------------------------------------

NEXT_DAY = DAY + timedelta(days=1)
NAMES = {DAY: ["a", "a", "b"], NEXT_DAY: ["c", "c", "b", "b", "d", "a"]}


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of two days, of which the second brings a key that is frequent and one that is not."""
    folder = tmp_path_factory.mktemp("growing")
    write_log(folder, [
        {"impression_id": f"{day} {n}", "event_time": NOON + (day - DAY), "user_id": name}
        for day, names in NAMES.items() for n, name in enumerate(names)
    ])
    return folder


def growing_config(folder: Path, fit_day: date) -> Config:
    config = config_of(folder, [
        {"name": "user_id", "group": "user", "kind": "categorical", "encode": {"min_count": 2}},
        {"name": "hour", "group": "context", "kind": "numeric", "encode": {"num_quantiles": 2}},
    ])
    fit_days = DayRange(first=fit_day, last=fit_day)
    samples = config.samples.model_copy(update={"fit_days": fit_days})
    return config.model_copy(update={"samples": samples})


def ids_of(config: Config, day: date) -> list[int]:
    """The ids of a published day's users, in the order of the log."""
    (found,) = read_manifest(config.samples.path).select([day], "samples")
    rows = {row["sample_id"]: row["user_id"] for file in found.files for row in
            pq.ParquetFile(f"{config.samples.path}/{file.path}").read().to_pylist()}
    return [rows[sample_id(f"{day} {n}")] for n in range(len(NAMES[day]))]


def test_a_later_build_appends_and_no_id_changes_its_meaning(
    spark: SparkSession, growing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, later = growing_config(growing, DAY), growing_config(growing, NEXT_DAY)
    before = Builder(spark, first, refit=False).build([DAY])
    after = Builder(spark, later, refit=False, append=True).build([NEXT_DAY])
    assert "vocabulary user_id: 1 keys and 2 new" in capsys.readouterr().err

    encodings = read_encodings(later.samples.path, after)
    assert encodings.vocabularies["user_id"] == ("a", "b", "c")
    assert encodings.ancestry == after.encodings.ancestry == (before.encodings.content_hash,)
    assert [day.day for day in after.days] == [DAY, NEXT_DAY]
    assert after.days[0] == before.days[0]
    assert ids_of(later, DAY) == [2, 2, 1]
    assert ids_of(later, NEXT_DAY) == [4, 4, 3, 3, 1, 2]

    with pytest.raises(InputError, match=f"samples.fit_days is {DAY} .* from {NEXT_DAY}"):
        Builder(spark, first, refit=False)
    # One that began before and publishes now joins what it finds; a stranger is refused.
    store = Store(spark, later.samples.path)
    joined = publish(store, first, before.encodings, before.days, starts_anew=False)
    assert joined.encodings == after.encodings and joined.number == after.number + 1
    assert [day.day for day in joined.days] == [DAY, NEXT_DAY]
    stranger = store.save(Encodings(vocabularies={"user_id": ("b", "a")}))
    with pytest.raises(InputError, match="published other ids meanwhile: the vocabulary user_id "
                                         "has as entry 1 of 3 'a' in the one, and of 2 'b' in"):
        publish(store, first, stranger, before.days, starts_anew=False)
    assert store.latest()[0] == joined


def as_of(config: Config, instant: datetime) -> Config:
    return config.model_copy(
        update={"samples": config.samples.model_copy(update={"as_of": instant})}
    )


def test_a_rebuild_for_a_past_instant_gives_the_ids_of_then(
    spark: SparkSession, growing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_path(config: Config) -> Config:
        samples = config.samples.model_copy(update={"path": str(tmp_path / "samples")})
        return config.model_copy(update={"samples": samples})

    def contents(manifest: Manifest) -> list[bytes]:
        return [(tmp_path / "samples" / file.path).read_bytes() for file in manifest.days[0].files]

    midnight, next_midnight = (NOON + timedelta(hours=12 + 24 * n) for n in range(2))
    first, later = (with_path(growing_config(growing, day)) for day in (DAY, NEXT_DAY))
    then = Builder(spark, as_of(first, midnight), refit=False).build([DAY])
    grown = Builder(spark, as_of(later, next_midnight), refit=False, append=True).build([DAY])
    assert grown.days[0].encodings == grown.encodings.content_hash != then.encodings.content_hash
    assert ids_of(later, DAY) == [2, 2, 3]

    back = as_of(later, midnight)
    with pytest.raises(InputError, match=f"{DAY} was built as of .* riper than .* --go-back"):
        Builder(spark, back, refit=False).build([DAY])
    # Today's config, and that of then, run again as it was.
    for config, append in ((back, False), (as_of(first, midnight), True)):
        capsys.readouterr()
        again = Builder(spark, config, False, append, goes_back=True).build([DAY])
        told = capsys.readouterr().err
        assert "keys appended since were not known then" in told
        assert ("keys were appended already" in told) == append
        assert contents(again) == contents(then)
        assert again.days[0].encodings == then.encodings.content_hash
        assert again.encodings == grown.encodings, "the keys appended since are not lost"
        assert ids_of(later, DAY) == [2, 2, 1]
    assert Store(spark, later.samples.path).vocabulary(grown.encodings, "user_id", 2).collect() \
        == [("a", 2), ("b", 3)]
