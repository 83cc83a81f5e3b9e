"""A trained run as it lies on disk: its config, its checkpoints by fold, the samples it is tied to.

It reads no tensor and no row; whoever predicts, compares or exports a run begins here.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from esmm_dist.contract.command_line import config_from
from esmm_dist.contract.config import flat
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import Fold, folds_of
from esmm_dist.contract.manifest import Day, Manifest, read_encodings, read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.contract.settings import check_settings
from esmm_dist.storage.address import path_of
from esmm_dist.training.checkpoint import (
    Index,
    digest_of_checkpoint,
    latest_checkpoint,
)
from esmm_dist.training.course import digest_of_course
from esmm_dist.training.run_config import read_run_config

# What decides how a run was trained; the other sections may change between training and evaluation.
TRAINED_SECTIONS = ("samples", "features", "model", "train")
# The manifest of a run keeps as of when its days were built; a later look changes nothing of it.
NOT_OF_THE_TRAINING = ("samples.as_of", "samples.lateness_hours")


@dataclass(frozen=True)
class TrainedFold:
    """A fold and the checkpoint that predicts it."""

    fold: Fold
    checkpoint: Path
    index: Index

    @property
    def learned(self) -> Fold:
        """The fold without the training days that the bundle it began from had learned."""
        first = self.index.first_day
        days = tuple(day for day in self.fold.train_days if first is None or day >= first)
        return replace(self.fold, train_days=days)

    @property
    def digest(self) -> str:
        """Identity of the checkpoint's content."""
        return digest_of_checkpoint(self.checkpoint)


@dataclass(frozen=True)
class TrainedRun:
    """A trained run and the samples that it is tied to."""

    path: Path
    config: Config
    manifest: Manifest
    encodings: Encodings
    folds: tuple[TrainedFold, ...]

    def days(self) -> tuple[Day, ...]:
        """The built days that are trained or tested on, in order."""
        days = {day for t in self.folds for day in t.fold.train_days + t.fold.test_days}
        return self.manifest.select(days, self.config.samples.path)

    def test_days(self) -> tuple[Day, ...]:
        """The built days that are tested on, in order."""
        days = {day for t in self.folds for day in t.fold.test_days}
        return self.manifest.select(days, self.config.samples.path)

    def num_rows(self, days: Sequence[date]) -> int:
        """Samples of some days, as the manifest counts them."""
        built = self.manifest.select(days, self.config.samples.path)
        return sum(day.num_rows for day in built)


def add_run_flag(parser: ArgumentParser) -> None:
    """The flag that `config_asked_for` reads beside --config and --set."""
    parser.add_argument("--run", metavar="NAME",
                        help="a run below runs_path, with the config it was trained with (and "
                             "--set); without it, the run that the config names")


def config_asked_for(arguments: Namespace) -> Config:
    """The config that parsed flags ask for: with --run the one that the run was trained with.

    Raises:
        InputError: there is no such run, or the config is none.
    """
    config = config_from(arguments)
    if not arguments.run:
        return config
    return config_of_run(path_of(config.runs_path) / arguments.run, arguments.overrides)


def run_asked_for(arguments: Namespace) -> TrainedRun:
    """The run that parsed flags ask for.

    Raises:
        InputError: as open_run.
    """
    named = config_from(arguments)
    path = path_of(named.runs_path) / (arguments.run or named.name)
    return open_run(config_asked_for(arguments), path)


def open_run(config: Config, path: Path) -> TrainedRun:
    """Finds a run's checkpoints and samples.

    Args:
        config: what to do with the run; it must agree with what the run was trained with.
        path: the run's folder.

    Raises:
        InputError: there is no such run, it was trained by another config, a fold has no
            checkpoint of its last step, or a test day has no samples.
    """
    _check_trained_as(config, config_of_run(path), path)
    folds = tuple(_trained_fold(path, config, fold) for fold in folds_of(config))
    numbers = sorted({trained.index.manifest for trained in folds})
    if len(numbers) > 1:
        raise InputError(
            f"{path}: its folds were trained on the manifests {numbers}: the training was "
            "interrupted; train again"
        )
    manifest = read_manifest(config.samples.path, numbers[0])
    check_settings(manifest, config, config.samples.path)
    run = TrainedRun(path, config, manifest, read_encodings(config.samples.path, manifest), folds)
    run.days()  # all of them have been built
    return run


def config_of_run(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The config that a run was trained with, as training resolved it.

    Raises:
        InputError: there is no such run, or an override is none.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such run: run esmm_dist.train first, or give --run NAME")
    return read_run_config(path, overrides)


def _check_trained_as(config: Config, trained: Config, path: Path) -> None:
    for section in TRAINED_SECTIONS:
        wanted, found = (flat(c.model_dump(mode="json")[section], section)
                         for c in (config, trained))
        for key in dict.fromkeys([*wanted, *found]):
            if key in NOT_OF_THE_TRAINING:
                continue
            if wanted.get(key) != found.get(key):
                raise InputError(
                    f"{path}: it was trained with {key} = {found.get(key)!r}, the config says "
                    f"{wanted.get(key)!r}: train again, or evaluate it as it was trained with "
                    f"--run {path.name}"
                )


def _trained_fold(path: Path, config: Config, fold: Fold) -> TrainedFold:
    directory = path / "checkpoints" / fold.name
    checkpoint = latest_checkpoint(directory)
    if checkpoint is None:
        raise InputError(
            f"{directory}: fold {fold.name} has no complete checkpoint: run esmm_dist.train "
            "--resume"
        )
    index = Index.read(checkpoint)
    if index.course != digest_of_course(config, fold):
        raise InputError(
            f"{checkpoint}: fold {fold.name} was trained by another train section or on other "
            "days, in an earlier run of this name: run esmm_dist.train"
        )
    if index.step != index.num_steps:
        raise InputError(
            f"{checkpoint}: fold {fold.name} has done {index.step:,} of its {index.num_steps:,} "
            "steps: run esmm_dist.train --resume"
        )
    return TrainedFold(fold, checkpoint, index)
