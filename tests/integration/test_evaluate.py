"""A trained run is measured: its figures are those of its predictions, whoever made them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.evaluate import main
from esmm_dist.evaluation.scorecard import Scorecard
from tests.factories.experiments import FOLDS, ROWS_PER_DAY, Experiment, train_experiment
from tests.factories.written_samples import write_config
from tests.integration.horovodrun import horovodrun


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two folds, trained in this process. What is rounded between ranks in a training is not where
    it is measured."""
    return train_experiment(tmp_path_factory.mktemp("evaluate"), embedding={"exchange": "float16"})


@pytest.fixture(scope="module")
def evaluated(experiment: Experiment) -> Experiment:
    """The same, once evaluated."""
    assert experiment.evaluate() == 0
    return experiment


def read(run_path: Path, directory: str) -> dict[str, np.ndarray[Any, Any]]:
    """All parts as any other tool would read them."""
    tables = [pq.read_table(path) for path in sorted((run_path / directory).rglob("*.parquet"))]
    return {name: np.concatenate([table[name].to_numpy() for table in tables])
            for name in tables[0].column_names}


# ---------------------------------------------------------------------------------------------
# What it leaves
# ---------------------------------------------------------------------------------------------


def test_it_ends_with_the_path_of_the_report(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert experiment.evaluate() == 0
    output = capsys.readouterr()
    report = Path(output.out.splitlines()[-1])
    assert report == experiment.run_path / "report.html" and report.exists()
    assert "ctcvr_auc" in output.out and "Rows made up for tests." in output.out
    assert "predict 2024-01-03" in output.err, "progress is shown"


def test_every_row_of_the_test_days_is_predicted_once_by_both(evaluated: Experiment) -> None:
    built = {
        sample_id: row for day in evaluated.manifest.days[2:] for file in day.files
        for *row, sample_id in zip(*(
            pq.read_table(evaluated.samples_path / file.path)[name].to_pylist()
            for name in ("click", "conversion", "group_id", "sample_id")
        ))
    }
    for directory in ("predictions", "reference"):
        rows = read(evaluated.run_path, directory)
        assert len(rows["sample_id"]) == 2 * ROWS_PER_DAY
        found = {sample_id: row for *row, sample_id in zip(*(
            rows[name].tolist() for name in ("click", "conversion", "group_id", "sample_id")
        ))}
        assert found == built
        assert set(np.datetime_as_string(rows["day"])) == set(FOLDS)


def test_metrics_are_those_of_the_predictions(evaluated: Experiment) -> None:
    text = (evaluated.run_path / "metrics.json").read_text()
    card = Scorecard.model_validate_json(text)
    for who, directory in (("model", "predictions"), ("reference", "reference")):
        rows = read(evaluated.run_path, directory)
        found = getattr(card.pooled, who)
        clicked = rows["click"] == 1
        assert found["ctr_auc"].value == pytest.approx(
            roc_auc_score(rows["click"], rows["ctr_logit"]))
        assert found["cvr_auc_click"].value == pytest.approx(
            roc_auc_score(rows["conversion"][clicked], rows["cvr_logit"][clicked]))
        assert found["ctr_auc"].value > 0.6, "it has learned something worth measuring"
    assert card.pooled.num_impressions == 2 * ROWS_PER_DAY
    assert [str(day) for day in card.days] == FOLDS
    assert [fold.name for fold in card.run.folds] == FOLDS
    assert card.run.note == "Rows made up for tests."


def test_the_report_shows_the_run(evaluated: Experiment) -> None:
    html = (evaluated.run_path / "report.html").read_text()
    assert "Rows made up for tests." in html and "ctr_loss" in html and FOLDS[1] in html


def test_a_run_is_found_by_its_name_with_its_own_config(
    evaluated: Experiment, tmp_path: Path
) -> None:
    """--run takes the config from the run, and --set still changes what is not trained."""
    document = load_config(evaluated.config_path).model_dump(mode="json")
    document |= {"name": "another"}
    document["train"]["batch_size"] = 77
    other = write_config(tmp_path, document)
    arguments = ["--config", str(other), "--run", "small", "--set", "evaluate.num_bootstraps=123"]
    assert run_command(main, arguments) == 0
    metrics = json.loads((evaluated.run_path / "metrics.json").read_text())
    assert metrics["run"]["num_bootstraps"] == 123


def test_rows_of_weight_zero_are_predicted_and_count_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    muted = experiment.copy(tmp_path)
    mute_every_third_row(muted)
    assert muted.evaluate() == 0
    rows = read(muted.run_path, "predictions")
    assert len(rows["weight"]) == 2 * ROWS_PER_DAY and 0 < (rows["weight"] == 0).mean() < 0.4
    counts = rows["weight"] > 0
    card = Scorecard.model_validate_json((muted.run_path / "metrics.json").read_text())
    assert card.pooled.model["ctr_auc"].value == pytest.approx(
        roc_auc_score(rows["click"][counts], rows["ctr_logit"][counts]))


def mute_every_third_row(muted: Experiment) -> None:
    """Writes the test days anew, with weights of 0, and the manifest that lists them."""
    path = muted.samples_path / muted.manifest.path
    manifest = json.loads(path.read_text())
    for file in [file for day in manifest["days"][2:] for file in day["files"]]:
        table = pq.read_table(muted.samples_path / file["path"])
        weights = pa.array(np.arange(len(table)) % 3 > 0).cast(pa.float32())
        place = table.column_names.index("weight")
        muted_table = table.set_column(place, table.schema.field("weight"), weights)
        pq.write_table(muted_table, muted.samples_path / file["path"])
        file["num_bytes"] = (muted.samples_path / file["path"]).stat().st_size
    path.write_text(json.dumps(manifest))


def test_a_curve_whose_last_line_was_cut_off_is_shown_as_far_as_it_goes(
    experiment: Experiment, tmp_path: Path
) -> None:
    cut = experiment.copy(tmp_path)
    curve = cut.run_path / "curves" / f"{FOLDS[0]}.jsonl"
    curve.write_bytes(curve.read_bytes()[:-7])
    assert cut.evaluate() == 0
    assert "ctr_loss" in (cut.run_path / "report.html").read_text()


@pytest.mark.distributed
def test_two_ranks_give_the_figures_of_one(experiment: Experiment, tmp_path: Path) -> None:
    alone, together = (experiment.copy(tmp_path / name) for name in ("alone", "together"))
    assert alone.evaluate() == 0
    done = horovodrun(2, "-m", "esmm_dist.evaluate", "--config", together.config_path)
    assert done.returncode == 0, done.stdout
    parts = sorted(p.name for p in (together.run_path / "predictions" / FOLDS[0]).iterdir())
    assert parts == ["part-0.parquet", "part-1.parquet"]
    one, two = (json.loads((e.run_path / "metrics.json").read_text()) for e in (alone, together))
    for who in ("model", "reference", "difference"):
        assert one["pooled"][who].keys() == two["pooled"][who].keys()
        for name, estimate in one["pooled"][who].items():
            assert two["pooled"][who][name] == pytest.approx(estimate, rel=1e-4, abs=1e-6), name
    rows = [read(e.run_path, "predictions") for e in (alone, together)]
    places = [np.argsort(of_one["sample_id"]) for of_one in rows]
    for logit in ("ctr_logit", "cvr_logit"):
        one_N, two_N = (of_one[logit][place] for of_one, place in zip(rows, places))
        np.testing.assert_allclose(two_N, one_N, rtol=1e-5, atol=1e-6)
