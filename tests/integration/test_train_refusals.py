"""What stops a training and what a user reads then: one line, told once, nothing half written."""

import re
from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.command_line import EXIT_BAD_INPUT, run_command
from esmm_dist.contract.config import load_config
from esmm_dist.train import main
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import horovodrun

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
    silent = ("samples/s", "Terminated")  # the bar, and the shell that the launcher ends
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
