"""Measures a trained run on its test days, beside a reference fitted on the same samples.

    python -m esmm_dist.evaluate
    python -m esmm_dist.evaluate --set evaluate.reference=trees_jointly
    python -m esmm_dist.evaluate --run kuairand --set evaluate.num_bootstraps=2000
    horovodrun -np 8 python -m esmm_dist.evaluate

Leaves in runs/<name>/: predictions/ and reference/ by fold, metrics.json, report.html.
"""

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from esmm_dist.assembly import load_predictor, pick_device
from esmm_dist.contract.batch import Batch
from esmm_dist.contract.command_line import (
    config_from,
    config_parser,
    file_errors_told,
    run_command,
)
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.world import World
from esmm_dist.distributed.world import connect
from esmm_dist.evaluation.figures import method_name
from esmm_dist.evaluation.prediction_files import (
    Origin,
    read_parts,
    remove_other_folds,
    write_part,
)
from esmm_dist.evaluation.predictions import Logits, Predict, Predictions
from esmm_dist.evaluation.reference import Reference
from esmm_dist.evaluation.report import CurvePoint, Evidence, render_report
from esmm_dist.evaluation.ripeness import warnings_of
from esmm_dist.evaluation.scorecard import FoldRecord, RunRecord, make_scorecard
from esmm_dist.evaluation.terminal import print_table
from esmm_dist.model.method import Prediction
from esmm_dist.reader.samples import SampleReader
from esmm_dist.training.curve import read_curve
from esmm_dist.training.trained_run import TrainedRun, config_of_run, open_run

SECONDS_PER_REDRAW = 0.5


# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> None:
    """Parses the flags, predicts with all ranks, measures with the first."""
    parser = config_parser(__doc__)
    parser.add_argument("--run", metavar="NAME",
                        help="a run below runs_path, evaluated with the config it was trained with "
                             "(and --set); without it, the run that the config names")
    arguments = parser.parse_args(argv)
    # The ranks connect before anything may be wrong, so that a mistake is told once.
    with connect() as world, file_errors_told():
        run = _open(arguments)
        predict_run(run, world)
        is_first = world.rank == 0
    if is_first:  # outside, so that the other ranks need not wait
        measure_run(run)


def _open(arguments: Namespace) -> TrainedRun:
    config = config_from(arguments)
    run_path = Path(config.runs_path) / (arguments.run or config.name)
    if arguments.run:
        config = config_of_run(run_path, arguments.overrides)
    return open_run(config, run_path)


# ---------------------------------------------------------------------------------------------
# Predicting: every rank its share of the rows
# ---------------------------------------------------------------------------------------------


def predict_run(run: TrainedRun, world: World) -> None:
    """Writes this rank's part of the model's predictions for every fold."""
    device = pick_device(world)
    reader = _reader(run)
    if world.rank == 0:
        remove_other_folds(run.path / "predictions", _names(run))
    for trained in run.folds:
        predict = _on_arrays(load_predictor(trained.checkpoint, run.config, run.encodings, world,
                                            device))
        days = trained.fold.test_days
        parts = []
        with _progress(f"predict {trained.fold.name}", run.num_rows(days), world.rank) as bar:
            for day in days:
                batches = _read([day], run, reader, world.num_ranks, world.rank)
                counted = _counted(batches, bar, world.num_ranks)
                parts.append(Predictions.collect(day, counted, predict))
        origin = Origin(run.config.model.method, run.manifest.number, trained.digest,
                        world.num_ranks)
        write_part(run.path / "predictions" / trained.fold.name, world.rank,
                   Predictions.concatenate(parts), origin)
    world.barrier(name="predicted")


def _names(run: TrainedRun) -> list[str]:
    return [trained.fold.name for trained in run.folds]


def _reader(run: TrainedRun, with_delays: bool = False) -> SampleReader:
    return SampleReader(run.config.samples.path, run.manifest, run.config.features, with_keys=True,
                        with_delays=with_delays)


def _read(
    days: Sequence[date], run: TrainedRun, reader: SampleReader, num_ranks: int = 1, rank: int = 0
) -> Iterator[Batch]:
    batch_size = run.config.evaluate.batch_size
    with reader.evaluation_batches(days, batch_size, num_ranks, rank) as batches:
        yield from batches


def _read_to_learn(days: Sequence[date], run: TrainedRun) -> Iterator[Batch]:
    """What the model learned from: immature rows weigh nothing where training left them out."""
    excludes = run.config.train.immature == "exclude"
    for batch in _read(days, run, _reader(run, with_delays=excludes)):
        if batch.delays is not None:
            batch = replace(batch, weight_B=batch.weight_B * batch.delays.mature_B)
        yield batch


def _on_arrays(predict: Callable[[Batch], Prediction]) -> Predict:
    def on_arrays(batch: Batch) -> Logits:
        return Logits(*(None if tensor_B is None else tensor_B.cpu().numpy()
                        for tensor_B in predict(batch)))

    return on_arrays


