"""Training under real Horovod processes: the curve of any number of ranks, and kill and resume."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from esmm_dist.assembly import assemble
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config, parse_config
from esmm_dist.contract.days import day_number
from esmm_dist.contract.encodings import num_rows_of_table
from esmm_dist.contract.folds import folds_of
from esmm_dist.contract.manifest import read_encodings, read_manifest
from esmm_dist.contract.multiplicity import EVERY_ROW
from esmm_dist.contract.row_space import RowSpace
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.planning import plan_epochs
from esmm_dist.reader.samples import SampleReader
from esmm_dist.train import main, train_run
from esmm_dist.training.checkpoint import Index, latest_checkpoint
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import command_on, horovodrun
from tests.oracles.tables import rows_by_table
from tests.oracles.training import PlainTraining

FOLD = "2024-01-03"
LAST_DAY = day_number(date(2024, 1, 2))

RANKS = (1, 2, 3, 4)
# Steps compared, and how far losses may lie apart.
PRECISIONS = {"float64": (200, 1e-9), "float32": (50, 1e-4)}

# Trains several configs under one launch: starting four interpreters takes longer than 50 steps.
TRAIN_EACH = """
import sys
from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import connect
from esmm_dist.train import train_run
resumes = sys.argv[1] == "--resume"
with connect() as world:
    for path in sys.argv[1 + resumes:]:
        train_run(load_config(path), world, resume=resumes)
"""

Documents = dict[str, dict[str, Any]]
Train = Callable[[int], dict[str, Path]]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Documents:
    """By precision, a small experiment whose samples are written: an epoch is as long as its curve.

    Two days of 240 rows a step, and some rows that fill no batch; files end inside of lanes.
    """
    documents = {}
    for precision, (num_steps, _) in PRECISIONS.items():
        document = small_document(tmp_path_factory.mktemp(precision))
        document["train"] |= {
            "precision": precision, "num_lanes": 24, "steps_per_log": 1,
            "steps_per_checkpoint": num_steps // 2,
        }
        document["embedding"] = {"expire_days": 1}
        num_rows = num_steps * 120
        write_samples(document, num_rows_of_day=num_rows + 100, rows_per_file=num_rows // 8)
        documents[precision] = document
    return documents


@pytest.fixture(scope="module")
def trained(documents: Documents, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """From a number of ranks to their finished runs by precision; each is trained once."""

    @cache
    def train(num_ranks: int) -> dict[str, Path]:
        configs, runs = [], {}
        for precision, document in documents.items():
            folder = tmp_path_factory.mktemp(f"{precision}-{num_ranks}")
            configs.append(write_config(folder, document | {"name": folder.name}))
            runs[precision] = Path(document["runs_path"]) / folder.name
        if num_ranks == 1:
            for config in configs:
                train_run(load_config(config), SoloWorld(), resume=False)
        else:
            done = horovodrun(num_ranks, "-c", TRAIN_EACH, *configs, timeout_seconds=600)
            assert done.returncode == 0, done.stdout
        return runs

    return train


def losses(run: Path) -> list[float]:
    """The loss of each step of a run."""
    lines = (run / "curves" / f"{FOLD}.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def final_tensors(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a run's last checkpoint, rows and towers and optimizer states."""
    last = latest_checkpoint(run / "checkpoints" / FOLD)
    assert last is not None and Index.read(last).step == Index.read(last).num_steps
    return {
        f"{file.name}:{key}": tensor
        for file in sorted(last.glob("*.safetensors"))
        for key, tensor in load_file(file).items()
    }


def last_days(run: Path) -> torch.Tensor:
    """When each slot was last seen; those that expired are told from none."""
    shards = [tensor for name, tensor in final_tensors(run).items() if name.endswith("/last_seen")]
    return torch.cat(shards)


# ---------------------------------------------------------------------------------------------
# The same global batches, the same steps, whatever the number of ranks
# ---------------------------------------------------------------------------------------------


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.timeout(900)  # four ranks on two cores that others use
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("num_ranks", RANKS[1:])
def test_any_number_of_ranks_gives_the_loss_curve_of_one(
    trained: Train, precision: str, num_ranks: int
) -> None:
    num_steps, tolerance = PRECISIONS[precision]
    alone, together = (losses(trained(n)[precision]) for n in (1, num_ranks))
    assert len(alone) == num_steps
    torch.testing.assert_close(
        torch.tensor(together, dtype=torch.float64), torch.tensor(alone, dtype=torch.float64),
        rtol=tolerance, atol=0,
    )
    assert alone[-1] < 0.95 * alone[0], "the model has learned something worth comparing"
    alone_S, together_S = (last_days(trained(n)[precision]) for n in (1, num_ranks))
    assert torch.equal(together_S, alone_S) and alone_S.unique().tolist() == [0, LAST_DAY]


