"""What stops a training and what a user reads then: one line, told once, nothing half written."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.command_line import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    run_command,
)
from esmm_dist.contract.config import load_config
from esmm_dist.train import main
from esmm_dist.training.checkpoint import latest_checkpoint
from esmm_dist.training.curve import read_curve
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import ROOT, horovodrun

FOLD = "2024-01-03"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small experiment whose samples are written: 40 steps of 240 rows."""
    document = small_document(tmp_path_factory.mktemp("refusals"))
    write_samples(document, num_rows_of_day=4_800)
    return document


def lines_of_ranks(output: str) -> list[str]:
    """What the ranks wrote, without the progress bar; the launcher adds a traceback of its own."""
    lines = [line.partition("<stderr>:") for line in output.splitlines() if "<stderr>:" in line]
    # the bar, what the tables take, and the shell that the launcher ends
    silent = ("samples/s", "tables: ", "Terminated")
    return [text for _, _, text in lines if text.strip() and not any(s in text for s in silent)]


@pytest.mark.distributed
def test_a_loss_that_is_not_finite_stops_all_ranks_with_the_step_and_the_field(
    document: dict[str, Any], tmp_path: Path
) -> None:
    """Rows grow by 1e38 times their gradient: each rank's numbers are finite when the sum is not,
    so the field is found among both ranks'."""
    config = write_config(tmp_path, document)
    done = horovodrun(2, "-m", "esmm_dist.train", "--config", config, "--set", "name=wild",
                      "--set", "train.tables={name: sgd, learning_rate: 1e38}")
    assert done.returncode != 0
    fields = "|".join(feature["name"] for feature in document["features"])
    (line,) = lines_of_ranks(done.stdout)
    assert re.match(rf"error: step [12]: the loss is not finite .*\bfield ({fields})\b", line), line
    assert not (Path(document["runs_path"]) / "wild" / "checkpoints" / FOLD).exists()


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("override", "named"), [("train.batch_size=1000000", "9,600"), ("train.sed=1", "seed")]
)
def test_what_all_ranks_refuse_is_told_once(
    document: dict[str, Any], tmp_path: Path, override: str, named: str
) -> None:
    config = write_config(tmp_path, document)
    done = horovodrun(2, "-m", "esmm_dist.train", "--config", config, "--set", override)
    assert done.returncode != 0
    (line,) = lines_of_ranks(done.stdout)
    assert line.startswith("error: ") and named in line


def bad_inputs() -> list[Any]:
    """Overrides, and what the one line must name."""
    return [
        pytest.param("train.batch_size=1000000", ["train.batch_size", "9,600"], id="large batch"),
        pytest.param("samples.path=nowhere", ["nowhere", "build_samples"], id="no samples"),
        pytest.param("features.slot.encode.hash_size=8", ["rebuild the samples"], id="features"),
        pytest.param("train.batch_sise=3", ["batch_sise", "batch_size"], id="typo"),
        pytest.param("train.days.first=2023-12-30", ["2023-12-30", "no samples"], id="missing day"),
    ]


