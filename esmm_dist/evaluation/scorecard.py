"""The figures of one evaluation as one document: what metrics.json holds and the report shows.

Pooled over all test days, and day by day: every metric of the model and of the reference, and their
differences paired on the same rows, each with its interval. It writes no file.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.folds import Fold
from esmm_dist.evaluation.calibration import ReliabilityBin, reliability
from esmm_dist.evaluation.intervals import (
    Interval,
    bootstrap,
    interval,
    task_statistic,
    why_no_interval,
)
from esmm_dist.evaluation.metrics import (
    AUC_WITHIN_MODEL,
    METRICS,
    NUM_BINS,
    all_metrics,
    equal_weight_edges,
    explain,
    metrics_of,
)
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.tasks import (
    FloatArray,
    IntArray,
    Rows,
    Task,
    group_codes,
    metric_name,
    rows_of,
)

# One seed for all: two runs over the same samples are drawn alike, so that they can be paired too.
BOOTSTRAP_SEED = 0
# Noise alone drives it up, in the draws as in the estimate.
DRIVEN_BY_NOISE = "ece"

DEFINITIONS = {
    "ctr_*": "click, over impressions",
    "cvr_*_click": "conversion, over clicked impressions",
    "ctcvr_*": "click and conversion, over impressions; p_ctr * p_cvr, where the method does not "
               "predict it by itself",
    "auc": "probability that a positive ranks above a negative, ties half; exact",
    "gauc": "mean AUC of lists weighted by their rows, a list being what one model scored of one "
            "group; lists of one class are left out",
    "auc_within_model": "auc over the pairs of rows that one model scored; where several models "
                        "scored the rows",
    "logloss": "mean negative log-likelihood, from logits",
    "ne": "logloss / entropy of the rows' own positive rate",
    "pcoc": "predicted / observed positives",
    "ece": f"mean |predicted - observed rate| over {NUM_BINS} bins of equal weight",
    "low, high": "95 % interval from draws of groups with replacement (percentile; of ece the "
                 "reflected one, because noise only ever raises it)",
    "difference": "model minus reference on the same rows and the same draws",
}


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Document):
    """A figure and its interval."""

    value: float | None
    """None: the rows do not define it."""
    low: float | None = None
    high: float | None = None
    left_out_share: float | None = None
    """Of gauc: the share of weight in lists of one class."""
    reason: str | None = None
    """Why there is no value, or a value but no interval."""

    @property
    def interval(self) -> Interval | None:
        """Its 95 % interval, where there is one."""
        if self.low is None or self.high is None:
            return None
        return Interval(self.low, self.high)


class Scope(_Document):
    """All figures of one set of rows."""

    num_impressions: int
    num_clicks: int
    num_conversions: int
    num_groups: int
    model: dict[str, Estimate]
    reference: dict[str, Estimate]
    difference: dict[str, Estimate]


class FoldRecord(_Document):
    """One model: what it learned from and what it predicted."""

    name: str
    train_days: DayRange
    test_days: DayRange
    checkpoint: str
    """Relative to the run's folder."""
    step: int
    manifest: int

    @classmethod
    def of(cls, fold: Fold, checkpoint: str, step: int, manifest: int) -> "FoldRecord":
        """A fold with the checkpoint that predicted it."""
        return cls(name=fold.name, train_days=_range(fold.train_days),
                   test_days=_range(fold.test_days), checkpoint=checkpoint, step=step,
                   manifest=manifest)


class RunRecord(_Document):
    """What was run."""

    name: str
    method: str
    reference: str
    note: str
    samples_path: str
    fingerprint: str
    encodings: str
    commit: str | None
    evaluated_at: datetime | None = None
    """None in a bundle, which is named by its content: a retry makes the same."""
    num_bootstraps: int
    folds: tuple[FoldRecord, ...]
    warnings: tuple[str, ...] = ()
    """What is to be known before the figures are believed."""


class CalibrationCard(_Document):
    """Calibration learned from some test days and judged on the later ones."""

    calibration: Calibration
    num_impressions_learned_from: int
    days: DayRange
    """Those it is judged on."""
    scope: Scope
    """`model` is what is served, `reference` what the model predicts."""
    reliability: dict[Task, dict[Literal["model", "reference"], list[ReliabilityBin]]]


class Scorecard(_Document):
    """The content of metrics.json."""

    format_version: Literal[1]
    run: RunRecord
    definitions: dict[str, str]
    pooled: Scope
    days: dict[date, Scope]
    reliability: dict[Task, dict[Literal["model", "reference"], list[ReliabilityBin]]]
    """Pooled over the test days."""
    calibration: CalibrationCard | None = None
    """None: predictions are served as they are."""

    def to_json(self) -> str:
        """Indented JSON; of optional parts only those there are."""
        return self.model_dump_json(indent=1, exclude_defaults=True) + "\n"


