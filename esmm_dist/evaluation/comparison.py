"""Several methods under one protocol: figures over seeds, and paired differences to one of them.

All are measured on the same rows and the same draws of users. A difference has two kinds of chance:
of training, told by the standard deviation over seeds, and of the test rows, told by two intervals
of the mean over seeds: from draws of users and, for AUCs, DeLong's.

Shape legend: N rows; D draws of groups.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from esmm_dist.evaluation.comparison_document import (
    COMMON_CTR_AUC,
    Cost,
    Difference,
    MethodFigures,
    Spread,
)
from esmm_dist.evaluation.delong import Placements, difference_interval
from esmm_dist.evaluation.intervals import (
    Statistic,
    bootstrap,
    interval,
    task_statistic,
    why_no_interval,
)
from esmm_dist.evaluation.metrics import (
    all_metrics,
    equal_weight_edges,
    explain,
    metrics_of,
)
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import BOOTSTRAP_SEED, DRIVEN_BY_NOISE
from esmm_dist.evaluation.tasks import (
    FloatArray,
    IntArray,
    Rows,
    Task,
    group_codes,
    log_p_and_not_p,
    logs_of,
    metric_name,
    rows_of,
)
from esmm_dist.evaluation.truth import Truth, as_predictions, truth_metrics


@dataclass(frozen=True)
class Trial:
    """One method trained with one seed, as it predicts the test rows."""

    seed: int
    predictions: Predictions
    common: Predictions | None
    """The same rows by the CTR network that all methods share under this seed; None: it failed."""
    cost: Cost


@dataclass(frozen=True)
class TestRows:
    """What all trials have in common."""

    __test__ = False  # it is no test

    first: Predictions
    """Any trial's predictions, for their keys and labels."""
    model_N: IntArray
    """Codes of the folds."""
    num_bootstraps: int
    truth: Truth | None = None
    """Of the rows at the places `known_N`."""
    known_N: IntArray = field(default_factory=lambda: np.empty(0, np.intp))


@dataclass
class _Total:
    """What is kept of the seeds of a method."""

    seeds: dict[int, dict[str, float]] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    costs: dict[int, Cost] = field(default_factory=dict)
    draws: dict[int, dict[str, FloatArray]] = field(default_factory=dict)
    placements: dict[str, Placements | None] = field(default_factory=dict)
    """Added up over the seeds."""


def compare(
    rows: TestRows, baseline: str, trials_of_method: Mapping[str, Iterable[Trial]]
) -> tuple[tuple[MethodFigures, ...], dict[str, float]]:
    """Figures of every method, and of the truth itself.

    Args:
        trials_of_method: begins with the baseline; trials of a method are in order of seeds, and
            of trainings that failed there is none. They are read one at a time.
    """
    assert next(iter(trials_of_method)) == baseline
    totals = {}
    figures = []
    for method, trials in trials_of_method.items():
        total = totals[method] = _total(rows, trials)
        base = totals[baseline]
        figures.append(MethodFigures(
            method=method, seeds=total.seeds, costs=total.costs, undefined=total.undefined,
            metrics={name: _spread(values) for name, values in _by_metric(total.seeds).items()},
            differences={} if method == baseline else _differences(
                total, base, group_codes(rows.first)[1]),
        ))
        if method != baseline:
            del totals[method]
    best = {}
    if rows.truth is not None:
        known = rows.first.take(rows.known_N)
        best = _defined(truth_metrics(as_predictions(known, rows.truth), rows.truth))
    return tuple(figures), best


def _total(rows: TestRows, trials: Iterable[Trial]) -> _Total:
    total = _Total()
    for trial in trials:
        measured = _measure(rows, trial)
        total.seeds[trial.seed], total.costs[trial.seed] = measured.values, trial.cost
        total.undefined |= measured.undefined
        total.draws[trial.seed] = measured.draws
        for name, placed in measured.placements.items():
            before = total.placements.get(name)
            total.placements[name] = placed.plus(before) if placed and before else placed
    return total


@dataclass
class _Measured:
    """What is known of one trial."""

    values: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    """Why metrics have no value."""
    draws: dict[str, FloatArray] = field(default_factory=dict)
    placements: dict[str, Placements | None] = field(default_factory=dict)


