"""Published models score tables: what the trainer predicts, one score a row, whole days or none.

On real logs of two days, with a model that is really trained, evaluated, exported and published.
"""

import shutil
from contextlib import redirect_stdout
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from esmm_dist import evaluate, export, publish
from esmm_dist.calibration.maps import Scores, calibrated, rates_of
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.contract.scores import ScoresManifest
from esmm_dist.contract.sections import Config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluation.prediction_files import read_parts
from esmm_dist.samples.build import Builder
from esmm_dist.samples.encoding import tables_to_join
from esmm_dist.scoring.table import ScoringTable
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.predictor import Predictor, differences_on_sample
from esmm_dist.serving.store import store_of
from esmm_dist.train import train_run
from jobs.clean_samples import Stay, clean
from jobs.score_impressions import check_declaration, score, shipped
from tests.factories.built_samples import sample_id

# The fixture is five commands one after the other: minutes where the machine is busy.
pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "examples" / "kuairand"
TRAIN_DAY, DAY, NEXT_DAY = date(2022, 4, 30), date(2022, 5, 1), date(2022, 5, 2)
PROBABILITIES = ["p_ctr", "p_cvr", "p_ctcvr"]
TOLERANCE = 1e-6

Scored = tuple[ScoresManifest, dict[date, pa.Table]]
"""The manifest after days have been scored, and the rows that it lists by day."""


def flags(folder: Path) -> list[str]:
    train, test = (f"{{first: {first}, last: {last}}}"
                   for first, last in ((TRAIN_DAY, TRAIN_DAY), (DAY, DAY)))
    days = f"{{first: {TRAIN_DAY}, last: {DAY}}}"
    return [
        *[f"logs.{log}.path={LOGS / log}" for log in ("impressions", "clicks", "conversions")],
        f"samples.path={folder}/samples", f"runs_path={folder}/runs", f"samples.days={days}",
        f"publish.path={folder}/bundles", f"samples.fit_days={train}", f"train.days={train}",
        f"evaluate.days={test}", "evaluate.num_bootstraps=100",
    ]