def make_scorecard(
    run: RunRecord, model: Predictions, reference: Predictions, *,
    calibration: CalibrationCard | None = None,
) -> Scorecard:
    """Measures both on all rows together and on every day by itself.

    Args:
        model, reference: predictions of the same samples in the same order.
        calibration: of the model, if there is one.
    """
    assert np.array_equal(model.sample_id_N, reference.sample_id_N)
    assert np.array_equal(model.day_N, reference.day_N)
    codes = group_codes(model)[0], model_codes(model, run.folds)
    days = {}
    for day in np.unique(model.day_N):
        of_day_N = model.day_N == day
        days[day.astype(date)] = make_scope(
            model.take(of_day_N), reference.take(of_day_N), run.folds, run.num_bootstraps
        )
    return Scorecard(
        format_version=1,
        run=run,
        definitions=DEFINITIONS,
        pooled=make_scope(model, reference, run.folds, run.num_bootstraps),
        days=days,
        reliability={
            task: {"model": reliability(rows_of(task, model, *codes)),
                   "reference": reliability(rows_of(task, reference, *codes))}
            for task in Task
        },
        calibration=calibration,
    )


def model_codes(predictions: Predictions, folds: Sequence[FoldRecord]) -> IntArray:
    """Every row's fold, as its place in `folds`."""
    last_days = np.array([fold.test_days.last for fold in folds], dtype="datetime64[D]")
    return np.searchsorted(last_days, predictions.day_N)


def metric_names(task: Task, scope: Scope) -> list[str]:
    """Of the metrics of a task those that were measured: some need several models."""
    names = (metric_name(task, metric) for metric in (*METRICS, AUC_WITHIN_MODEL))
    return [name for name in names if name in scope.model]


def make_scope(
    model: Predictions, reference: Predictions, folds: Sequence[FoldRecord], num_bootstraps: int
) -> Scope:
    """All figures of the rows given."""
    group_N, num_groups = group_codes(model)
    model_N = model_codes(model, folds)
    predictors = {"model": model, "reference": reference}
    rows = {(name, task): rows_of(task, predictions, group_N, model_N)
            for name, predictions in predictors.items() for task in Task}
    edges = {key: equal_weight_edges(of_key) for key, of_key in rows.items()}
    statistics = {f"{name} {task}": task_statistic(rows[name, task], edges[name, task], num_groups)
                  for name, task in rows}
    draws = bootstrap(statistics, num_groups, num_bootstraps, BOOTSTRAP_SEED)

    estimates: dict[str, dict[str, Estimate]] = {"model": {}, "reference": {}, "difference": {}}
    for task in Task:
        values = {name: all_metrics(rows[name, task], edges[name, task], num_groups)
                  for name in predictors}
        draws_of = {name: draws[f"{name} {task}"] for name in predictors}
        for metric in metrics_of(model_N):
            of_metric = _estimates(metric, rows["model", task], values, draws_of, num_groups)
            for name, estimate in of_metric.items():
                estimates[name][metric_name(task, metric)] = estimate
    return Scope(
        num_impressions=len(model), num_clicks=int((model.click_N == 1).sum()),
        num_conversions=int((model.conversion_N == 1).sum()), num_groups=num_groups, **estimates,
    )


def _estimates(
    metric: str,
    rows: Rows,
    values: Mapping[str, Mapping[str, float]],
    draws: Mapping[str, Mapping[str, FloatArray]],
    num_groups: int,
) -> dict[str, Estimate]:
    """One metric of the model, of the reference, and their difference."""
    value_of = {name: of_name[metric] for name, of_name in values.items()}
    draws_of = {name: of_name[metric] for name, of_name in draws.items()}
    value_of["difference"] = value_of["model"] - value_of["reference"]
    draws_of["difference"] = draws_of["model"] - draws_of["reference"]
    estimates = {}
    for name, value in value_of.items():
        if not np.isfinite(value):
            estimates[name] = Estimate(value=None, reason=explain(metric, rows))
            continue
        found = interval(draws_of[name], value, reflect=metric == DRIVEN_BY_NOISE)
        if found and metric == DRIVEN_BY_NOISE and name != "difference":
            found = Interval(max(0.0, found.low), max(0.0, found.high))
        share = values[name]["left_out_share"] if metric == "gauc" and name in values else None
        estimates[name] = Estimate(
            value=value, low=found.low if found else None, high=found.high if found else None,
            left_out_share=share, reason=None if found else why_no_interval(num_groups),
        )
    return estimates


def _range(days: Sequence[date]) -> DayRange:
    return DayRange(first=days[0], last=days[-1])
