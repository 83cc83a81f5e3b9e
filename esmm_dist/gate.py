"""Judges a trained and evaluated run against the model in service, before it may take its place.

    python -m esmm_dist.gate
    python -m esmm_dist.gate --set gate.max_psi=0.5

Leaves gate.json and gate.html in the run's folder; a refusal ends with exit status 2. Nothing in
service is touched: esmm_dist.publish does that, and only with an accepting verdict.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from esmm_dist.assembly import Predict as PredictTensors
from esmm_dist.assembly import load_predictor, pick_device
from esmm_dist.bundling import make_bundle, predictions_of
from esmm_dist.calibration.maps import Scores, calibrated, rates_of
from esmm_dist.contract.command_line import config_parser, run_command
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.gating import Gate
from esmm_dist.contract.manifest import report_path
from esmm_dist.contract.telling import tell
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluation.predictions import Predict, Predictions
from esmm_dist.evaluation.recalibration import apply
from esmm_dist.evaluation.ripeness import warnings_of
from esmm_dist.evaluation.scorecard import FoldRecord, Scope, make_scope
from esmm_dist.evaluation.tasks import Rows, Task, logs_of
from esmm_dist.gating.checks import (
    check_bound,
    check_change,
    check_quality,
    check_sample,
    check_shift,
    delong_interval,
)
from esmm_dist.gating.page import render_verdict
from esmm_dist.gating.verdict import VERDICT, Check, Verdict
from esmm_dist.predicting import on_arrays, predict_days
from esmm_dist.reader.known_ids import as_known_to
from esmm_dist.reader.listed_rows import ListedRow, batch_of
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.store import store_of
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import write
from esmm_dist.training.trained_run import TrainedRun, add_run_flag, run_asked_for

PAGE = "gate.html"


def main(argv: Sequence[str]) -> None:
    """Parses the flags, judges, and prints where the verdict lies."""
    parser = config_parser(__doc__)
    add_run_flag(parser)
    run = run_asked_for(parser.parse_args(argv))
    verdict = judge(run, run.config.gate or Gate())
    for check in verdict.checks:
        text = f"{'passed ' if check.passed else 'REFUSED'} {check.kind}: {check.text}"
        tell("check", text, **check.model_dump(exclude={"text"}, exclude_none=True))
    for note in verdict.notes:
        tell("note", f"note: {note}")
    print(run.path / PAGE)
    if not verdict.accepted:
        raise InputError(
            f"{run.path / VERDICT}: {len(verdict.broken)} of {len(verdict.checks)} checks refuse "
            f"{verdict.candidate[:12]}; what is in service stays: {verdict.broken[0].text}"
        )


@dataclass(frozen=True)
class HeldOut:
    """The rows that candidate and current are judged on."""

    run: TrainedRun
    candidate: Bundle
    days: tuple[date, ...]

    @property
    def fold(self) -> FoldRecord:
        """The candidate's fold, as metrics know it."""
        trained = self.run.folds[-1]
        return FoldRecord.of(trained.learned, str(trained.checkpoint), trained.index.step,
                             trained.index.manifest)