@pytest.fixture(scope="module")
def folder(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples, a run, its evaluation, its export and its bundle, each by its own command."""
    folder = tmp_path_factory.mktemp("score")
    config = config_in(folder)
    Builder(spark, config, refit=False).build([TRAIN_DAY, DAY])
    train_run(config, SoloWorld(), resume=False)
    overrides = [part for flag in flags(folder) for part in ("--set", flag)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for command in (evaluate.main, export.main, publish.main):
            assert run_command(command, overrides) == 0
    return folder


def config_in(folder: Path, *more: str) -> Config:
    return load_config(ROOT / "conf" / "kuairand.yaml", [*flags(folder), *more])


def bundle_in(folder: Path) -> Bundle:
    return store_of(config_in(folder)).open("current")


def scored(spark: SparkSession, folder: Path, config: Config, *days: date) -> Scored:
    bundle = bundle_in(folder)
    score(spark, config, bundle, shipped(bundle), days)
    path = Path(config.score.path or f"{config.runs_path}/kuairand/scores")
    latest = max((path / "_manifests").glob("*.json"))
    manifest = ScoresManifest.parse(latest.read_text(), str(latest))
    rows = {
        day.day: pa.concat_tables(pq.ParquetFile(path / file.path).read() for file in day.files)
        for day in manifest.days
    }
    return manifest, rows


def log_of(day: date) -> list[dict[str, Any]]:
    (path,) = (LOGS / "impressions" / f"dt={day}").glob("*.parquet")
    return list(pq.ParquetFile(path).read().to_pylist())


def trainers_probabilities(folder: Path, calibration: Calibration) -> dict[int, list[float]]:
    """What evaluation predicted of the test day, by sample."""
    found, _ = read_parts(folder / "runs" / "kuairand" / "predictions" / "2022-05-01")
    rates = rates_of(calibrated(Scores(found.ctr_logit_N, found.cvr_logit_N), calibration))
    columns = [column for column in rates if column is not None]
    return dict(zip(found.sample_id_N.tolist(), np.column_stack(columns).tolist()))


@pytest.fixture(scope="module")
def of_day(spark: SparkSession, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """What the test day has come to."""
    path = tmp_path_factory.mktemp("scores")
    return scored(spark, folder, config_in(folder, f"score.path={path}"), DAY)


def test_scores_are_the_trainers_and_every_row_has_one(folder: Path, of_day: Scored) -> None:
    config, bundle = config_in(folder), bundle_in(folder)
    assert tables_to_join(config.features, bundle.encodings), "large vocabularies are joined"
    manifest, rows = of_day
    log, (day,) = log_of(DAY), manifest.days
    assert rows[DAY].column_names == ["impression_id", *PROBABILITIES] == list(day.columns)
    assert day.num_rows == rows[DAY].num_rows == len(log) and day.bundle == bundle.name
    found = dict(zip(rows[DAY]["impression_id"].to_pylist(),
                     np.column_stack([rows[DAY][name] for name in PROBABILITIES])))
    assert found.keys() == {row["impression_id"] for row in log}
    wanted = trainers_probabilities(folder, bundle.calibration)
    built = {sample_id(key): key for key in found if sample_id(key) in wanted}
    (samples_day,) = read_manifest(config.samples.path).select([DAY], "samples")
    assert len(built) == len(wanted) == samples_day.num_rows
    differences = [np.abs(found[key] - wanted[number]).max() for number, key in built.items()]
    assert max(differences) <= TOLERANCE
    assert len({tuple(p) for p in found.values()}) > len(found) / 2, "rows differ"


def test_a_request_gets_the_score_of_its_row(folder: Path, of_day: Scored) -> None:
    _, rows = of_day
    by_job = {row.pop("impression_id"): row for row in rows[DAY].to_pylist()}
    log = log_of(DAY)[:500]
    online = Predictor.open(bundle_in(folder).path).predict(log)
    for row, found in zip(log, online, strict=True):
        assert list(found) == PROBABILITIES
        for name, value in by_job[row["impression_id"]].items():
            assert abs(found[name] - value) <= TOLERANCE


class Again(NamedTuple):
    """Two days that have been scored, and the later of them once more; no test changes them."""

    path: Path
    first: ScoresManifest
    second: ScoresManifest
    rows: dict[date, pa.Table]
    told: str


@pytest.fixture(scope="module")
def again(spark: SparkSession, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Again:
    path = tmp_path_factory.mktemp("again")
    config = config_in(folder, f"score.path={path}")
    first, _ = scored(spark, folder, config, DAY, NEXT_DAY)
    with redirect_stdout(StringIO()) as told:
        second, rows = scored(spark, folder, config, NEXT_DAY)
    return Again(path, first, second, rows, told.getvalue())


def test_a_day_that_is_scored_again_is_replaced_and_others_stay(again: Again) -> None:
    path, first, second, rows, told = again
    assert [day.day for day in first.days] == [day.day for day in second.days] == [DAY, NEXT_DAY]
    assert second.number == first.number + 1 and second.days[0] == first.days[0]
    assert second.days[1].build_id != first.days[1].build_id
    assert rows[NEXT_DAY].num_rows == len(log_of(NEXT_DAY))
    assert told.splitlines()[-1] == f"{path}/{second.path}"
    assert not list((path / "_drafts").iterdir())


def test_scores_that_were_replaced_are_cleaned_away_if_one_says_so(
    spark: SparkSession, folder: Path, again: Again, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = shutil.copytree(again.path, tmp_path / "scores")
    config = config_in(folder, f"score.path={path}")
    killed = path / "_drafts" / "killed" / "part-0.parquet"
    killed.parent.mkdir(parents=True)
    killed.write_bytes(b"half")
    replaced = path / again.first.days[1].files[0].path
    stay = Stay(num_kept=1, pinned=(), grace=timedelta(hours=1))
    clean(spark, config, stay, of_scores=True, deletes=True)
    assert replaced.exists() and killed.exists(), "within the grace"
    stay = stay._replace(grace=timedelta(seconds=-60))  # as if it were a minute later
    clean(spark, config, stay, of_scores=True, deletes=False)
    assert replaced.exists() and killed.exists(), "a dry run"
    told = capsys.readouterr().out
    assert "not needed: manifest 1, build 1, draft 1" in told and "give --delete" in told
    clean(spark, config, stay, of_scores=True, deletes=True)
    assert not replaced.parent.exists() and not killed.parent.exists()
    assert not (path / again.first.path).exists()
    assert {path.parent for path in path.glob("day=*/build=*/*.parquet")} == {
        (path / file.path).parent for day in again.second.days for file in day.files
    }


def test_any_table_with_the_features_is_scored_by_keys_of_its_own(
    spark: SparkSession, folder: Path, tmp_path: Path
) -> None:
    """Candidates: no impression_id, no time; a pair twice, keys that are null or of no log."""
    names = [feature.name for feature in config_in(folder).features]
    (path,) = (LOGS / "impressions" / f"dt={DAY}").glob("*.parquet")
    table = pq.ParquetFile(path).read(names).slice(0, 40)
    unknown = table.slice(0, 1).set_column(0, "user_id", pa.nulls(1, table["user_id"].type))
    (tmp_path / "candidates" / "dt=2030-01-01").mkdir(parents=True)
    pq.write_table(pa.concat_tables([table, table.slice(5, 1), unknown]),
                   tmp_path / "candidates" / "dt=2030-01-01" / "0.parquet")
    config = config_in(
        folder, f"score.path={tmp_path}/scores", "score.keys=[user_id, video_id]",
        f"score.impressions={{path: {tmp_path}/candidates, partition: dt}}",
    )
    day = date(2030, 1, 1)
    _, rows = scored(spark, folder, config, day)
    assert rows[day].column_names == ["user_id", "video_id", *PROBABILITIES]
    assert rows[day].num_rows == 42 and rows[day]["user_id"].null_count == 1
    repeated = table.slice(5, 1).to_pylist()[0]
    twice = [row for row in rows[day].to_pylist()
             if (row["user_id"], row["video_id"]) == (repeated["user_id"], repeated["video_id"])]
    assert len(twice) >= 2 and twice[0] == twice[1]


def test_the_exported_model_says_of_the_bundles_sample_what_the_trainer_said(
    folder: Path
) -> None:
    bundle = bundle_in(folder)
    assert len(bundle.sample.rows) == 64
    differences = differences_on_sample(bundle)
    assert list(differences) == PROBABILITIES
    assert 0 < max(differences.values()) <= TOLERANCE


# ---------------------------------------------------------------------------------------------
# Refusals
# ---------------------------------------------------------------------------------------------


def manifests(folder: Path) -> list[Path]:
    return list(folder.glob("_manifests/*.json"))


def test_nothing_is_published_where_rows_are_lost(
    spark: SparkSession, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = ScoringTable.count
    monkeypatch.setattr(ScoringTable, "count", lambda *args: {
        day: number + 1 for day, number in counted(*args).items()
    })
    config = config_in(folder, f"score.path={tmp_path}")
    with pytest.raises(AssertionError, match="scores of .* rows"):
        scored(spark, folder, config, DAY)
    assert not manifests(tmp_path)


def test_a_day_that_the_table_lacks_is_refused_by_name(
    spark: SparkSession, folder: Path, tmp_path: Path
) -> None:
    config = config_in(folder, f"score.path={tmp_path}")
    with pytest.raises(InputError, match=r"logs.impressions .*: no rows for the day 2030-01-01"):
        scored(spark, folder, config, DAY, date(2030, 1, 1))
    assert not manifests(tmp_path)


def test_numbers_that_have_become_texts_are_refused_by_name(
    spark: SparkSession, folder: Path, tmp_path: Path
) -> None:
    """They would hash to other ids."""
    (path,) = (LOGS / "impressions" / f"dt={DAY}").glob("*.parquet")
    table = pq.ParquetFile(path).read()
    place = table.column_names.index("user_id")
    table = table.set_column(place, "user_id", table["user_id"].cast(pa.string()))
    (tmp_path / "table" / f"dt={DAY}").mkdir(parents=True)
    pq.write_table(table, tmp_path / "table" / f"dt={DAY}" / "0.parquet")
    config = config_in(folder, f"score.impressions={{path: {tmp_path}/table, partition: dt}}")
    with pytest.raises(InputError, match="values of user_id are texts, the model has learned from "
                                         "numbers: write them alike"):
        scored(spark, folder, config, DAY)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("features.tab.encode={min_count: 3}", "features.tab.encode is "),
        ("features.tags.max_length=9", "features.tags.max_length is 9, built with 8"),
    ],
)
def test_a_bundle_of_other_features_is_refused(folder: Path, override: str, reason: str) -> None:
    with pytest.raises(InputError, match="trained with other features") as caught:
        check_declaration(bundle_in(folder), config_in(folder, override), "conf/kuairand.yaml")
    assert reason in str(caught.value)
