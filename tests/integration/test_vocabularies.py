"""Vocabularies: which rows teach them, how they grow, and the ids of an earlier time."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import CategoricalFeature, Group, VocabularyEncoding
from esmm_dist.contract.manifest import Manifest, read_encodings, read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.labelling.marks import Mark
from esmm_dist.samples.build import Builder
from esmm_dist.samples.filing import DAY as DAY_COLUMN
from esmm_dist.samples.filing import MARK
from esmm_dist.samples.fitting import Sighting, fitted, sightings
from esmm_dist.samples.io import Store
from esmm_dist.samples.logs import EVENT_TIME, IMPRESSION_ID, feature_column
from esmm_dist.samples.publication import publish
from tests.factories.built_samples import sample_id
from tests.factories.feature_logs import DAY, NOON, config_of, write_log
from tests.factories.spark_ids import read_log

pytestmark = pytest.mark.spark

NEXT_DAY = DAY + timedelta(days=1)
NAMES = {DAY: ["a", "a", "b"], NEXT_DAY: ["c", "c", "b", "b", "d", "a"]}


def test_no_vocabulary_learns_a_key_that_is_too_long_for_the_plan(
    spark: SparkSession, tmp_path: Path
) -> None:
    texts = ["x" * 60_000, "é" * 5_001, "x" * 10_000, "red", None]
    feature = CategoricalFeature(name="shop", group=Group.ITEM,
                                 encode=VocabularyEncoding(min_count=1))
    impressions = read_log(spark, tmp_path / "log", {"string": texts}).select(
        F.lit(Mark.IMPRESSION.value).alias(MARK), F.lit("2024-01-01").alias(DAY_COLUMN),
        F.col("row").alias(IMPRESSION_ID), F.timestamp_seconds("row").alias(EVENT_TIME),
        F.col("string").alias(feature_column(feature.name)),
    )
    seen = sightings(impressions, [feature], len(texts)).collect()
    found = fitted((Sighting(*row) for row in seen), [feature])
    assert found.vocabularies == {"shop": ("red", "x" * 10_000)}


def test_vocabularies_are_learned_of_the_earliest_row_of_an_impression_unless_such_rows_differ(
    spark: SparkSession
) -> None:
    """Which of them is kept is not known yet, and one that is not kept must not teach."""
    encode = VocabularyEncoding(min_count=1)
    city, shop = (CategoricalFeature(name=name, group=Group.USER, encode=encode)
                  for name in ("city", "shop"))
    rows = [
        ("one row", 1, "a", "p"), ("later row", 2, "b", "p"), ("later row", 1, "c", "p"),
        ("repeated", 1, "d", "p"), ("repeated", 1, "d", "p"), ("repeated", 1, "d", "p"),
        ("differ", 1, "e", "p"), ("differ", 1, "f", "p"), ("differ", 2, "g", "p"),
        ("differ in shop", 1, "h", "p"), ("differ in shop", 1, "h", None),
        ("again", -7, None, None), ("again", -9, None, None), ("again", 1, "i", "p"),
        ("again later", -8, None, None), ("again later", 1, "j", "q"),
    ]
    impressions = spark.createDataFrame(
        rows, f"{IMPRESSION_ID} string, {EVENT_TIME} int, {feature_column('city')} string, "
        f"{feature_column('shop')} string"
    ).withColumns({
        DAY_COLUMN: F.lit(0), EVENT_TIME: F.timestamp_seconds(EVENT_TIME),
        MARK: F.when(F.col(EVENT_TIME) < 0, Mark.IMPRESSION_BEFORE.value).otherwise(
            Mark.IMPRESSION.value
        ),
    })
    span = timedelta(seconds=8)
    found = [Sighting(*row)
             for row in sightings(impressions, [city, shop], len(rows), span).collect()]
    assert {(seen.name, seen.key, seen.num_rows) for seen in found} == {
        ("city", "a", 1), ("city", "c", 1), ("city", "d", 1), ("city", "j", 1), ("shop", "p", 3),
        ("shop", "q", 1),
    }
    found = [Sighting(*row) for row in sightings(impressions, [city], len(rows), span).collect()]
    assert {seen.key for seen in found} == set("acdhj")


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
