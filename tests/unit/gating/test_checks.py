"""What passes and what does not: every demand on either side of its line."""

import json
from datetime import date
from typing import Any

import numpy as np
import pytest

from esmm_dist.contract.gating import Bound, Change, MetricName, Refuse
from esmm_dist.evaluation.intervals import Interval
from esmm_dist.evaluation.scorecard import Estimate, Scope
from esmm_dist.evaluation.tasks import Rows, Task
from esmm_dist.gating.checks import (
    Scorer,
    check_bound,
    check_change,
    check_quality,
    check_sample,
    check_shift,
    psi,
)


def scope(model: Estimate | None = None, difference: Estimate | None = None) -> Scope:
    """A scope in which every metric is the same."""
    names = MetricName.__args__  # type: ignore[attr-defined]
    none = Estimate(value=None, reason="no rows")
    return Scope(
        num_impressions=1, num_clicks=1, num_conversions=1, num_groups=1,
        model={name: model or none for name in names}, reference={},
        difference={name: difference or none for name in names},
    )


def between(low: float, high: float) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high)


@pytest.mark.parametrize(("low", "high", "refuse", "passed"), [
    (0.71, 0.79, "unless_clearly_kept", True),
    (0.69, 0.79, "unless_clearly_kept", False),
    (0.71, 0.81, "unless_clearly_kept", False),
    (0.60, 0.71, "if_clearly_broken", True),
    (0.60, 0.69, "if_clearly_broken", False),
    (0.79, 0.90, "if_clearly_broken", True),
    (0.81, 0.90, "if_clearly_broken", False),
])
def test_bounds_are_held_to_the_interval(
    low: float, high: float, refuse: Refuse, passed: bool
) -> None:
    bound = Bound(metric="ctr_auc", min=0.7, max=0.8, refuse=refuse)
    assert check_bound(bound, scope(model=between(low, high))).passed is passed


@pytest.mark.parametrize(("metric", "low", "high", "refuse", "passed"), [
    ("ctr_auc", -0.05, -0.02, "if_clearly_broken", False),
    ("ctr_auc", -0.05, -0.005, "if_clearly_broken", True),
    ("ctr_auc", -0.005, 0.05, "unless_clearly_kept", True),
    ("ctr_auc", -0.02, 0.05, "unless_clearly_kept", False),
    ("ctr_ne", 0.02, 0.05, "if_clearly_broken", False),
    ("ctr_ne", -0.05, -0.02, "if_clearly_broken", True),
    ("ctr_ne", 0.005, 0.05, "if_clearly_broken", True),
    ("ctr_ne", -0.05, 0.02, "unless_clearly_kept", False),
    ("cvr_ece_click", -0.05, 0.005, "unless_clearly_kept", True),
])
def test_a_loss_is_counted_towards_the_worse_end(
    metric: MetricName, low: float, high: float, refuse: Refuse, passed: bool
) -> None:
    change = Change(metric=metric, max_loss=0.01, refuse=refuse)
    assert check_change(change, scope(difference=between(low, high))).passed is passed


def test_delong_s_interval_is_told_and_does_not_decide() -> None:
    change, found = Change(metric="ctr_auc", max_loss=0.01), between(-0.05, 0.05)
    check = check_change(change, scope(difference=found), Interval(-0.04, -0.02))
    assert check.passed and (check.delong_low, check.delong_high) == (-0.04, -0.02)
    assert check.text.endswith("DeLong's interval is −0.0400 to −0.0200")
    without = check_change(change, scope(difference=found))
    assert without.delong_low is None and "DeLong" not in without.text


@pytest.mark.parametrize("refuse", ["if_clearly_broken", "unless_clearly_kept"])
def test_what_is_demanded_and_not_defined_is_refused_with_the_reason(refuse: Refuse) -> None:
    bound = check_bound(Bound(metric="ctr_auc", min=0, refuse=refuse), scope())
    change = check_change(Change(metric="ctr_auc", max_loss=1, refuse=refuse), scope())
    assert not bound.passed and "no rows" in bound.text
    assert not change.passed and "no rows" in change.text


def test_without_an_interval_the_value_stands_for_it_and_nothing_is_clear() -> None:
    found = Estimate(value=0.75)
    for least, refuse, passed in [(0.7, "if_clearly_broken", True),
                                  (0.8, "if_clearly_broken", False),
                                  (0.7, "unless_clearly_kept", False)]:
        bound = Bound.model_validate({"metric": "ctr_auc", "min": least, "refuse": refuse})
        assert check_bound(bound, scope(model=found)).passed is passed


