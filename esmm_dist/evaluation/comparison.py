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
from esmm_dist.evaluation.intervals import Statistic, bootstrap, interval, task_statistic
from esmm_dist.evaluation.metrics import (
    METRICS,
    GroupSums,
    Sums,
    auc,
    equal_weight_edges,
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
    common: Predictions
    """The same rows by the CTR network that all methods share under this seed."""
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
    """What is added up over the seeds of a method."""

    seeds: dict[int, dict[str, float]]
    costs: dict[int, Cost]
    draws: dict[str, FloatArray]
    placements: dict[str, Placements | None]


def compare(
    rows: TestRows, baseline: str, trials_of_method: Mapping[str, Iterable[Trial]]
) -> tuple[tuple[MethodFigures, ...], dict[str, float]]:
    """Figures of every method, and of the truth itself.

    Args:
        trials_of_method: begins with the baseline; all have trials of the same seeds, in order.
            They are read one at a time.
    """
    assert next(iter(trials_of_method)) == baseline
    totals = {}
    figures = []
    for method, trials in trials_of_method.items():
        total = totals[method] = _total(rows, trials)
        base = totals[baseline]
        figures.append(MethodFigures(
            method=method, seeds=total.seeds, costs=total.costs,
            metrics={name: _spread(values) for name, values in _by_metric(total.seeds).items()},
            differences={} if method == baseline else _differences(total, base),
        ))
        if method != baseline:
            del totals[method]
    best = {}
    if rows.truth is not None:
        known = rows.first.take(rows.known_N)
        best = _defined(truth_metrics(as_predictions(known, rows.truth), rows.truth))
    return tuple(figures), best


def _total(rows: TestRows, trials: Iterable[Trial]) -> _Total:
    total = _Total({}, {}, {}, {})
    for trial in trials:
        values, draws, placements = _measure(rows, trial)
        total.seeds[trial.seed], total.costs[trial.seed] = values, trial.cost
        for name, draw_D in draws.items():
            total.draws[name] = draw_D + total.draws.get(name, 0.0)
        for name, placed in placements.items():
            before = total.placements.get(name)
            total.placements[name] = placed.plus(before) if placed and before else placed
    return total


def _measure(
    rows: TestRows, trial: Trial
) -> tuple[dict[str, float], dict[str, FloatArray], dict[str, Placements | None]]:
    """Every metric, its values on the draws, and the placements of AUCs."""
    group_N, num_groups = group_codes(trial.predictions)
    statistics: dict[str, Statistic] = {}
    values: dict[str, float] = {}
    placements: dict[str, Placements | None] = {}
    for task in Task:
        of_task = rows_of(task, trial.predictions, group_N, rows.model_N)
        if not of_task.is_predicted:
            continue
        edges = equal_weight_edges(of_task)
        statistics[task.value] = task_statistic(of_task, edges, num_groups)
        groups = GroupSums.by_group(of_task, num_groups).weighted(np.ones(num_groups))
        measured = {"auc": auc(of_task), "gauc": float(groups.gauc()),
                    **{k: float(v) for k, v in Sums.of(of_task, edges).metrics().items()}}
        values |= {metric_name(task, metric): measured[metric] for metric in METRICS}
        placements[metric_name(task, "auc")] = Placements.of(of_task)
    with_common = _rows_with_common_ctr(trial, group_N, rows.model_N)
    if with_common is not None:
        edges = equal_weight_edges(with_common)
        statistics[COMMON_CTR_AUC] = task_statistic(with_common, edges, num_groups)
        values[COMMON_CTR_AUC] = auc(with_common)
        placements[COMMON_CTR_AUC] = Placements.of(with_common)
    drawn = bootstrap(statistics, num_groups, rows.num_bootstraps, BOOTSTRAP_SEED)
    draws = {metric_name(task, metric): drawn[task.value][metric]
             for task in Task if task.value in drawn for metric in METRICS}
    if COMMON_CTR_AUC in drawn:
        draws[COMMON_CTR_AUC] = drawn[COMMON_CTR_AUC]["auc"]
    if rows.truth is not None:
        values |= truth_metrics(trial.predictions.take(rows.known_N), rows.truth)
    return _defined(values), draws, placements


def _rows_with_common_ctr(trial: Trial, group_N: IntArray, model_N: IntArray) -> Rows | None:
    """CTCVR rows whose pCTR is the common network's; None where the method has no pCVR."""
    cvr = logs_of(Task.CVR, trial.predictions)
    ctr = logs_of(Task.CTR, trial.common)
    if cvr is None:
        return None
    assert ctr is not None
    labelled = rows_of(Task.CTCVR, replace(trial.common, ctcvr_logit_N=trial.common.ctr_logit_N),
                       group_N, model_N)
    log_p_N, log_not_p_N = log_p_and_not_p((ctr[0] + cvr[0])[trial.predictions.weight_N > 0])
    return replace(labelled, log_p_N=log_p_N, log_not_p_N=log_not_p_N)


def _differences(total: _Total, base: _Total) -> dict[str, Difference]:
    found = {}
    num_seeds = len(total.seeds)
    for name in _by_metric(total.seeds):
        gaps = [total.seeds[seed][name] - base.seeds[seed][name] for seed in total.seeds
                if name in total.seeds[seed] and name in base.seeds[seed]]
        if len(gaps) < num_seeds:
            continue  # of some seeds it is not defined: no pairs
        spread, low_high, delong = _spread(gaps), None, None
        if name in total.draws:
            draw_D = (total.draws[name] - base.draws[name]) / num_seeds
            low_high = interval(draw_D, spread.mean,
                                reflect=DRIVEN_BY_NOISE in name.split("_"))
        one, other = total.placements.get(name), base.placements.get(name)
        if one and other:
            delong = difference_interval(one.over(num_seeds), other.over(num_seeds))
        found[name] = Difference(
            **spread.model_dump(),
            low=low_high.low if low_high else None, high=low_high.high if low_high else None,
            delong_low=delong.low if delong else None, delong_high=delong.high if delong else None,
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