@pytest.mark.slow
def test_the_loss_curve_is_that_of_plain_tables_and_layers(
    documents: Documents, trained: Train
) -> None:
    """With the test above: on any number of ranks."""
    config = parse_config(documents["float64"], "document")
    manifest = read_manifest(config.samples.path)
    encodings = read_encodings(config.samples.path, manifest)
    assembly = assemble(
        config, encodings, SoloWorld(), torch.device("cpu"), for_training=True
    )
    (fold,) = folds_of(config)
    (plan,) = plan_epochs(
        config, fold, manifest, EVERY_ROW, config.train.num_lanes, SoloWorld())
    parameters = dict(assembly.model.named_parameters())
    plain = PlainTraining(
        config.features,
        rows_by_table(assembly.tables.state()["shared/rows"],
                      RowSpace(num_rows_of_table(config.features, encodings))),
        [p.detach() for name, p in parameters.items() if "weights" in name],
        [p.detach() for name, p in parameters.items() if "biases" in name],
        config.train.towers.learning_rate, config.train.tables.learning_rate,
    )
    reader = SampleReader(config.samples.path, manifest, config.features, with_keys=False)
    with reader.train_batches(plan, rank=0) as batches:
        expected = plain.losses(batches)
    assert len(expected) == PRECISIONS["float64"][0]
    torch.testing.assert_close(
        torch.tensor(losses(trained(1)["float64"]), dtype=torch.float64),
        torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0,
    )


# ---------------------------------------------------------------------------------------------
# Kill and resume
# ---------------------------------------------------------------------------------------------


# By the number of ranks: how often a run is killed on them, and on how many one began that goes on.
NUM_KILLS = {1: 2, 2: 2, 4: 1}
RANKS_BEFORE = {1: 2, 2: 4, 4: 2}


def train_until_killed(num_ranks: int, arguments: list[str], curve: Path, step: int) -> None:
    """Starts a training and kills it without warning once its curve has reached a step."""
    process = subprocess.Popen(
        command_on(num_ranks, "-m", "esmm_dist.train", *arguments),
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not curve.exists() or len(curve.read_text().splitlines()) < step:
            assert process.poll() is None and time.monotonic() < deadline, "it never got there"
            time.sleep(0.01)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def killed(num_ranks: int, document: dict[str, Any], folder: Path) -> Path:
    """The config of a run that was killed, and where it goes on was killed again."""
    document = document | {"name": f"broken-{num_ranks}"}
    document["train"] = document["train"] | {"steps_per_checkpoint": 7}
    config = write_config(folder, document)
    broken = Path(document["runs_path"]) / document["name"]
    arguments = ["--config", str(config)]
    for step in sorted(random.sample(range(8, 140), NUM_KILLS[num_ranks])):
        train_until_killed(num_ranks, arguments, broken / "curves" / f"{FOLD}.jsonl", step)
        left = latest_checkpoint(broken / "checkpoints" / FOLD)
        assert left is not None and step - 7 <= Index.read(left).step < 200, "a rest is to be done"
        arguments = [*arguments[:2], "--resume"]
    return config


def half_done(unbroken: Path, num_ranks: int, document: dict[str, Any], folder: Path) -> Path:
    """The config of a copy of a run that lacks its second half."""
    document = document | {"name": f"moved-{num_ranks}"}
    moved = Path(document["runs_path"]) / document["name"]
    shutil.copytree(unbroken, moved)
    (moved / "checkpoints" / FOLD / "step-000000050" / "index.json").unlink()  # as if unfinished
    return write_config(folder, document)


@pytest.fixture(scope="module")
def resumed(
    documents: Documents, trained: Train, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], list[Path]]:
    """From a number of ranks to two runs that went on there to their end, under one launch: one
    that had been killed, and one of another number of ranks."""

    @cache
    def resume(num_ranks: int) -> list[Path]:
        before = trained(RANKS_BEFORE[num_ranks])["float32"]
        one, other = (tmp_path_factory.mktemp(f"resumed-{num_ranks}") for _ in range(2))
        configs = [killed(num_ranks, documents["float64"], one),
                   half_done(before, num_ranks, documents["float32"], other)]
        if num_ranks == 1:
            for config in configs:
                assert run_command(main, ["--config", str(config), "--resume"]) == 0
        else:
            done = horovodrun(num_ranks, "-c", TRAIN_EACH, "--resume", *configs,
                              timeout_seconds=240)
            assert done.returncode == 0, done.stdout
        runs = [load_config(config) for config in configs]
        return [Path(run.runs_path) / run.name for run in runs]

    return resume


@pytest.mark.distributed
@pytest.mark.parametrize("num_ranks", [
    1, *[pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)],
])
def test_a_run_killed_at_random_steps_resumes_to_the_same_weights_bit_for_bit(
    trained: Train, resumed: Callable[[int], list[Path]], num_ranks: int
) -> None:
    unbroken, (broken, _) = trained(num_ranks)["float64"], resumed(num_ranks)
    expected, found = final_tensors(unbroken), final_tensors(broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert losses(broken) == losses(unbroken)


@pytest.mark.distributed
@pytest.mark.parametrize("num_after", [
    1, *[pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)],
])
def test_a_run_resumes_on_another_number_of_ranks(
    trained: Train, resumed: Callable[[int], list[Path]], num_after: int
) -> None:
    unbroken = trained(RANKS_BEFORE[num_after])["float32"]
    _, moved = resumed(num_after)
    before, after = losses(unbroken), losses(moved)
    assert after[:25] == before[:25]
    torch.testing.assert_close(torch.tensor(after), torch.tensor(before), rtol=1e-4, atol=0)
