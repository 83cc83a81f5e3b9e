"""Figures as text: signs, decimals, spans of days, and verdicts only beyond chance."""

from datetime import date

import pytest

from esmm_dist.contract.sections import DayRange
from esmm_dist.evaluation.figures import (
    figure,
    interval_text,
    method_name,
    percent,
    signed,
    span,
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
    assert figure(None, "ctr_auc") == signed(None, "ctr_auc") == percent(None) == "–"
    assert [percent(s) for s in (0.4567, 0.0123, 0.00012)] == ["45.7 %", "1.23 %", "0.0120 %"]


def test_an_interval_or_why_there_is_none() -> None:
    assert interval_text(Estimate(value=0.7, low=0.69, high=0.71), "auc") == "0.6900 to 0.7100"
    assert interval_text(Estimate(value=0.01, low=-0.01, high=0.03), "auc",
                         of_difference=True) == "−0.0100 to +0.0300"
    assert interval_text(Estimate(value=None, reason="no rows"), "auc") == "no rows"
    assert interval_text(Estimate(value=0.7), "auc") == "too few draws define it"


@pytest.mark.parametrize(("first", "last", "expected"), [
    (date(2022, 5, 1), date(2022, 5, 1), "1 May 2022"),
    (date(2022, 5, 1), date(2022, 5, 5), "1 to 5 May 2022"),
    (date(2022, 4, 24), date(2022, 5, 3), "24 April to 3 May 2022"),
    (date(2021, 12, 31), date(2022, 1, 2), "31 December 2021 to 2 January 2022"),
])
def test_a_span_of_days_repeats_nothing(first: date, last: date, expected: str) -> None:
    assert span(DayRange(first=first, last=last)) == expected


def test_methods_are_named_as_people_write_them() -> None:
    assert [method_name(n) for n in ("esmm", "escm2_ips", "logistic_regression")] == [
        "ESMM", "ESCM2-IPS", "logistic regression"]
