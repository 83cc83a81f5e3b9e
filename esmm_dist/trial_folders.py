"""The folders of trainings that belong together: whether what lies in them may be gone on with, and
what is noted there beside a run: its cost, or why it failed.

It trains nothing and reads no row.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from esmm_dist.assembly import identity_of
from esmm_dist.contract.config import flat
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import folds_of
from esmm_dist.contract.manifest import Day, Manifest, read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.evaluation.comparison_document import Cost
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import remove, write
from esmm_dist.train import CHECKPOINTS
from esmm_dist.training.checkpoint import Index, latest_checkpoint
from esmm_dist.training.course import NOT_OF_THE_COURSE, digest_of_course
from esmm_dist.training.run_config import read_run_config

COST = "cost.json"
FAILURE = "failure.json"
# What decides every number that a training comes to, beside its days.
TRAINED_SECTIONS = ("features", "model", "embedding", "train")
MAX_NAMED = 5


def folder_of_run(config: Config) -> Path:
    """Where a training lies."""
    return path_of(config.runs_path) / config.name


# ---------------------------------------------------------------------------------------------
# What may be gone on with
# ---------------------------------------------------------------------------------------------


def check_folders(configs: Iterable[Config]) -> None:
    """Refuses to go on with trainings that were begun by another config, or on samples other than
    those that the rest is trained on: their labels may differ.

    Raises:
        InputError: names a folder, in which way it differs, and what to do.
    """
    shelf = _Shelf()
    begun: dict[tuple[str, tuple[date, ...]], list[tuple[Path, int]]] = {}
    for config in configs:
        folder = folder_of_run(config)
        indexes = _indexes(config, folder)
        days = {day for fold in folds_of(config) for day in (*fold.train_days, *fold.test_days)}
        number = indexes[0].manifest if indexes else shelf.latest(config.samples.path).number
        begun.setdefault((config.samples.path, tuple(sorted(days))), []).append((folder, number))
    for (samples_path, of_days), runs in begun.items():
        _check_samples(shelf, samples_path, of_days, runs)


def _indexes(config: Config, folder: Path) -> list[Index]:
    """Of the last checkpoints of all folds that have one.

    Raises:
        InputError: one was written by another config.
    """
    found = []
    wanted = identity_of(config, Encodings())
    for fold in folds_of(config):
        checkpoint = latest_checkpoint(folder / CHECKPOINTS / fold.name)
        if checkpoint is not None:
            index = Index.read(checkpoint)
            if (index.course, index.identity.model, index.identity.fingerprint) != (
                digest_of_course(config, fold), wanted.model, wanted.fingerprint
            ):
                raise InputError(
                    f"{folder}: it was trained {_how_else(config, folder)}: remove {folder} to "
                    "train it anew, or give the config another name"
                )
            found.append(index)
    return found


def _how_else(config: Config, folder: Path) -> str:
    """By which key the config of a run differs."""
    found, wanted = (flat({name: c.model_dump(mode="json")[name] for name in TRAINED_SECTIONS})
                     for c in (read_run_config(folder), config))
    for key in dict.fromkeys([*wanted, *found]):
        if wanted.get(key) != found.get(key) and key.split(".")[-1] not in NOT_OF_THE_COURSE:
            return f"with {key} = {found.get(key)!r}, the config says {wanted.get(key)!r}"
    return "on other days than those of the config"


@dataclass
class _Shelf:
    """Manifests, each read once."""

    _read: dict[tuple[str, int | None], Manifest] = field(default_factory=dict)

    def latest(self, samples_path: str) -> Manifest:
        return self.numbered(samples_path, None)

    def numbered(self, samples_path: str, number: int | None) -> Manifest:
        key = samples_path, number
        if key not in self._read:
            self._read[key] = read_manifest(samples_path, number)
        return self._read[key]

    def days(self, samples_path: str, number: int, days: Sequence[date]) -> tuple[Day, ...] | None:
        """The built days; None where the manifest is gone."""
        try:
            return self.numbered(samples_path, number).select(days, samples_path)
        except InputError:
            return None


def _check_samples(
    shelf: _Shelf, samples_path: str, days: Sequence[date], runs: Sequence[tuple[Path, int]]
) -> None:
    """Refuses runs on the same days that do not all see the same build of them."""
    numbers = {number for _, number in runs}
    if len(numbers) == 1:
        return  # of their own samples, old or new, they all say the same
    newest = max(numbers)
    expected = shelf.days(samples_path, newest, days)
    others = [(folder, number) for folder, number in runs
              if number != newest and shelf.days(samples_path, number, days) != expected]
    if others:
        names = ", ".join(str(folder) for folder, _ in others[:MAX_NAMED])
        rest = len(others) - MAX_NAMED
        raise InputError(
            f"{others[0][0]}: it was trained on manifest {others[0][1]} of {samples_path}, and "
            f"its days were built anew since (manifest {newest}), so that labels may differ: "
            f"remove {names}{f' and {rest} more' if rest > 0 else ''} to train on the samples as "
            "they are now"
        )


# ---------------------------------------------------------------------------------------------
# What is noted beside a run
# ---------------------------------------------------------------------------------------------


class _Failure(BaseModel):
    """Why a training came to no end, and which training it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    training: str
    """Digest of all that decides its course: of another one nothing is known."""


def note_failure(config: Config, reason: str) -> None:
    """Keeps it from being tried again, as it would fail again."""
    noted = _Failure(reason=reason, training=_digest_of_training(config))
    write(folder_of_run(config) / FAILURE, noted.model_dump_json())


def noted_failure(config: Config) -> str | None:
    """Why this very training failed before, on these samples; None: nobody noted that it did."""
    path = folder_of_run(config) / FAILURE
    try:
        noted = _Failure.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    return noted.reason if noted.training == _digest_of_training(config) else None


def _digest_of_training(config: Config) -> str:
    document = config.model_dump(mode="json")
    decides = {
        "sections": {name: document[name] for name in TRAINED_SECTIONS},
        "days": [[str(day) for day in (*fold.train_days, *fold.test_days)]
                 for fold in folds_of(config)],
        "manifest": read_manifest(config.samples.path).number,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def note_cost(config: Config, cost: Cost) -> None:
    """What a training that has ended took; a failure before it is forgotten."""
    remove(folder_of_run(config) / FAILURE)
    write(folder_of_run(config) / COST, cost.model_dump_json())


def noted_cost(config: Config) -> Cost:
    """What a training took."""
    text = (folder_of_run(config) / COST).read_text(encoding="utf-8")
    return Cost.model_validate_json(text)
