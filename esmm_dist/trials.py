"""Trainings of many methods from one config: each in a folder of its own, trained and predicted
once, and read one at a time.

A comparison and an audit are made of them; what they mean is not known here.
"""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import folds_of
from esmm_dist.contract.method_options import MethodName
from esmm_dist.contract.protocols import LearningRates
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.evaluation.comparison_document import COMMON_CTR_NET, Cost
from esmm_dist.evaluation.prediction_files import read_parts
from esmm_dist.evaluation.predictions import NonFinitePredictions, Predictions
from esmm_dist.model.method import options_of
from esmm_dist.planning import pin_manifest, plan_stages
from esmm_dist.predicting import pooled_predictions, predict_run
from esmm_dist.storage.address import path_of
from esmm_dist.train import CHECKPOINTS, train_run
from esmm_dist.training.finite import NonFiniteLoss
from esmm_dist.training.trained_run import TrainedRun, open_run
from esmm_dist.trial_folders import (
    check_folders,
    folder_of_run,
    note_cost,
    note_failure,
    noted_failure,
)

METHOD_NAMES: tuple[str, ...] = get_args(MethodName)
COMMON_CTR = "independent"
"""The method whose CTR network is the one that all share in the paper's protocol."""
# What predictions must agree on to be compared.
ROW_COLUMNS = ("sample_id_N", "day_N", "group_id_N", "click_N", "conversion_N", "weight_N")


# ---------------------------------------------------------------------------------------------
# What is trained
# ---------------------------------------------------------------------------------------------


def method_of_role(role: str) -> str:
    """The method that is trained in a role: its own, or to be the CTR network of all."""
    return COMMON_CTR if role == COMMON_CTR_NET else role


@dataclass(frozen=True)
class Variant:
    """How a training differs from the config that it is made of."""

    method: str
    seed: int
    rates: LearningRates | None = None
    """None: the config's."""
    options: Mapping[str, Any] | None = None
    """In place of the config's."""

    @property
    def values(self) -> str:
        """Its rates and options as the name of a folder may hold them; '' of the config's."""
        rates = {} if self.rates is None else dict(self.rates)
        tried = rates | dict(self.options or {})
        return "-".join(f"{name}{_in_a_name(value)}" for name, value in tried.items())


def _in_a_name(value: float) -> str:
    """As short as the number allows, since two numbers must not come to one name; and without a +,
    which names do not hold."""
    short = f"{value:g}"
    return (short if float(short) == value else repr(value)).replace("+", "")


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


