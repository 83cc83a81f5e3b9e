"""Measures a trained run on its test days, beside a reference fitted on the same samples.

    python -m esmm_dist.evaluate
    python -m esmm_dist.evaluate --set evaluate.reference=trees_jointly
    python -m esmm_dist.evaluate --run kuairand --set evaluate.num_bootstraps=2000
    horovodrun -np 8 python -m esmm_dist.evaluate

Leaves in runs/<name>/: predictions/ and reference/ by fold, metrics.json, report.html.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.calibration import Calibration, unclicked_in
from esmm_dist.contract.command_line import (
    config_parser,
    file_errors_told,
    run_command,
)
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.telling import tell
from esmm_dist.distributed.world import connect
from esmm_dist.evaluation.figures import method_name
from esmm_dist.evaluation.prediction_files import (
    Origin,
    remove_other_folds,
    write_part,
)
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.recalibration import recalibrate
from esmm_dist.evaluation.reference import Reference
from esmm_dist.evaluation.report import CurvePoint, Evidence, render_report
from esmm_dist.evaluation.ripeness import warnings_of
from esmm_dist.evaluation.scorecard import (
    CalibrationCard,
    FoldRecord,
    RunRecord,
    make_scorecard,
)
from esmm_dist.evaluation.terminal import print_table
from esmm_dist.predicting import (
    batches_of_days,
    names_of_folds,
    pooled_predictions,
    predict_run,
    progress,
    reader_of,
)
from esmm_dist.storage.files import write
from esmm_dist.training.curve import curve_of, read_curve
from esmm_dist.training.trained_run import TrainedRun, add_run_flag, run_asked_for

# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> None:
    """Parses the flags, predicts with all ranks, measures with the first."""
    parser = config_parser(__doc__)
    add_run_flag(parser)
    arguments = parser.parse_args(argv)
    # The ranks connect before anything may be wrong, so that a mistake is told once.
    with connect() as world, file_errors_told():
        run = run_asked_for(arguments)
        predict_run(run, world)
        is_first = world.rank == 0
    if is_first:  # outside, so that the other ranks need not wait
        measure_run(run)


# ---------------------------------------------------------------------------------------------
# Measuring: the first rank, over all rows
# ---------------------------------------------------------------------------------------------


def measure_run(run: TrainedRun) -> None:
    """Fits the references, pools all folds, writes metrics.json and report.html, and tells.

    Raises:
        InputError: a sample was predicted twice or not at all.
    """
    for warning in warnings_of(run.test_days()):
        tell("warning", f"warning: {warning}")
    predict_references(run)
    model = pooled_predictions(run, "predictions")
    reference = pooled_predictions(run, "reference")
    tell("measuring", f"measuring {len(model):,} rows, {run.config.evaluate.num_bootstraps:,} "
                      "draws of groups")
    card = make_scorecard(_record(run), model, reference, calibration=_calibration(run, model))
    report = render_report(Evidence(run.config, card, run.days(), _curves(run)))
    report_path = run.path / "report.html"
    write(report_path, report)
    write(run.path / "metrics.json", card.to_json())
    tell("measured", None, metrics={name: found.value for name, found in card.pooled.model.items()})
    print_table(card)
    print(report_path)


def _calibration(run: TrainedRun, model: Predictions) -> CalibrationCard | None:
    """What the config's calibration is worth; None if it asks for none."""
    asked = run.config.calibrate
    if asked.method == "none" or asked.days is None:
        return None
    as_predicted = Calibration(unclicked=unclicked_in(run.config))
    return recalibrate(model, asked.method, asked.days, fold_records(run),
                       run.config.evaluate.num_bootstraps, as_predicted)


def predict_references(run: TrainedRun) -> None:
    """Fits the reference on every fold's training days and predicts its test days."""
    reader = reader_of(run)
    remove_other_folds(run.path / "reference", names_of_folds(run))
    name = run.config.evaluate.reference
    origin = Origin(name, run.manifest.number, None, num_parts=1)
    fit = _fitter(run)
    with progress(method_name(name), len(run.folds), rank=0, unit=" folds") as bar:
        for trained in run.folds:
            reference = fit(_read_to_learn(trained.fold.train_days, run))
            predictions = Predictions.concatenate([
                Predictions.collect(day, batches_of_days([day], run, reader), reference.predict)
                for day in trained.fold.test_days
            ])
            write_part(run.path / "reference" / trained.fold.name, 0, predictions, origin)
            bar.update()


def _read_to_learn(days: Sequence[date], run: TrainedRun) -> Iterator[Batch]:
    """What the model learned from: immature rows weigh nothing where training left them out."""
    excludes = run.config.train.immature == "exclude"
    for batch in batches_of_days(days, run, reader_of(run, with_delays=excludes)):
        if batch.delays is not None:
            batch = replace(batch, weight_B=batch.weight_B * batch.delays.mature_B)
        yield batch


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
        FoldRecord.of(t.learned, str(t.checkpoint.relative_to(run.path)), t.index.step,
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
        path = run.path / curve_of(trained.fold.name)
        if path.exists():
            curves[trained.fold.name] = [
                CurvePoint(
                    num_samples=record["num_samples"],
                    losses={k: v for k, v in record.items() if k.split("_")[-1] == "loss"},
                    samples_per_second=record["samples_per_second"],
                ) for record in read_curve(path)
            ]
    return curves


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