def judge(run: TrainedRun, gate: Gate) -> Verdict:
    """Makes the run's bundle, judges it, and leaves the verdict in the run's folder.

    Raises:
        InputError: there is nothing to judge, such as a run that was not evaluated.
    """
    (run.path / VERDICT).unlink(missing_ok=True)  # no older verdict may pass for this one
    store = store_of(run.config)
    candidate = make_bundle(run, store)
    current = store.current()
    held_out = HeldOut(run, candidate, _held_out_days(run, candidate))
    rows = _served(predictions_of(run, run.folds[-1]), held_out.days, candidate)
    notes = list(warnings_of(run.manifest.select(held_out.days, run.config.samples.path)))
    checks = [*_sample_checks(candidate, gate), *_quality_checks(run, held_out, current, gate)]
    compared, comparison = _compared_with(current, held_out, gate)
    if comparison is not None:
        checks.append(comparison)
    if current is None:
        notes.append("No model is in service: the candidate is judged by itself.")
    others = rows if compared is None else rows_of_current(compared, held_out)
    tell("measuring", f"measuring {len(rows):,} rows, {run.config.evaluate.num_bootstraps:,} draws "
                      "of groups")
    scope = make_scope(rows, others, [held_out.fold], run.config.evaluate.num_bootstraps)
    checks += [check_bound(bound, scope) for bound in gate.bounds]
    if compared is not None:
        checks += [check_change(change, scope, delong_interval(change.metric, rows, others))
                   for change in gate.changes]
        checks += _shift_checks(rows, others, gate)
    verdict = Verdict(
        candidate=candidate.name, current=current.name if current else None,
        days=DayRange(first=held_out.days[0], last=held_out.days[-1]), num_impressions=len(rows),
        declared=gate, judged_at=datetime.now(UTC).replace(microsecond=0),
        accepted=all(check.passed for check in checks), checks=tuple(checks), notes=tuple(notes),
    )
    _write(run, verdict, scope if compared else None)
    return verdict


def _held_out_days(run: TrainedRun, candidate: Bundle) -> tuple[date, ...]:
    """The last fold's test days, without those that taught its calibration."""
    test_days, taught = run.folds[-1].fold.test_days, candidate.calibration.days
    days = tuple(day for day in test_days if taught is None or day > taught.last)
    assert days, "a config's calibrate.days end before its test days do"
    return days


def _served(predictions: Predictions, days: Sequence[date], bundle: Bundle) -> Predictions:
    """The rows of some days, with scores as the bundle would have them served."""
    of_days_N = np.isin(predictions.day_N, np.array(days, dtype="datetime64[D]"))
    return apply(predictions.take(of_days_N), bundle.calibration)


# ---------------------------------------------------------------------------------------------
# The checks that need more than figures
# ---------------------------------------------------------------------------------------------


def _sample_checks(candidate: Bundle, gate: Gate) -> list[Check]:
    """Loads the model from the bundle alone, as trainings and as servers do, and scores the
    bundle's sample."""
    num_rows, allowed = len(candidate.sample.rows), gate.max_sample_difference
    differences = _differences_on_sample(candidate)
    checks = [check_sample("weights", differences, num_rows, allowed)]
    if candidate.export_path is None:
        return checks
    try:
        from esmm_dist.serving.predictor import differences_on_sample
    except ModuleNotFoundError as error:
        raise InputError(
            f"{candidate.path}: it holds an exported model, and there is no {error.name} to try it "
            "with: pip install esmm-dist[serve]"
        ) from None
    try:
        of_onnx = differences_on_sample(candidate)
    except InputError as error:
        return [*checks, Check(kind="infrastructure", name="onnx", passed=False, text=str(error))]
    return [*checks, check_sample("onnx", of_onnx, num_rows, allowed)]


def _differences_on_sample(candidate: Bundle) -> dict[str, float]:
    """By rate, between what the weights give and what the trainer said of the same rows."""
    rows = candidate.sample.rows
    batch = batch_of([ListedRow(row.sample_id, row.ids, row.weights) for row in rows],
                     candidate.config.features)
    logits = on_arrays(_loaded(candidate))(batch)
    scores = Scores(logits.ctr_logit_N, logits.cvr_logit_N, logits.ctcvr_logit_N,
                    logits.cvr_log_p_N)
    rates = rates_of(calibrated(scores, candidate.calibration))._asdict()
    differences = {}
    for name, found_N in rates.items():
        expected = [getattr(row, name.removesuffix("_N")) for row in rows]
        if found_N is not None:
            differences[name] = float(np.abs(found_N - np.array(expected, dtype=float)).max())
    return differences


