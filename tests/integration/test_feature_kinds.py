"""Kinds of features from a raw log to the samples: each value is what the encoder says of it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from esmm_dist.contract.encoder import (
    cross_encoder,
    encode_values,
    encoder_of,
    weights_of_values,
)
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import CrossFeature, MultiValuedFeature
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.labelling.thinning import left_out_and_weight
from esmm_dist.samples.build import Builder
from esmm_dist.samples.label_rules import thinning
from tests.factories.built_samples import sample_id
from tests.factories.encoding_vectors import packed
from tests.factories.feature_logs import DAY, NOON, config_of, write_log, write_snapshot

pytestmark = pytest.mark.spark

ROWS: list[dict[str, Any]] = [
    {"impression_id": "whole", "tags": ["a", None, "b", "a"], "counts": [0.5, 9.0, -2.0, 3.0]},
    {"impression_id": "cut", "tags": ["a", "b", "c", "d"], "counts": [1.0, 2.0, 3.0, 4.0]},
    {"impression_id": "short", "tags": ["a", "b"], "counts": [7.0], "hour": 7.5},
    {"impression_id": "null", "tags": ["a", "b"], "counts": [None, 0.0], "hour": 0.0},
    {"impression_id": "none", "tags": None, "counts": None, "hour": None},
    {"impression_id": "empty", "tags": [], "counts": []},
]


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
