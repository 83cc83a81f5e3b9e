"""Trainings of many methods from one config: each in a folder of its own, trained and predicted
once, and read one at a time.

A comparison and an audit are made of them; what they mean is not known here.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.method_options import MethodName
from esmm_dist.contract.protocols import LearningRates
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.evaluation.comparison import Trial
from esmm_dist.evaluation.comparison_document import Cost
from esmm_dist.evaluation.prediction_files import read_parts
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.model.method import options_of
from esmm_dist.predicting import pooled_predictions, predict_run
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import write
from esmm_dist.train import CHECKPOINTS, train_run
from esmm_dist.training.trained_run import TrainedRun, open_run

METHOD_NAMES: tuple[str, ...] = get_args(MethodName)
COMMON_CTR = "independent"
"""Its CTR network is the one that all methods share in the paper's protocol."""
COST = "cost.json"


# ---------------------------------------------------------------------------------------------
# What is trained
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """How a training differs from the config that it is made of."""

    method: str
    seed: int
    rates: LearningRates | None = None
    """None: the config's."""
    options: Mapping[str, Any] | None = None
    """In place of the config's."""


def trial_config(config: Config, variant: Variant, folder: Path, name: str = "") -> Config:
    """The config of one training: options that the method does not use are left out.

    Args:
        folder: of which the run's is one.
        name: of the run; else <method>-seed<n>.
    """
    method = variant.method
    document = config.model_dump(mode="json")
    document |= {"name": name or f"{method}-seed{variant.seed}", "runs_path": str(folder)}
    options = document["model"]["options"] | dict(variant.options or {})
    used = options_of(method)
    document["model"] |= {"method": method,
                          "options": {key: options[key] for key in used if key in options}}
    document["train"]["seed"] = variant.seed
    if variant.rates is not None:
        for part, rate in variant.rates:
            document["train"][part]["learning_rate"] = rate
    return parse_config(document, f"{method}, seed {variant.seed}")


# ---------------------------------------------------------------------------------------------
# Training and predicting: all ranks
# ---------------------------------------------------------------------------------------------


def train_and_predict_all(configs: Mapping[Any, Config], world: World) -> None:
    """Does what is not done yet, one training after the other, and says which."""
    for number, config in enumerate(configs.values(), start=1):
        if world.rank == 0:
            title = config.name.replace("-seed", ", seed ")
            print(f"[{number}/{len(configs)}] {title}", file=sys.stderr)
        train_and_predict(config, world)


def train_and_predict(config: Config, world: World) -> None:
    """Does what is not done yet.

    Raises:
        InputError: the folder holds a training by another config.
    """
    path = path_of(config.runs_path) / config.name
    if all(world.gather_objects(_is_predicted(config, path), name="predicted before")):
        return
    is_whole = not any((path / CHECKPOINTS).glob("*/*"))
    _forget_peak_memory()
    start = time.perf_counter()
    train_run(config, world, resume=True)
    if world.rank == 0:
        cost = Cost(train_seconds=time.perf_counter() - start, peak_memory_mb=_peak_memory_mb(),
                    num_ranks=world.num_ranks, is_whole=is_whole)
        write(path / COST, cost.model_dump_json())
    world.barrier(name="trained")
    predict_run(open_run(config, path), world)


def _is_predicted(config: Config, path: Path) -> bool:
    """Whether the predictions there are those of the run's last checkpoints."""
    try:
        run = open_run(config, path)
        return all(
            read_parts(path / "predictions" / trained.fold.name)[1].checkpoint == trained.digest
            for trained in run.folds
        )
    except InputError:
        return False


def _forget_peak_memory() -> None:
    """Begins a new peak for this process, where the system allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pass  # then the peak is that of all trainings so far


def _peak_memory_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


# ---------------------------------------------------------------------------------------------
# Reading: the first rank
# ---------------------------------------------------------------------------------------------


def run_of(config: Config) -> TrainedRun:
    """The trained run of a config."""
    return open_run(config, path_of(config.runs_path) / config.name)


def predictions_of(config: Config) -> Predictions:
    """What the run of a config predicts for all test days."""
    return pooled_predictions(run_of(config), "predictions")


class Trials:
    """The trained runs of some methods and seeds, read one at a time."""

    def __init__(self, configs: dict[tuple[str, int], Config]) -> None:
        self.configs = configs

    def of(self, method: str, seeds: Sequence[int], first: Predictions) -> Iterator[Trial]:
        """A method's trials in order of seeds.

        Raises:
            InputError: a run predicted other rows than the first.
        """
        for seed in seeds:
            print(f"measuring {method}, seed {seed}", file=sys.stderr)
            own, common = (predictions_of(self.configs[name, seed])
                           for name in (method, COMMON_CTR))
            for name, other in ((method, own), (COMMON_CTR, common)):
                if not np.array_equal(other.sample_id_N, first.sample_id_N):
                    config = self.configs[name, seed]
                    raise InputError(
                        f"{config.runs_path}/{config.name}: it predicted other samples than the "
                        "first run: remove the runs of the older samples, and compare again"
                    )
            yield Trial(seed, own, common, self._cost(method, seed))

    def _cost(self, method: str, seed: int) -> Cost:
        config = self.configs[method, seed]
        document: Any = json.loads((path_of(config.runs_path) / config.name / COST).read_text())
        return Cost.model_validate(document)