def _progress(title: str, total: int, rank: int, unit: str = " samples") -> Any:
    return tqdm(desc=title, total=total, unit=unit, unit_scale=True, disable=rank != 0,
                mininterval=SECONDS_PER_REDRAW, file=sys.stderr, dynamic_ncols=True)


def _counted(batches: Iterator[Batch], bar: Any, num_ranks: int) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        bar.update(min(batch.num_rows * num_ranks, bar.total - bar.n))


# ---------------------------------------------------------------------------------------------
# Measuring: the first rank, over all rows
# ---------------------------------------------------------------------------------------------


def measure_run(run: TrainedRun) -> None:
    """Fits the references, pools all folds, writes metrics.json and report.html, and tells.

    Raises:
        InputError: a sample was predicted twice or not at all.
    """
    for warning in warnings_of(run.test_days()):
        print(f"warning: {warning}", file=sys.stderr)
    predict_references(run)
    model = pooled_predictions(run, "predictions")
    reference = pooled_predictions(run, "reference")
    print(f"measuring {len(model):,} rows, {run.config.evaluate.num_bootstraps:,} draws of groups",
          file=sys.stderr)
    card = make_scorecard(_record(run), model, reference)
    report = render_report(Evidence(run.config, card, run.days(), _curves(run)))
    report_path = run.path / "report.html"
    _write_atomically(report_path, report)
    _write_atomically(run.path / "metrics.json", card.to_json())
    print_table(card)
    print(report_path)


def predict_references(run: TrainedRun) -> None:
    """Fits the reference on every fold's training days and predicts its test days."""
    reader = _reader(run)
    remove_other_folds(run.path / "reference", _names(run))
    name = run.config.evaluate.reference
    origin = Origin(name, run.manifest.number, None, num_parts=1)
    fit = _fitter(run)
    with _progress(method_name(name), len(run.folds), rank=0, unit=" folds") as bar:
        for trained in run.folds:
            reference = fit(_read_to_learn(trained.fold.train_days, run))
            predictions = Predictions.concatenate([
                Predictions.collect(day, _read([day], run, reader), reference.predict)
                for day in trained.fold.test_days
            ])
            write_part(run.path / "reference" / trained.fold.name, 0, predictions, origin)
            bar.update()


def _fitter(run: TrainedRun) -> Callable[[Iterator[Batch]], Any]:
    """Fits the reference that the config asks for.

    Raises:
        InputError: it asks for trees, and LightGBM is not installed.
    """
    config = run.config
    if config.evaluate.reference == "logistic_regression":
        return lambda batches: Reference.fit(batches, config.features, run.encodings)
    try:
        from esmm_dist.evaluation.trees import JointTrees, TreesApart
    except ModuleNotFoundError as error:
        raise InputError(
            f"evaluate.reference = {config.evaluate.reference}: there is no {error.name}: pip "
            "install esmm-dist[trees]"
        ) from None
    trees = TreesApart if config.evaluate.reference == "trees_apart" else JointTrees
    return lambda batches: trees.fit(batches, config.features, config.evaluate.trees)


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


def _record(run: TrainedRun) -> RunRecord:
    return RunRecord(
        name=run.path.name, method=run.config.model.method, reference=run.config.evaluate.reference,
        note=run.config.note, samples_path=run.config.samples.path,
        fingerprint=run.manifest.fingerprint, encodings=run.encodings.content_hash,
        commit=commit(), evaluated_at=datetime.now(UTC).replace(microsecond=0),
        num_bootstraps=run.config.evaluate.num_bootstraps,
        folds=fold_records(run),
        warnings=warnings_of(run.test_days()),
    )


def fold_records(run: TrainedRun) -> tuple[FoldRecord, ...]:
    """A run's models: what each learned from and what it predicts."""
    return tuple(
        FoldRecord.of(t.fold, str(t.checkpoint.relative_to(run.path)), t.index.step,
                      t.index.manifest)
        for t in run.folds
    )


def commit() -> str | None:
    """The commit of the code that runs, marked where files were changed since; None if unknown."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True,
                              text=True, check=True, timeout=10).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"],
                                 capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head} and changes" if changed else head


def _curves(run: TrainedRun) -> dict[str, list[CurvePoint]]:
    """The curves that training left; a fold without any is left out."""
    curves = {}
    for trained in run.folds:
        path = run.path / "curves" / f"{trained.fold.name}.jsonl"
        if path.exists():
            curves[trained.fold.name] = [
                CurvePoint(
                    num_samples=record["num_samples"],
                    losses={k: v for k, v in record.items() if k.split("_")[-1] == "loss"},
                    samples_per_second=record["samples_per_second"],
                ) for record in read_curve(path)
            ]
    return curves


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
