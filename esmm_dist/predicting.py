"""Predicts the test days of a run: by all ranks, each its share of the rows.

It measures nothing.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

from tqdm import tqdm

from esmm_dist.assembly import load_predictor, pick_device
from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.telling import seconds_per_redraw
from esmm_dist.contract.world import World
from esmm_dist.evaluation.prediction_files import (
    Origin,
    read_parts,
    remove_other_folds,
    write_part,
)
from esmm_dist.evaluation.predictions import (
    Logits,
    NonFinitePredictions,
    Predict,
    Predictions,
)
from esmm_dist.model.method import Prediction
from esmm_dist.reader.samples import SampleReader
from esmm_dist.training.trained_run import TrainedRun


def predict_run(run: TrainedRun, world: World) -> None:
    """Writes this rank's part of the model's predictions for every fold.

    Raises:
        NonFinitePredictions: on all ranks, before any of them writes those of the fold.
    """
    device = pick_device(world)
    if world.rank == 0:
        remove_other_folds(run.path / "predictions", names_of_folds(run))
    for trained in run.folds:
        # No name keeps its tables while those of the next fold are loaded.
        predictions = predict_days(
            on_arrays(load_predictor(trained.checkpoint, run.config, run.encodings, world, device)),
            trained.fold.test_days, run, world, f"predict {trained.fold.name}",
        )
        if not all(world.gather_objects(predictions.are_finite, name="finite")):
            raise NonFinitePredictions(
                f"{trained.checkpoint}: it predicts numbers that are infinite or not defined: "
                "lower train.*.learning_rate, and train again"
            )
        origin = Origin(run.config.model.method, run.manifest.number, trained.digest,
                        world.num_ranks)
        write_part(run.path / "predictions" / trained.fold.name, world.rank, predictions, origin)
    world.barrier(name="predicted")


def predict_days(
    predict: Predict, days: Sequence[date], run: TrainedRun, world: World, title: str
) -> Predictions:
    """This rank's share of what a predictor says of the samples of some days.

    Args:
        title: stands before the progress bar.
    """
    reader = reader_of(run)
    parts = []
    with progress(title, run.num_rows(days), world.rank) as bar:
        for day in days:
            batches = batches_of_days([day], run, reader, world.num_ranks, world.rank)
            counted = _counted(batches, bar, world.num_ranks)
            parts.append(Predictions.collect(day, counted, predict))
    return Predictions.concatenate(parts)


def names_of_folds(run: TrainedRun) -> list[str]:
    """The folders of a run's folds."""
    return [trained.fold.name for trained in run.folds]


def reader_of(run: TrainedRun, with_delays: bool = False) -> SampleReader:
    """The samples that a run is tied to, with their keys."""
    return SampleReader(run.config.samples.path, run.manifest, run.config.features, with_keys=True,
                        with_delays=with_delays)


def batches_of_days(
    days: Sequence[date], run: TrainedRun, reader: SampleReader, num_ranks: int = 1, rank: int = 0
) -> Iterator[Batch]:
    """A rank's share of all rows of some days."""
    batch_size = run.config.evaluate.batch_size
    with reader.evaluation_batches(days, batch_size, num_ranks, rank) as batches:
        yield from batches


def on_arrays(predict: Callable[[Batch], Prediction]) -> Predict:
    """A model as a function from a batch to arrays."""
    def to_arrays(batch: Batch) -> Logits:
        return Logits(*(None if tensor_B is None else tensor_B.cpu().numpy()
                        for tensor_B in predict(batch)))

    return to_arrays


def progress(title: str, total: int, rank: int, unit: str = " samples") -> Any:
    """A bar on rank 0's stderr, none on the other ranks."""
    return tqdm(desc=title, total=total, unit=unit, unit_scale=True, disable=rank != 0,
                mininterval=seconds_per_redraw(), file=sys.stderr, dynamic_ncols=True)


def _counted(batches: Iterator[Batch], bar: Any, num_ranks: int) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        bar.update(min(batch.num_rows * num_ranks, bar.total - bar.n))


def pooled_predictions(run: TrainedRun, directory: str) -> Predictions:
    """All folds' rows, in order of samples, each exactly once."""
    path = run.path / directory
    pooled = Predictions.concatenate([
        read_parts(path / trained.fold.name)[0] for trained in run.folds
    ]).in_order_of_samples(str(path))
    days = [day for trained in run.folds for day in trained.fold.test_days]
    if len(pooled) != run.num_rows(days):
        raise InputError(
            f"{path}: {len(pooled):,} rows, the test days have {run.num_rows(days):,}: "
            "evaluate again"
        )
    return pooled