def _measure(rows: TestRows, trial: Trial) -> _Measured:
    """Every metric, its values on the draws, and the placements of AUCs."""
    found = _Measured()
    group_N, num_groups = group_codes(trial.predictions)
    metrics = metrics_of(rows.model_N)
    predictors = {
        task.value: (rows_of(task, trial.predictions, group_N, rows.model_N),
                     {metric_name(task, metric): metric for metric in metrics}) for task in Task
    }
    with_common = _rows_with_common_ctr(trial, group_N, rows.model_N)
    predictors[COMMON_CTR_AUC] = with_common, {
        metric.replace("auc", COMMON_CTR_AUC, 1): metric for metric in metrics if "auc" in metric
        and metric != "gauc"}
    statistics: dict[str, Statistic] = {}
    for key, (of_task, metric_of_name) in predictors.items():
        values = {}
        if of_task.is_predicted:
            edges = equal_weight_edges(of_task)
            statistics[key] = task_statistic(of_task, edges, num_groups)
            values = all_metrics(of_task, edges, num_groups)
            found.placements[next(iter(metric_of_name))] = Placements.of(of_task)
        for name, metric in metric_of_name.items():
            value = values.get(metric, np.nan)
            if np.isfinite(value):
                found.values[name] = value
            else:
                found.undefined[name] = explain(metric, of_task)
    if trial.common is None:
        found.undefined |= dict.fromkeys(predictors[COMMON_CTR_AUC][1], "the CTR network failed")
    drawn = bootstrap(statistics, num_groups, rows.num_bootstraps, BOOTSTRAP_SEED)
    for key, (_, metric_of_name) in predictors.items():
        if key in drawn:
            found.draws |= {name: drawn[key][metric] for name, metric in metric_of_name.items()}
    if rows.truth is not None:
        known = trial.predictions.take(rows.known_N)
        found.values |= _defined(truth_metrics(known, rows.truth))
    return found


def _rows_with_common_ctr(trial: Trial, group_N: IntArray, model_N: IntArray) -> Rows:
    """CTCVR rows whose pCTR is the common network's; none where that or the method's pCVR lacks."""
    cvr = logs_of(Task.CVR, trial.predictions)
    ctr = None if trial.common is None else logs_of(Task.CTR, trial.common)
    if cvr is None or ctr is None:
        nothing = replace(trial.predictions, ctr_logit_N=None, ctcvr_logit_N=None)
        return rows_of(Task.CTCVR, nothing, group_N, model_N)
    assert trial.common is not None
    labelled = rows_of(Task.CTCVR, replace(trial.common, ctcvr_logit_N=trial.common.ctr_logit_N),
                       group_N, model_N)
    log_p_N, log_not_p_N = log_p_and_not_p((ctr[0] + cvr[0])[trial.predictions.weight_N > 0])
    return replace(labelled, log_p_N=log_p_N, log_not_p_N=log_not_p_N)


def _differences(total: _Total, base: _Total, num_groups: int) -> dict[str, Difference]:
    """Over the seeds that both came to an end with."""
    found = {}
    seeds = [seed for seed in total.seeds if seed in base.seeds]
    are_whole = set(total.seeds) == set(base.seeds)
    for name in _by_metric(total.seeds):
        gaps = [total.seeds[seed][name] - base.seeds[seed][name] for seed in seeds
                if name in total.seeds[seed] and name in base.seeds[seed]]
        if not gaps or len(gaps) < len(seeds):
            continue  # of some seeds it is not defined: no pairs
        spread, low_high, delong, reason = _spread(gaps), None, None, None
        if all(name in of_one.draws[seed] for of_one in (total, base) for seed in seeds):
            draw_D = np.mean([total.draws[seed][name] - base.draws[seed][name] for seed in seeds],
                             axis=0)
            low_high = interval(draw_D, spread.mean,
                                reflect=DRIVEN_BY_NOISE in name.split("_"))
            reason = None if low_high else why_no_interval(num_groups)
        one, other = total.placements.get(name), base.placements.get(name)
        if one and other and are_whole:
            delong = difference_interval(one.over(len(seeds)), other.over(len(seeds)))
        found[name] = Difference(
            **spread.model_dump(),
            low=low_high.low if low_high else None, high=low_high.high if low_high else None,
            delong_low=delong.low if delong else None, delong_high=delong.high if delong else None,
            reason=reason,
        )
    return found


def _by_metric(seeds: Mapping[int, Mapping[str, float]]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for values in seeds.values() for name in values)
    return {name: [values[name] for values in seeds.values() if name in values] for name in names}


def _spread(values: Sequence[float]) -> Spread:
    return Spread(mean=float(np.mean(values)), num_seeds=len(values),
                  std=float(np.std(values, ddof=1)) if len(values) > 1 else None)


def _defined(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}
