"""BASE, ESMM-NS and ESMM trained in worlds of Ali-CCP's shape, and scored against the truth.

What is drawn, built or trained stays in runs/ and is not done again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esmm_dist.contract.config import load_config
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.contract.protocols import LearningRates
from esmm_dist.contract.sections import Config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.truth import Truth, as_predictions, read_truth, truth_metrics
from esmm_dist.scenarios import draw_and_build, scenario_config
from esmm_dist.trials import Variant, predictions_of, train_and_predict_all, trial_config

CONFIG = "conf/ali_ccp_like.yaml"
OVERRIDES = (
    "name=sharing_selection",
    # The last day alone is predicted: a million impressions at scale 0.1, without noise of labels.
    "samples.days.last=2026-01-05", "evaluate.days.last=2026-01-05",
    # Small networks and batches: BASE takes its steps on clicks alone, 4 in 100 rows.
    "model.embedding_dim=8", "model.hidden_units=[64, 32]", "train.batch_size=512",
)
FOLDER = Path("runs/sharing_selection")
METHODS = ("base", "esmm_ns", "esmm")
RATES = tuple(LearningRates(towers=towers, tables=tables)
              for towers, tables in ((1e-3, 0.05), (3e-3, 0.1), (1e-2, 0.2)))
# As many trials for every method, each with a length that it may need: an epoch of BASE is a
# twenty-sixth of the others' steps, and a method that has not come to its end shows its haste, not
# what it estimates.
EPOCHS = {"base": (1, 8), "esmm_ns": (1, 2), "esmm": (1, 2)}
FIRST_TUNING_SEED = 101
METRIC = "true_cvr_auc"
NUM_PARTS = 10


def mean_of(gaps: Sequence[float]) -> float:
    return float(np.mean(gaps))


@dataclass(frozen=True)
class Gaps:
    """Scores of one world, drawn several times."""

    scores: Mapping[str, Sequence[float]]
    best: Sequence[float]
    """Of the truth itself."""
    parts: Mapping[str, NDArray[np.float64]]
    """Scores of tenths of the test rows, (replicates, tenths)."""
    num_train: int
    num_train_conversions: int
    num_test: int

    def of(self, method: str, other: str) -> list[float]:
        """Paired differences."""
        return [a - b for a, b in zip(self.scores[method], self.scores[other])]

    def std_of_rows(self, method: str, other: str) -> float:
        """Standard deviation of a difference over test rows, of as many as there are."""
        gap_RP = self.parts[method] - self.parts[other]
        return float(gap_RP.std(axis=1, ddof=1).mean() / math.sqrt(NUM_PARTS))


@dataclass(frozen=True)
class Setting:
    """How a method is trained."""

    rates: LearningRates
    num_epochs: int

    def __str__(self) -> str:
        return f"{self.rates.towers:g} / {self.rates.tables:g}, {self.num_epochs} epochs"

    @property
    def run_name(self) -> str:
        return f"towers{self.rates.towers:g}-tables{self.rates.tables:g}-epochs{self.num_epochs}"


Tuning = Mapping[str, Mapping[Setting, Sequence[float]]]
"""Scores by method and setting, one a world."""


def settings_of(method: str) -> list[Setting]:
    """All that are tried."""
    return [Setting(rates, n) for n in EPOCHS[method] for rates in RATES]


def best_of(of_method: Mapping[Setting, Sequence[float]]) -> Setting:
    return max(of_method, key=lambda setting: mean_of(of_method[setting]))


def tuned(changes: Mapping[str, float], num_worlds: int) -> Tuning:
    """Every method with all of its settings, in worlds that nothing else is measured in."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + num_worlds)
    name = "-".join(["tuning", *(f"{value:g}" for value in changes.values())])
    worlds = _drawn(name, changes, seeds)
    trials = {(method, setting, seed): _trial(world, method, seed, setting)
              for seed, world in worlds.items() for method in METHODS
              for setting in settings_of(method)}
    train_and_predict_all(trials, SoloWorld())
    return {
        method: {setting: [truth_metrics(*_known(world, predictions_of(
            trials[method, setting, seed])))[METRIC] for seed, world in worlds.items()]
            for setting in settings_of(method)} for method in METHODS
    }


def gaps_of(
    name: str, changes: Mapping[str, float], num_replicates: int, settings: Mapping[str, Setting]
) -> Gaps:
    """Draws a world, trains all methods in it, and scores them."""
    worlds = _drawn(name, changes, range(1, num_replicates + 1))
    trials = {(seed, method): _trial(world, method, seed, settings[method])
              for seed, world in worlds.items() for method in METHODS}
    train_and_predict_all(trials, SoloWorld())
    scores: dict[str, list[float]] = {method: [] for method in METHODS}
    parts: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    best: list[float] = []
    counts = (0, 0, 0)
    for seed, world in worlds.items():
        for method in METHODS:
            known, truth = _known(world, predictions_of(trials[seed, method]))
            scores[method].append(truth_metrics(known, truth)[METRIC])
            parts[method].append([truth_metrics(*of_part)[METRIC]
                                  for of_part in _tenths(known, truth)])
        best.append(_best(known, truth))
        counts = _counts(world, len(known))
    return Gaps(scores, best, {method: np.array(of_one) for method, of_one in parts.items()},
                *counts)


def _drawn(name: str, changes: Mapping[str, float], seeds: Sequence[int]) -> dict[int, Config]:
    """A world for each seed, with its samples."""
    config = load_config(CONFIG, OVERRIDES)
    worlds = {seed: scenario_config(config, FOLDER / f"{name}-{seed}", seed, changes)
              for seed in seeds}
    draw_and_build(list(worlds.values()))
    return worlds


def _trial(world: Config, method: str, seed: int, setting: Setting) -> Config:
    train = world.train.model_copy(update={"num_epochs": setting.num_epochs})
    return trial_config(world.model_copy(update={"train": train}),
                        Variant(method, seed, setting.rates), Path(world.runs_path),
                        f"{method}-{setting.run_name}")


def _known(config: Config, predictions: Predictions) -> tuple[Predictions, Truth]:
    assert config.simulate is not None
    truth, known_N = read_truth(Path(config.simulate.path) / "truth", predictions)
    return predictions.take(known_N), truth


def _best(predictions: Predictions, truth: Truth) -> float:
    return truth_metrics(as_predictions(predictions, truth), truth)[METRIC]


def _tenths(predictions: Predictions, truth: Truth) -> Iterator[tuple[Predictions, Truth]]:
    """Ids are hashes: every tenth row is a sample of all."""
    for part in range(NUM_PARTS):
        rows_N = np.arange(part, len(predictions), NUM_PARTS)
        yield predictions.take(rows_N), Truth(*(column_N[rows_N]
                                                for column_N in vars(truth).values()))


def _counts(config: Config, num_test: int) -> tuple[int, int, int]:
    manifest = read_manifest(config.samples.path)
    days = manifest.select(days_of(config.train.days), config.samples.path)
    return sum(day.num_rows for day in days), sum(day.num_conversions for day in days), num_test