def _quality_checks(
    run: TrainedRun, held_out: HeldOut, current: Bundle | None, gate: Gate
) -> list[Check]:
    """Of the test days, and of the days that the model in service has not learned from."""
    if gate.quality == "ignored":
        return []
    last_known = current.index.train_days.last if current else date.min
    new = [day for day in run.folds[-1].learned.train_days if day > last_known]
    path = path_of(run.config.samples.path) / f"{report_path(run.manifest.number)}.json"
    text = path.read_text(encoding="utf-8") if path.exists() else None
    return check_quality(text, str(path), [*new, *held_out.days])


def _compared_with(
    current: Bundle | None, held_out: HeldOut, gate: Gate
) -> tuple[Bundle | None, Check | None]:
    """The bundle that the candidate can be compared with, and what was found if it cannot."""
    if current is None or current.name == held_out.candidate.name:
        return None, None
    reason = _incomparable(current, held_out)
    if reason is None:
        return current, None
    alone = gate.incomparable == "judge_alone"
    fate = "it is judged by its bounds alone" if alone else (
        "judge it by its bounds alone with gate.incomparable: judge_alone"
    )
    text = f"{current.name[:12]}, which is in service, {reason}: {fate}"
    return None, Check(kind="comparison", name="current", passed=alone, text=text)


def _incomparable(current: Bundle, held_out: HeldOut) -> str | None:
    """Why the model in service cannot score the candidate's rows; None if it can."""
    run, first = held_out.run, held_out.days[0]
    if current.index.fingerprint != run.manifest.fingerprint:
        return "has other features"
    if current.index.encodings not in run.encodings.lineage:
        return "has vocabularies or boundaries that were learned apart"
    taught = current.calibration.days
    last = max(current.index.train_days.last, taught.last if taught else date.min)
    return f"has learned from {last}, a held-out day" if last >= first else None


def rows_of_current(current: Bundle, held_out: HeldOut) -> Predictions:
    """The held-out rows as the model in service would have scored them."""
    predict = _on_known_ids(on_arrays(_loaded(current)), current)
    title = f"predict by {current.name[:12]}"
    predictions = predict_days(predict, held_out.days, held_out.run, SoloWorld(), title)
    ordered = predictions.in_order_of_samples(str(current.path))
    return _served(ordered, held_out.days, current)


def _on_known_ids(predict: Predict, bundle: Bundle) -> Predict:
    features, encodings = bundle.config.features, bundle.encodings
    return lambda batch: predict(as_known_to(batch, features, encodings))


def _loaded(bundle: Bundle) -> PredictTensors:
    world = SoloWorld()
    return load_predictor(bundle.model_path, bundle.config, bundle.encodings, world,
                          pick_device(world))


def _shift_checks(rows: Predictions, others: Predictions, gate: Gate) -> list[Check]:
    if gate.max_psi is None:
        return []
    checks = []
    for task in Task:
        own, current = _scores(task, rows), _scores(task, others)
        if own is not None and current is not None:
            checks.append(check_shift(task, own, current, gate.max_psi))
    return checks


def _scores(task: Task, predictions: Predictions) -> Rows | None:
    """A rate of all impressions, clicked or not; None if it is not predicted."""
    logs = logs_of(task, predictions)
    if logs is None:
        return None
    counts_N = predictions.weight_N > 0
    together_N = np.zeros(int(counts_N.sum()), np.intp)
    return Rows(
        label_N=np.zeros(len(together_N)), weight_N=predictions.weight_N[counts_N],
        group_N=together_N, model_N=together_N, log_p_N=logs[0][counts_N],
        log_not_p_N=logs[1][counts_N],
    )


def _write(run: TrainedRun, verdict: Verdict, scope: Scope | None) -> None:
    """The page first: who finds the verdict finds its page."""
    write(run.path / PAGE, render_verdict(verdict, run.config, scope))
    write(run.path / VERDICT, verdict.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
