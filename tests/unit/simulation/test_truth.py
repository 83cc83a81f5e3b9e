"""The integrals over the hidden factor."""

from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest

from esmm_dist.simulation.truth import probabilities, sigmoid

LOGITS = [(-4.0, -7.0), (0.0, 0.0), (3.0, -2.0), (-12.0, 1.0), (-30.0, -5.0)]


def logistic(logit: float, weight: float) -> Callable[[Any], Any]:
    return lambda u: 1 / (1 + mpmath.exp(-(logit + weight * u)))


def expectation(function: Callable[[Any], Any]) -> Any:
    return mpmath.quad(lambda u: mpmath.npdf(u) * function(u), [-14, -7, -3, -1, 0, 1, 3, 7, 14])


@pytest.mark.parametrize("confounding", [0.1, 1.0, -1.5, 4.0])
def test_probabilities_are_the_integrals(confounding: float) -> None:
    a_N, b_N = (np.array(column) for column in zip(*LOGITS))
    found = probabilities(a_N, b_N, confounding)
    for place, (a, b) in enumerate(LOGITS):
        of_click, of_conversion = logistic(a, abs(confounding)), logistic(b, confounding)
        p_click = expectation(of_click)
        p_both = expectation(lambda u: of_click(u) * of_conversion(u))
        expected = (p_click, expectation(of_conversion), p_both / p_click)
        for column, value in zip(found, expected):
            assert column[place] == pytest.approx(float(value), abs=1e-6, rel=1e-5)


@pytest.mark.parametrize("confounding", [1.0, -2.0])
def test_probabilities_are_what_sampling_comes_to(confounding: float) -> None:
    a, b, num_draws = -1.0, -2.0, 400_000
    rng = np.random.default_rng(5)
    hidden = rng.standard_normal(num_draws)
    click = rng.random(num_draws) < sigmoid(a + abs(confounding) * hidden)
    conversion = rng.random(num_draws) < sigmoid(b + confounding * hidden)
    found = probabilities(np.array([a]), np.array([b]), confounding)
    for rows, p in ((click, found.click_N[0]), (conversion, found.conversion_do_click_N[0]),
                    (conversion[click], found.conversion_given_click_N[0])):
        assert abs(rows.mean() - p) < 4 * np.sqrt(p * (1 - p) / len(rows))


def test_without_a_hidden_factor_seeing_a_click_is_as_good_as_making_it() -> None:
    a_N, b_N = np.array([-3.0, 1.0]), np.array([-5.0, 0.5])
    found = probabilities(a_N, b_N, 0.0)
    assert found.conversion_do_click_N.tolist() == found.conversion_given_click_N.tolist()
    assert found.click_N == pytest.approx(1 / (1 + np.exp(-a_N)))


def test_a_hidden_factor_that_helps_both_makes_clickers_convert_more() -> None:
    a_N, b_N = np.array([-3.0]), np.array([-4.0])
    assert (np.diff(probabilities(a_N, b_N, 1.0)[1:], axis=0) > 0).all()
    assert (np.diff(probabilities(a_N, b_N, -1.0)[1:], axis=0) < 0).all()


def test_extreme_logits_overflow_nothing() -> None:
    with np.errstate(over="raise"):
        assert sigmoid(np.array([-1e4, 1e4])).tolist() == pytest.approx([0, 1])
