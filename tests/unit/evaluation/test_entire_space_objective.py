"""What boosted trees are told of ESMM's loss, against differences in 60-digit arithmetic."""

import itertools

import numpy as np
import pytest
from mpmath import mp, mpf  # type: ignore[import-untyped]

from esmm_dist.evaluation.entire_space_objective import curvatures, gradients
from tests.oracles import losses as oracle

LOGITS = [-40.0, -9.0, -2.0, -0.5, 0.0, 1.0, 4.0, 12.0, 40.0]
LABELS = [(0, 0), (1, 0), (1, 1)]
POINTS = list(itertools.product(LOGITS, LOGITS))


def loss(a: mpf, b: mpf, y: int, z: int) -> mpf:
    """CE(y, p) + CE(y z, p q)."""
    return oracle.cross_entropy(a, y) + ctcvr_loss(a, b, y * z)


def ctcvr_loss(a: mpf, b: mpf, label: int) -> mpf:
    r = oracle.sigmoid(a) * oracle.sigmoid(b)
    return -mp.log(r if label else 1 - r)


def information(a: mpf, b: mpf) -> tuple[mpf, mpf]:
    """By a of the click loss, by a and b of the CTCVR loss: the mean square of the slope, over
    labels drawn from what is predicted."""
    p, r = oracle.sigmoid(a), oracle.sigmoid(a) * oracle.sigmoid(b)
    by_click = p * (1 - p)

    def mean_square(slope_of_label: list[mpf]) -> mpf:
        return (1 - r) * slope_of_label[0] ** 2 + r * slope_of_label[1] ** 2

    by_a = [mp.diff(lambda x, t=label: ctcvr_loss(x, b, t), a) for label in (0, 1)]
    by_b = [mp.diff(lambda x, t=label: ctcvr_loss(a, x, t), b) for label in (0, 1)]
    return by_click + 2 * mean_square(by_a), 2 * mean_square(by_b)


@pytest.mark.parametrize(("y", "z"), LABELS)
def test_gradients_equal_the_oracle(y: int, z: int) -> None:
    a_N, b_N = np.array(POINTS).T
    by_a_N, by_b_N = gradients(a_N, b_N, np.full(len(a_N), float(y)),
                               np.full(len(a_N), float(y * z)))
    for (a, b), by_a, by_b in zip(POINTS, by_a_N, by_b_N):
        of_a, of_b = mpf(a), mpf(b)
        # Two terms may cancel, of which each is at most 1
        size = abs(mp.diff(lambda x: ctcvr_loss(x, of_b, y * z), of_a)) + 1
        assert abs(by_a - mp.diff(lambda x: loss(x, of_b, y, z), of_a)) <= 1e-13 * size
        expected = mp.diff(lambda x: loss(of_a, x, y, z), of_b)
        assert abs(by_b - expected) <= 1e-13 * abs(expected)


def test_curvatures_are_twice_the_information_that_both_scores_share() -> None:
    a_N, b_N = np.array(POINTS).T
    for (a, b), by_a, by_b in zip(POINTS, *curvatures(a_N, b_N)):
        expected = information(mpf(a), mpf(b))
        for found, want in zip((by_a, by_b), expected):
            assert abs(found - want) <= 1e-12 * want
            assert found > 0


def test_the_curvature_bounds_the_information_of_every_joint_step() -> None:
    a_N, b_N = np.array(POINTS).T
    p_N, q_N = 1 / (1 + np.exp(-a_N)), 1 / (1 + np.exp(-b_N))
    odds_N = p_N * q_N / (1 - p_N * q_N).clip(1e-300)
    of_ctr_N, of_cvr_N = curvatures(a_N, b_N)
    for angle in np.linspace(0, np.pi, 37):
        u, v = np.cos(angle), np.sin(angle)
        along_N = p_N * (1 - p_N) * u**2 + odds_N * ((1 - p_N) * u + (1 - q_N) * v) ** 2
        bound_N = of_ctr_N * u**2 + of_cvr_N * v**2
        assert (along_N <= bound_N * (1 + 1e-9)).all()


def hessian_of_unclicked(p: float, q: float) -> tuple[mpf, mpf, mpf]:
    """By aa, ab and bb."""
    a, b = (mp.log(mpf(x) / (1 - mpf(x))) for x in (p, q))
    by_aa, by_ab, by_bb = (
        mp.diff(lambda x, y: loss(x, y, 0, 0), (a, b), order) for order in ((2, 0), (1, 1), (0, 2))
    )
    return by_aa, by_ab, by_bb


@pytest.mark.parametrize(("p", "q", "negative"), [
    (0.99, 0.9, "a"),  # an un-clicked row that was held for a sure click
    (0.99, 0.52, "a"),
    (0.1, 0.9, "b"),  # one that would convert for sure
    (0.6, 0.6, "both"),
    (1e-4, 0.415, "both"),  # of rare clicks from √2 - 1 on
])
def test_the_hessian_of_an_unclicked_row_is_indefinite(p: float, q: float, negative: str) -> None:
    by_aa, by_ab, by_bb = hessian_of_unclicked(p, q)
    assert by_aa * by_bb - by_ab**2 < 0
    if negative != "both":
        assert {"a": by_aa, "b": by_bb}[negative] < 0


@pytest.mark.parametrize(("p", "q"), [(1e-4, 0.413), (0.853, 0.8284), (0.999, 0.499)])
def test_the_hessian_is_not_negative_where_the_document_says(p: float, q: float) -> None:
    by_aa, by_ab, by_bb = hessian_of_unclicked(p, q)
    assert by_aa > 0
    if p < 0.01:
        assert by_aa * by_bb - by_ab**2 > 0
