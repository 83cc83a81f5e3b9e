"""Each demand of the gate as a pure function of figures: what was found, and whether it passes.

It reads no file and loads no model.

Shape legend: N rows; B bins.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal

import numpy as np

from esmm_dist.contract.gating import Bound, Change, MetricName, Refuse
from esmm_dist.evaluation.delong import Placements, difference_interval
from esmm_dist.evaluation.figures import figure, interval_text, signed
from esmm_dist.evaluation.intervals import Interval
from esmm_dist.evaluation.metrics import HIGHER_IS_BETTER, bin_of, equal_weight_edges, sum_by
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import Estimate, Scope
from esmm_dist.evaluation.tasks import Rows, Task, metric_name, rows_of
from esmm_dist.gating.verdict import Check

# A bin that no row of one model falls into would make the index infinite.
MIN_SHARE = 1e-4


def check_bound(bound: Bound, scope: Scope) -> Check:
    """A metric of the candidate against its bounds."""
    found, name = scope.model[bound.metric], bound.metric
    low, high = _interval(found, bound.refuse)
    least = -np.inf if bound.min is None else bound.min
    most = np.inf if bound.max is None else bound.max
    passed = found.value is not None and (
        (low <= most and high >= least) if bound.refuse == "if_clearly_broken"
        else (least <= low and high <= most)
    )
    text = (f"{name} is {figure(found.value, name)} ({interval_text(found, name)}), demanded is "
            f"{_span(bound)}{_how(bound.refuse)}")
    if passed and found.value is not None and not least <= found.value <= most:
        text += "; not clear of chance"
    return Check(kind="bound", name=name, passed=passed, text=text, value=found.value,
                 low=found.low, high=found.high)


def check_change(change: Change, scope: Scope, delong: Interval | None = None) -> Check:
    """A metric of the candidate minus that of the model in service, on the same rows.

    Args:
        delong: of a change of AUC, shown beside the interval by draws of groups, which decides.
    """
    found, name = scope.difference[change.metric], change.metric
    low, high = _interval(found, change.refuse)
    least_loss, most_loss = (-high, -low) if _rises(name) else (low, high)
    loss = least_loss if change.refuse == "if_clearly_broken" else most_loss
    passed = found.value is not None and loss <= change.max_loss
    text = (f"{name} changes by {signed(found.value, name)} "
            f"({interval_text(found, name, of_difference=True)}), allowed is a loss of "
            f"{change.max_loss:g}{_how(change.refuse)}")
    if delong is not None:
        text += (f"; rows taken as independent, DeLong's interval is {signed(delong.low, name)} to "
                 f"{signed(delong.high, name)}")
    return Check(kind="change", name=name, passed=passed, text=text, value=found.value,
                 low=found.low, high=found.high, delong_low=delong.low if delong else None,
                 delong_high=delong.high if delong else None)


def delong_interval(
    metric: MetricName, candidate: Predictions, current: Predictions
) -> Interval | None:
    """95 % of the change of an AUC by DeLong, from the same rows scored by both models of one fold.

    Returns:
        None of other metrics, and where the theory does not hold (`Placements.of`).
    """
    task = next((task for task in Task if metric_name(task, "auc") == metric), None)
    if task is None:
        return None
    together_N = np.zeros(len(candidate), np.intp)
    one, other = (
        Placements.of(rows_of(task, predictions, together_N, together_N))
        for predictions in (candidate, current)
    )
    return None if one is None or other is None else difference_interval(one, other)


def check_shift(task: Task, candidate: Rows, current: Rows, max_psi: float) -> Check:
    """How far the candidate's scores of all impressions are distributed otherwise than those of the
    model in service."""
    value = psi(candidate, current)
    return Check(
        kind="shift", name=task, passed=value <= max_psi, value=value,
        text=f"the PSI of p_{task} is {value:.3f}, allowed is {max_psi:g}",
    )


def psi(candidate: Rows, current: Rows) -> float:
    """Population stability index, sum over bins of (c - r) ln(c / r), with the shares c and r of
    the weight of either model's scores (Siddiqi, Credit Risk Scorecards, 2006).

    Bins hold equal weight by the current model's scores.
    """
    edges = equal_weight_edges(current)
    share_of = []
    for rows in (candidate, current):
        weight_B = sum_by(bin_of(rows, edges), rows.weight_N, len(edges) + 1)
        share_of.append(np.maximum(weight_B / weight_B.sum(), MIN_SHARE))
    candidate_B, current_B = share_of
    return float(((candidate_B - current_B) * np.log(candidate_B / current_B)).sum())


def check_quality(report: str | None, source: str, days: Iterable[date]) -> list[Check]:
    """What jobs/check_samples.py found of the days that matter.

    Args:
        report: the text of its quality.json; none if it has not looked.
        source: names the report.
    """
    wanted = sorted({day.isoformat() for day in days})
    try:
        document: Any = {"days": {}, "expectations": []} if report is None else json.loads(report)
        looked_at, expectations = document["days"], document["expectations"]
        of_days = [e for e in expectations if e["day"] in wanted]
        broken = [e for e in of_days if e["holds"] is False]
        num_undefined = sum(e["holds"] is None for e in of_days)
    except (ValueError, KeyError, TypeError):
        return [_quality("report", False, f"{source}: no readable quality report: run "
                                          "jobs/check_samples.py again")]
    missing = [day for day in wanted if day not in looked_at]
    if missing:
        return [_quality("report", False, f"{source}: {missing[0]} has not been checked: run "
                                          f"jobs/check_samples.py --days {wanted[0]}:{wanted[-1]}")]
    if not broken:
        found = "every expectation holds" if expectations else "no expectation is declared"
        if num_undefined:
            found += f", but for {num_undefined:,} of what is not defined there,"
        return [_quality("expectations", True, f"{found} on {wanted[0]} to {wanted[-1]}")]
    return [_broken_expectation(expectation) for expectation in broken]


Scorer = Literal["weights", "onnx"]


def check_sample(
    scorer: Scorer, differences: Mapping[str, float], num_rows: int, allowed: float
) -> Check:
    """The bundle's sample, scored by what was loaded from the bundle, against the trainer's scores.

    Args:
        scorer: which of the bundle's two forms of the model was loaded.
        differences: the largest difference of probabilities, by rate.
    """
    largest = float(np.max([*differences.values()] or [np.nan]))  # of NaN nothing is less
    return Check(
        kind="infrastructure", name=scorer, passed=largest <= allowed, value=largest,
        text=f"{num_rows:,} rows scored by {_SCORED_BY[scorer]} differ from the trainer's scores "
             f"by {largest:.1e} at most, allowed is {allowed:g}",
    )


_SCORED_BY: Mapping[Scorer, str] = {
    "weights": "the bundle's weights", "onnx": "the bundle's ONNX file, as it is served,",
}


def _broken_expectation(expectation: Mapping[str, Any]) -> Check:
    of = f" of {expectation['feature']}" if expectation.get("feature") else ""
    least, most = (expectation.get(end) for end in ("min", "max"))
    ends = [f"at least {least:g}" if least is not None else "",
            f"at most {most:g}" if most is not None else ""]
    text = (f"{expectation['name']}: {expectation['metric']}{of} on {expectation['day']} is "
            f"{expectation['value']:.6g}, expected is {' and '.join(filter(None, ends))}")
    return _quality(expectation["name"], False, text, expectation["value"])


def _quality(name: str, passed: bool, text: str, value: float | None = None) -> Check:
    return Check(kind="quality", name=name, passed=passed, text=text, value=value)


def _interval(estimate: Estimate, refuse: Refuse) -> tuple[float, float]:
    """Where too few draws define one, the value stands for it; nothing is then clearly kept."""
    if estimate.interval is not None:
        return estimate.interval.low, estimate.interval.high
    if refuse == "unless_clearly_kept" or estimate.value is None:
        return -np.inf, np.inf
    return estimate.value, estimate.value


def _rises(metric: str) -> bool:
    words: Sequence[str] = metric.split("_")
    return next(up for name, up in HIGHER_IS_BETTER.items() if name in words)


def _span(bound: Bound) -> str:
    if bound.min is None:
        return f"at most {bound.max:g}"
    return f"at least {bound.min:g}" if bound.max is None else f"{bound.min:g} to {bound.max:g}"


def _how(refuse: Refuse) -> str:
    return ", clear of chance" if refuse == "unless_clearly_kept" else ""
