"""Training under real Horovod processes: the curve of any number of ranks, and kill and resume."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.factories.written_samples import small_document, write_config, write_samples

BIN = Path(sys.executable).parent
FOLD = "2024-01-03"

# Trains several configs under one launch: starting eight interpreters is what takes the time.
TRAIN_EACH = """
import sys
from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import connect
from esmm_dist.train import train_run
with connect() as world:
    for path in sys.argv[1:]:
        train_run(load_config(path), world, resume=False)
"""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small experiment whose samples are written: 200 steps of 240 rows in an epoch."""
    document = small_document(tmp_path_factory.mktemp("train"))
    document["train"] |= {"num_lanes": 24, "steps_per_log": 1}
    write_samples(document, num_rows_of_day=24_100, rows_per_file=3_000)
    return document


def command(num_ranks: int, *arguments: str) -> list[str]:
    """A launch as a user types it; with one rank, without horovodrun."""
    launcher = [] if num_ranks == 1 else [str(BIN / "horovodrun"), "-np", str(num_ranks)]
    return [*launcher, sys.executable, *arguments]


def run(num_ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a launch to its end."""
    return subprocess.run(
        command(num_ranks, *arguments), text=True, capture_output=True, timeout=600
    )


def train(num_ranks: int, config: Path, *overrides: str, resume: bool = False) -> str:
    """Trains and returns what was printed; fails the test if training fails."""
    flags = [flag for override in overrides for flag in ("--set", override)]
    flags += ["--resume"] if resume else []
    done = run(num_ranks, "-m", "esmm_dist.train", "--config", str(config), *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def losses(document: dict[str, Any], name: str) -> list[float]:
    """The loss of each step of a run."""
    path = Path(document["runs_path"]) / name / "curves" / f"{FOLD}.jsonl"
    return [json.loads(line)["loss"] for line in path.read_text().splitlines()]


def final_tensors(document: dict[str, Any], name: str) -> dict[str, torch.Tensor]:
    """Every tensor of a run's last checkpoint, rows and towers and optimizer states."""
    folder = Path(document["runs_path"]) / name / "checkpoints" / FOLD
    last = max(folder.iterdir())
    return {
        f"{file.name}:{key}": tensor
        for file in sorted(last.glob("*.safetensors"))
        for key, tensor in load_file(file).items()
    }


# ---------------------------------------------------------------------------------------------
# The same global batches, the same steps, whatever the number of ranks
# ---------------------------------------------------------------------------------------------

RANKS = (1, 2, 3, 8)
PRECISIONS = {"float64": (200, 1e-9), "float32": (50, 1e-4)}


@pytest.fixture(scope="module")
def curves(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The losses by precision and number of ranks."""
    found: dict[tuple[str, int], list[float]] = {}
    for num_ranks in RANKS:
        paths = []
        for precision in PRECISIONS:
            folder = tmp_path_factory.mktemp(f"{precision}-{num_ranks}")
            changed = document | {"name": folder.name}
            changed["train"] = document["train"] | {"precision": precision}
            paths.append(str(write_config(folder, changed)))
        done = run(num_ranks, "-c", TRAIN_EACH, *paths)
        assert done.returncode == 0, done.stdout + done.stderr
        for precision, path in zip(PRECISIONS, paths):
            found[precision, num_ranks] = losses(document, Path(path).parent.name)
    return found


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.timeout(1500)  # four launches, one of them of eight ranks
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("num_ranks", RANKS[1:])
def test_any_number_of_ranks_gives_the_loss_curve_of_one(
    curves: Any, precision: str, num_ranks: int
) -> None:
    num_steps, tolerance = PRECISIONS[precision]
    alone, together = (curves[precision, n][:num_steps] for n in (1, num_ranks))
    assert len(alone) == num_steps
    torch.testing.assert_close(
        torch.tensor(together, dtype=torch.float64), torch.tensor(alone, dtype=torch.float64),
        rtol=tolerance, atol=0,
    )
    assert alone[-1] < 0.95 * alone[0], "the model has learned something worth comparing"


# ---------------------------------------------------------------------------------------------
# Kill and resume
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that end with the test, each by its own group."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def train_until_killed(
    num_ranks: int, arguments: Sequence[str], curve: Path, step: int,
    started: list[subprocess.Popen[bytes]],
) -> None:
    """Starts a training and kills it without warning once its curve has reached a step."""
    process = subprocess.Popen(
        command(num_ranks, *arguments), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    started.append(process)
    deadline = time.monotonic() + 120
    while not curve.exists() or len(curve.read_text().splitlines()) < step:
        assert process.poll() is None and time.monotonic() < deadline, "it never got there"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    "num_ranks", [1, pytest.param(2, marks=[pytest.mark.distributed, pytest.mark.slow])]
)
def test_a_killed_run_resumes_to_the_same_weights_bit_for_bit(
    document: dict[str, Any], tmp_path: Path, num_ranks: int,
    started: list[subprocess.Popen[bytes]],
) -> None:
    config = write_config(tmp_path, document)
    name = f"unbroken-{num_ranks}"
    train(num_ranks, config, f"name={name}")

    broken = f"broken-{num_ranks}"
    flags = [f"name={broken}", "train.steps_per_checkpoint=7"]
    curve = Path(document["runs_path"]) / broken / "curves" / f"{FOLD}.jsonl"
    arguments = ["-m", "esmm_dist.train", "--config", str(config)]
    arguments += [flag for override in flags for flag in ("--set", override)]
    train_until_killed(num_ranks, arguments, curve, 40, started)
    train(num_ranks, config, *flags, resume=True)

    expected, found = final_tensors(document, name), final_tensors(document, broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert losses(document, broken) == losses(document, name)


@pytest.mark.distributed
def test_a_run_of_two_ranks_resumes_on_one(document: dict[str, Any], tmp_path: Path) -> None:
    config = write_config(tmp_path, document)
    train(2, config, "name=moved", "train.steps_per_checkpoint=100")
    folder = Path(document["runs_path"]) / "moved" / "checkpoints" / FOLD
    (folder / "step-000000200" / "index.json").unlink()  # as if it had never been finished
    before = losses(document, "moved")
    train(1, config, "name=moved", resume=True)
    after = losses(document, "moved")
    assert after[:100] == before[:100]
    torch.testing.assert_close(torch.tensor(after), torch.tensor(before), rtol=1e-4, atol=0)