@pytest.mark.parametrize(("override", "named"), bad_inputs())
def test_bad_input_is_one_line_and_leaves_no_run(
    document: dict[str, Any], tmp_path: Path, override: str, named: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = write_config(tmp_path, document | {"runs_path": str(tmp_path / "runs")})
    assert run_command(main, ["--config", str(config), "--set", override]) == EXIT_BAD_INPUT
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert all(text in line for text in named)
    assert not (tmp_path / "runs").exists()


def test_the_config_of_a_run_is_written_as_it_was_resolved(
    document: dict[str, Any], tmp_path: Path
) -> None:
    flags = ["name: odd", "note: 'NO, 12:30 and 1e-3 are texts'", "train.batch_size: 480"]
    flags = [flag.replace(": ", "=", 1) for flag in flags]
    config = write_config(tmp_path, document)
    argv = ["--config", str(config), *(word for flag in flags for word in ("--set", flag))]
    assert run_command(main, argv) == 0
    written = Path(document["runs_path"]) / "odd" / "config.yaml"
    assert load_config(written) == load_config(config, flags)


def test_what_an_earlier_run_left_is_removed_before_another_one_begins(
    document: dict[str, Any], tmp_path: Path
) -> None:
    runs_path = tmp_path / "runs"
    config = write_config(tmp_path, document | {"runs_path": str(runs_path)})
    left = ["metrics.json", "report.html", "predictions/2023-01-01/part-0.parquet",
            "reference/2023-01-01/part-0.parquet",
            "checkpoints/2023-01-01/step-000000001/index.json", "curves/2023-01-01.jsonl",
            "events/2023-01-01/events"]
    for path in [*left, "notes.txt"]:
        (runs_path / "small" / path).parent.mkdir(parents=True, exist_ok=True)
        (runs_path / "small" / path).write_text("of another run")
    assert run_command(main, ["--config", str(config)]) == 0
    assert [path for path in left if (runs_path / "small" / path).exists()] == []
    assert (runs_path / "small" / "notes.txt").exists(), "what training never wrote is left alone"


def test_runs_that_cannot_be_written_are_named(
    document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").write_text("no folder")
    config = write_config(tmp_path, document | {"runs_path": str(tmp_path / "runs")})
    assert run_command(main, ["--config", str(config)]) == EXIT_BAD_INPUT
    told, line = capsys.readouterr().err.splitlines()
    assert told.startswith("tables: ")
    assert line.startswith(f"error: {tmp_path}/runs/") and line.endswith(": Not a directory")


# ---------------------------------------------------------------------------------------------
# Interrupted runs
# ---------------------------------------------------------------------------------------------


def test_ctrl_c_ends_a_training_in_one_line_that_tells_how_to_go_on(
    document: dict[str, Any], tmp_path: Path
) -> None:
    """600 epochs last long enough to be interrupted."""
    flags = ["--set", "name=stopped", "--set", "train.num_epochs=600",
             "--set", "train.steps_per_checkpoint=10"]
    config = write_config(tmp_path, document | {"runs_path": str(tmp_path / "runs")})
    process = subprocess.Popen(
        [sys.executable, "-m", "esmm_dist.train", "--config", str(config), *flags],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )
    try:
        checkpoints = tmp_path / "runs" / "stopped" / "checkpoints" / FOLD
        deadline = time.monotonic() + 60
        while latest_checkpoint(checkpoints) is None:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == EXIT_INTERRUPTED, error
    assert error.endswith("\ninterrupted: --resume goes on from the last checkpoint\n")
    assert "Traceback" not in error


def test_nothing_to_resume_is_told(
    document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, document | {"runs_path": str(tmp_path / "runs")})
    assert run_command(main, ["--config", str(config), "--resume"]) == 0
    first_line = capsys.readouterr().err.splitlines()[0]
    assert first_line == f"no checkpoint under {tmp_path}/runs/small/checkpoints: beginning anew"
    assert latest_checkpoint(tmp_path / "runs" / "small" / "checkpoints" / FOLD) is not None


@pytest.mark.distributed
@pytest.mark.slow
def test_a_run_is_resumed_with_its_own_lanes_or_not_at_all(
    document: dict[str, Any], tmp_path: Path
) -> None:
    """Three ranks raise 8 lanes to 9, which one rank can go on with and two cannot."""
    document = document | {"name": "three", "runs_path": str(tmp_path / "runs")}
    document["train"] = document["train"] | {
        "steps_per_checkpoint": 20, "steps_per_log": 1, "precision": "float64"}
    flags = ["--config", str(write_config(tmp_path, document))]
    done = horovodrun(3, "-m", "esmm_dist.train", *flags)
    assert done.returncode == 0, done.stdout
    run_path = tmp_path / "runs" / "three"
    curve = run_path / "curves" / f"{FOLD}.jsonl"
    unbroken = [point["loss"] for point in read_curve(curve)]
    (run_path / "checkpoints" / FOLD / "step-000000040" / "index.json").unlink()

    refused = horovodrun(2, "-m", "esmm_dist.train", *flags, "--resume")
    assert refused.returncode != 0
    (line,) = lines_of_ranks(refused.stdout)
    assert "cut in 9 lanes, which 2 ranks cannot share" in line and "on 1, 3 or 9 ranks" in line

    assert run_command(main, [*flags, "--resume"]) == 0
    resumed = [point["loss"] for point in read_curve(curve)]
    assert len(resumed) == 40 and resumed == pytest.approx(unbroken, rel=1e-9)


# A machine of its own for each rank: their paths are alike, what lies there is not.
TRAIN_APART = """
import os, sys
from esmm_dist.contract.command_line import run_command
from esmm_dist.train import main
folder, *argv = sys.argv[1:]
own = f"runs_path={folder}/rank-{os.environ['HOROVOD_RANK']}"
sys.exit(run_command(main, [*argv, "--set", own]))
"""


@pytest.mark.distributed
@pytest.mark.slow
def test_ranks_that_share_no_runs_are_refused_at_the_first_checkpoint(
    document: dict[str, Any], tmp_path: Path
) -> None:
    config = write_config(tmp_path, document)
    done = horovodrun(2, "-c", TRAIN_APART, tmp_path, "--config", config)
    assert done.returncode != 0
    told = lines_of_ranks(done.stdout)
    assert all("must share one runs_path" in line for line in told) and told
    assert not list(tmp_path.rglob("index.json"))


@pytest.mark.distributed
def test_ranks_that_find_different_checkpoints_do_not_begin(
    document: dict[str, Any], tmp_path: Path
) -> None:
    train = document["train"] | {"steps_per_checkpoint": 20}
    config = write_config(tmp_path, document | {"train": train})
    argv = ["--config", str(config), "--set", f"runs_path={tmp_path}/rank-0"]
    assert run_command(main, argv) == 0
    shutil.copytree(tmp_path / "rank-0", tmp_path / "rank-1")
    (tmp_path / "rank-1/small/checkpoints" / FOLD / "step-000000040" / "index.json").unlink()
    done = horovodrun(2, "-c", TRAIN_APART, tmp_path, "--config", config, "--resume")
    assert done.returncode != 0
    told = lines_of_ranks(done.stdout)
    assert told and all(
        re.search(rf"fold {FOLD} is step-000000040 \(.*\) on rank 0, step-000000020 \(", line)
        for line in told
    )


def test_a_run_is_not_resumed_on_another_course_and_stays_as_it_was(
    document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--config", str(write_config(tmp_path, document)), "--set", "name=course"]
    assert run_command(main, argv) == 0
    run_path = Path(document["runs_path"]) / "course"
    before = {path: path.read_bytes() for path in run_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run_command(main, [*argv, "--set", "train.seed=2", "--resume"]) == EXIT_BAD_INPUT
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "another train section" in line
    assert {path: path.read_bytes() for path in run_path.rglob("*") if path.is_file()} == before
