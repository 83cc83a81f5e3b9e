"""Figures as text: signs, decimals, and verdicts only beyond chance."""

import pytest

from esmm_dist.evaluation.figures import (
    figure,
    interval_text,
    method_name,
    signed,
    verdict,
)
from esmm_dist.evaluation.scorecard import Estimate


@pytest.mark.parametrize(("metric", "value", "low", "high", "expected"), [
    ("ctr_auc", 0.02, 0.01, 0.03, "better"),
    ("ctr_auc", -0.02, -0.03, -0.01, "worse"),
    ("ctr_auc", 0.02, -0.01, 0.05, "none"),
    ("cvr_gauc_click", 0.02, 0.01, 0.03, "better"),
    ("cvr_logloss_click", 0.02, 0.01, 0.03, "worse"),
    ("ctcvr_ece", -0.02, -0.03, -0.01, "better"),
    ("ctcvr_pcoc", 0.02, 0.01, 0.03, ""),
    ("ctr_auc", 0.02, None, None, ""),
])
def test_a_verdict_follows_the_metrics_better_end(
    metric: str, value: float, low: float | None, high: float | None, expected: str
) -> None:
    assert verdict(Estimate(value=value, low=low, high=high), metric) == expected


def test_figures_have_the_decimals_that_mean_something() -> None:
    assert figure(0.71234, "ctr_auc") == "0.7123"
    assert figure(0.0712345, "ctcvr_logloss") == "0.07123"
    assert signed(-0.00123, "ctr_auc") == "−0.0012" and signed(0.5, "ctr_pcoc") == "+0.5000"
    assert figure(None, "ctr_auc") == signed(None, "ctr_auc") == "–"


def test_an_interval_or_why_there_is_none() -> None:
    assert interval_text(Estimate(value=0.7, low=0.69, high=0.71), "auc") == "0.6900 to 0.7100"
    assert interval_text(Estimate(value=0.01, low=-0.01, high=0.03), "auc",
                         of_difference=True) == "−0.0100 to +0.0300"
    assert interval_text(Estimate(value=None, reason="no rows"), "auc") == "no rows"
    assert interval_text(Estimate(value=0.7), "auc") == "too few draws define it"


def test_methods_are_named_as_people_write_them() -> None:
    assert [method_name(n) for n in ("esmm", "escm2_ips", "logistic_regression")] == [
        "ESMM", "ESCM2-IPS", "logistic regression"]
