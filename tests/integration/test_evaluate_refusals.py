"""What cannot be measured is refused in one line, and leaves no report."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.command_line import EXIT_BAD_INPUT
from esmm_dist.contract.config import load_config
from esmm_dist.contract.folds import folds_of
from esmm_dist.training.course import digest_of_course
from tests.factories.experiments import FOLDS, Experiment, train_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two folds, trained in this process."""
    return train_experiment(tmp_path_factory.mktemp("evaluate"))


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
    (checkpoint,) = (spoilt.run_path / "checkpoints" / FOLDS[1]).glob("step-*")
    checkpoint.rename(checkpoint.with_name("step-000000007"))


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


def put_a_file_in_the_way(spoilt: Experiment) -> None:
    shutil.rmtree(spoilt.run_path / "predictions", ignore_errors=True)
    (spoilt.run_path / "predictions").write_text("no folder")


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
    "unwritable": (put_a_file_in_the_way, [], [f"predictions/{FOLDS[0]}: Not a directory"]),
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
