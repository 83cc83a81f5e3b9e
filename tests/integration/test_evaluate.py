"""A trained run is measured: its figures are those of its predictions, whoever made them, and what
cannot be measured is refused in one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from esmm_dist.contract.command_line import EXIT_BAD_INPUT, run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.folds import folds_of
from esmm_dist.contract.manifest import Manifest
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluate import main
from esmm_dist.evaluation.scorecard import Scorecard
from esmm_dist.train import train_run
from esmm_dist.training.course import digest_of_course
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import horovodrun

FOLDS = ["2024-01-03", "2024-01-04"]
ROWS_PER_DAY = 3000


class Experiment:
    """A config file and the folder of its run."""

    def __init__(self, folder: Path, document: dict[str, Any], manifest: Manifest) -> None:
        self.config_path = write_config(folder, document)
        self.run_path = Path(document["runs_path"]) / document["name"]
        self.samples_path = Path(document["samples"]["path"])
        self.manifest = manifest

    def evaluate(self, *arguments: str) -> int:
        """The command's exit status."""
        return run_command(main, ["--config", str(self.config_path), *arguments])

    def copy(self, folder: Path) -> "Experiment":
        """The same, to be spoilt."""
        document = load_config(self.config_path).model_dump(mode="json")
        shutil.copytree(self.run_path, folder / "runs" / "small")
        shutil.copytree(self.samples_path, folder / "samples")
        document["runs_path"] = str(folder / "runs")
        document["samples"]["path"] = str(folder / "samples")
        write_config(folder / "runs" / "small", document)
        return Experiment(folder, document, self.manifest)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two folds, trained in this process."""
    folder = tmp_path_factory.mktemp("evaluate")
    document = small_document(folder, num_test_days=2) | {"note": "Rows made up for tests."}
    document["evaluate"]["retrain"] = "daily"
    manifest = write_samples(document, num_rows_of_day=ROWS_PER_DAY)
    found = Experiment(folder, document, manifest)
    train_run(load_config(found.config_path), SoloWorld(), resume=False)
    return found


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


# ---------------------------------------------------------------------------------------------
# What it refuses
# ---------------------------------------------------------------------------------------------


def remove_run(spoilt: Experiment) -> None:
    shutil.rmtree(spoilt.run_path)


def unfinish_checkpoint(spoilt: Experiment) -> None:
    for index in (spoilt.run_path / "checkpoints" / FOLDS[1]).glob("*/index.json"):
        index.unlink()


def forget_checkpoints(spoilt: Experiment) -> None:
    shutil.rmtree(spoilt.run_path / "checkpoints" / FOLDS[1])


def leave_fold_unfinished(spoilt: Experiment) -> None:
    """As a training leaves it that is killed after an interval's checkpoint."""
    amend_index(spoilt, step=7)


def leave_fold_of_earlier_run(spoilt: Experiment) -> None:
    """The course that another seed would have taken."""
    other = load_config(spoilt.config_path, ["train.seed=2"])
    amend_index(spoilt, course=digest_of_course(other, folds_of(other)[1]))


def amend_index(spoilt: Experiment, **values: Any) -> None:
    (path,) = (spoilt.run_path / "checkpoints" / FOLDS[1]).glob("*/index.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def damage_towers(spoilt: Experiment) -> None:
    for towers in (spoilt.run_path / "checkpoints" / FOLDS[0]).glob("*/towers.safetensors"):
        towers.write_bytes(towers.read_bytes()[:-1] + b"x")


def truncate_samples(spoilt: Experiment) -> None:
    file = spoilt.samples_path / spoilt.manifest.days[3].files[0].path
    file.write_bytes(file.read_bytes()[:1000])


def remove_manifest(spoilt: Experiment) -> None:
    (spoilt.samples_path / spoilt.manifest.path).unlink()


def nothing(spoilt: Experiment) -> None:
    pass


BAD = {
    "no run": (remove_run, [], ["runs/small", "no such run"]),
    "no checkpoint": (unfinish_checkpoint, [], [FOLDS[1], "no complete checkpoint"]),
    "no fold": (forget_checkpoints, [], [f"fold {FOLDS[1]} has no complete checkpoint",
                                         "--resume"]),
    "killed training": (leave_fold_unfinished, [], [f"fold {FOLDS[1]} has done 7 of its",
                                                    "--resume"]),
    "fold of an earlier run": (leave_fold_of_earlier_run, [],
                               [f"fold {FOLDS[1]} was trained by another train section"]),
    "damaged checkpoint": (damage_towers, [], ["towers.safetensors", "damaged"]),
    "truncated samples": (truncate_samples, [], ["day=2024-01-04", "part-00000.parquet"]),
    "no manifest": (remove_manifest, [], ["_manifests/00000001.json"]),
    "unknown name": (nothing, ["--run", "smal"], ["runs/smal", "no such run"]),
    "other model": (nothing, ["--set", "model.embedding_dim=9"],
                    ["model.embedding_dim = 6", "9", "train again"]),
    "other features": (nothing, ["--set", "features.slot.encode.hash_size=8"],
                       ["features.4.encode.hash_size = 7", "8"]),
    "a day never built": (nothing, ["--set", "evaluate.days.last=2024-01-05"],
                          ["2024-01-05", "no complete checkpoint"]),
    "one model for days never built": (
        nothing, ["--set", "evaluate.days.last=2024-01-07", "--set", "evaluate.retrain=once"],
        ["2024-01-05", "has no samples"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_no_report(
    experiment: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    damage, arguments, named = BAD[case]
    spoilt = experiment.copy(tmp_path)
    for left in ("metrics.json", "report.html"):
        (spoilt.run_path / left).unlink(missing_ok=True)
    damage(spoilt)
    assert spoilt.evaluate(*arguments) == EXIT_BAD_INPUT
    _, _, line = capsys.readouterr().err.partition("error: ")  # progress bars may stand before it
    assert line.endswith("\n") and line.count("\n") == 1
    assert all(text in line for text in named), line
    assert not (spoilt.run_path / "metrics.json").exists()
    assert not (spoilt.run_path / "report.html").exists()