def test_a_value_out_of_bounds_that_passes_says_why() -> None:
    bound = Bound(metric="ctr_auc", min=0.65)
    text = check_bound(bound, scope(model=between(0.6, 0.66))).text
    assert text.endswith("; not clear of chance")
    assert "chance" not in check_bound(bound, scope(model=between(0.7, 0.8))).text


# ---------------------------------------------------------------------------------------------
# Scores
# ---------------------------------------------------------------------------------------------


def rows(log_p: Any, weight: Any = None) -> Rows:
    log_p_N = np.asarray(log_p, dtype=float)
    zeros = np.zeros(len(log_p_N), dtype=np.intp)
    weight_N = np.ones(len(log_p_N)) if weight is None else np.asarray(weight, dtype=float)
    return Rows(label_N=np.zeros(len(log_p_N)), weight_N=weight_N, group_N=zeros, model_N=zeros,
                log_p_N=log_p_N, log_not_p_N=np.log1p(-np.exp(log_p_N)))


def test_the_index_is_the_sum_of_its_definition() -> None:
    """Half of the weight in either bin of the current; of the candidate a quarter and the rest."""
    current, candidate = rows([-2, -1]), rows([-2, -1], [1, 3])
    expected = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    assert psi(candidate, current) == pytest.approx(expected)
    assert psi(current, current) == 0


def test_scores_that_moved_are_refused() -> None:
    scores = -np.random.default_rng(0).exponential(size=5000) - 0.01
    alike = check_shift(Task.CTR, rows(scores * 1.02), rows(scores), 0.25)
    moved = check_shift(Task.CTR, rows(scores - 2), rows(scores), 0.25)
    assert alike.passed and not moved.passed
    assert "the PSI of p_ctr is" in moved.text and np.isfinite(moved.value or np.nan)


@pytest.mark.parametrize(("found", "passed"), [(1e-7, True), (1e-5, False), (float("nan"), False)])
def test_a_bundle_that_scores_otherwise_is_refused(found: float, passed: bool) -> None:
    told_of: dict[Scorer, str] = {
        "weights": "the bundle's weights", "onnx": "the bundle's ONNX file",
    }
    for scorer, told in told_of.items():
        check = check_sample(scorer, {"p_ctr_N": 0.0, "p_cvr_N": found}, 64, 1e-6)
        assert check.passed is passed and check.name == scorer and told in check.text


def test_a_bundle_that_predicts_nothing_is_refused() -> None:
    assert not check_sample("weights", {}, 0, 1e-6).passed


# ---------------------------------------------------------------------------------------------
# Samples
# ---------------------------------------------------------------------------------------------

DAY = date(2024, 1, 3)


def report(holds: bool | None, day: date = DAY) -> str:
    return json.dumps({"days": {day.isoformat(): {}}, "expectations": [
        {"name": "clicks come", "metric": "ctr", "feature": None, "day": day.isoformat(),
         "value": 0.001, "min": 0.01, "max": None, "holds": holds},
    ]})


@pytest.mark.parametrize(("holds", "told"), [
    (True, "every expectation holds on 2024-01-03"),
    (None, "every expectation holds, but for 1 of what is not defined there, on 2024-01-03"),
])
def test_days_on_which_all_expectations_hold_pass(holds: bool | None, told: str) -> None:
    (check,) = check_quality(report(holds), "r.json", [DAY])
    assert check.passed and check.text.startswith(told)


def test_days_of_which_nothing_is_expected_pass_and_say_so() -> None:
    document = json.loads(report(True)) | {"expectations": []}
    (check,) = check_quality(json.dumps(document), "r.json", [DAY])
    assert check.passed and check.text.startswith("no expectation is declared")


def test_a_broken_expectation_is_named() -> None:
    (check,) = check_quality(report(False), "r.json", [DAY])
    assert not check.passed
    assert check.text == "clicks come: ctr on 2024-01-03 is 0.001, expected is at least 0.01"


@pytest.mark.parametrize(("text", "reason"), [
    (None, "2024-01-03 has not been checked: run jobs/check_samples.py --days 2024-01-03:"),
    (report(True, date(2024, 1, 2)), "2024-01-03 has not been checked"),
    ("{", "no readable quality report"),
    ("[]", "no readable quality report"),
])
def test_days_that_were_not_looked_at_do_not_pass(text: str | None, reason: str) -> None:
    (check,) = check_quality(text, "r.json", [DAY])
    assert not check.passed and reason in check.text


def test_a_broken_day_that_does_not_matter_refuses_nothing() -> None:
    document = json.loads(report(False, date(2024, 1, 2)))
    document["days"][DAY.isoformat()] = {}
    (check,) = check_quality(json.dumps(document), "r.json", [DAY])
    assert check.passed