def check_methods(
    configs: Sequence[Config], methods: Iterable[str], world: World,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Refuses methods that cannot be trained, before the first of them is.

    Args:
        configs: of the same samples; every method is to be trained by each.
        options: in place of the configs'.

    Raises:
        InputError: names all of them, and why.
    """
    manifest = pin_manifest(configs[-1], world, None)
    refused = {}
    for method in dict.fromkeys(methods):
        try:
            for config in configs:
                own = trial_config(config, Variant(method, config.train.seed, options=options),
                                   path_of(config.runs_path))
                # What begins from a bundle reads only the days that the bundle has not learned.
                folds = {} if own.train.warm_start else {f.name: f for f in folds_of(own)}
                plan_stages(own, folds, manifest, own.train.num_lanes, world)
        except InputError as error:
            refused[method] = str(error)
    if refused:
        told = "; ".join(f"{method}: {why}" for method, why in refused.items())
        raise InputError(f"nothing was trained, since of the methods {len(refused)} cannot be "
                         f"({', '.join(refused)}): {told}")


class TrialFailed(InputError):
    """A loss, or what a trained model predicts, became infinite or NaN. The run's folder notes it,
    and the same training is not tried again."""


def train_and_predict_all(configs: Mapping[Any, Config], world: World) -> None:
    """Does what is not done yet, one training after the other, and says which.

    Raises:
        InputError: as `check_folders`, before the first step.
        TrialFailed: as `train_and_predict`.
    """
    check_folders(configs.values())
    for number, config in enumerate(configs.values(), start=1):
        _say(number, len(configs), config, world)
        train_and_predict(config, world)


def train_and_predict_each(configs: Iterable[Config], world: World) -> dict[str, str]:
    """The same, but goes on where one fails; configs of one name are one training.

    Returns:
        Why trainings failed, by their names.

    Raises:
        InputError: as `check_folders`, before the first step.
    """
    by_name = {config.name: config for config in configs}
    check_folders(by_name.values())
    failures = {}
    for number, (name, config) in enumerate(by_name.items(), start=1):
        _say(number, len(by_name), config, world)
        try:
            train_and_predict(config, world)
        except TrialFailed as error:
            failures[name] = str(error)
            if world.rank == 0:
                print(f"failed: {error}", file=sys.stderr)
    return failures


def _say(number: int, num_trials: int, config: Config, world: World) -> None:
    if world.rank == 0:
        title = config.name.replace("-seed", ", seed ")
        print(f"[{number}/{num_trials}] {title}", file=sys.stderr)


def train_and_predict(config: Config, world: World) -> None:
    """Does what is not done yet.

    Raises:
        InputError: the folder holds a training by another config.
        TrialFailed: on all ranks alike.
    """
    path = folder_of_run(config)
    told = world.gather_objects([_is_predicted(config, path), noted_failure(config)], name="before")
    if all(is_predicted for is_predicted, _ in _pairs(told)):
        return
    _, failed_before = _pairs(told)[0]
    if failed_before is not None:
        raise TrialFailed(failed_before)
    reason = None
    try:
        _train_and_predict(config, path, world)
    except (NonFiniteLoss, NonFinitePredictions) as error:
        reason = str(error)
    if reason is not None:  # out of the handler: nothing keeps the model that failed in memory
        if world.rank == 0:
            note_failure(config, reason)
        raise TrialFailed(reason)


def _train_and_predict(config: Config, path: Path, world: World) -> None:
    is_whole = not any((path / CHECKPOINTS).glob("*/*"))
    _forget_peak_memory()
    start = time.perf_counter()
    train_run(config, world, resume=True)
    if world.rank == 0:
        note_cost(config, Cost(
            train_seconds=time.perf_counter() - start, peak_memory_mb=_peak_memory_mb(),
            num_ranks=world.num_ranks, is_whole=is_whole,
        ))
    world.barrier(name="trained")
    predict_run(open_run(config, path), world)


def _pairs(told: Sequence[object]) -> list[tuple[bool, str | None]]:
    """What every rank has found, out of JSON."""
    pairs = []
    for found in told:
        assert isinstance(found, list)
        pairs.append((found[0], found[1]))
    return pairs


def _is_predicted(config: Config, path: Path) -> bool:
    """Whether the predictions there are those of the run's last checkpoints, of all test days."""
    try:
        run = open_run(config, path)
        for trained in run.folds:
            predictions, origin = read_parts(path / "predictions" / trained.fold.name)
            if (origin.checkpoint, len(predictions)) != (
                trained.digest, run.num_rows(trained.fold.test_days)
            ):
                return False
    except InputError:
        return False
    return True


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
    return open_run(config, folder_of_run(config))


def predictions_of(config: Config) -> Predictions:
    """What the run of a config predicts for all test days."""
    return pooled_predictions(run_of(config), "predictions")


def check_same_rows(own: Predictions, first: Predictions, config: Config) -> None:
    """Refuses to compare what was not predicted of the same rows, or is held to other labels.

    Raises:
        InputError: names the folder of the config's run, and the column.
    """
    for column in ROW_COLUMNS:
        if not np.array_equal(getattr(own, column), getattr(first, column)):
            folder = folder_of_run(config)
            raise InputError(
                f"{folder}: its rows are not those of the first run: {column.removesuffix('_N')} "
                f"differs, as the samples were built anew in between: remove {folder}, and "
                "compare again"
            )
