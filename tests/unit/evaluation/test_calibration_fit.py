"""Maps fitted by scikit-learn are those that their definitions ask for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.calibration.maps import Floats, Scores, calibrated, rates_of, sigmoid
from esmm_dist.contract.calibration import Calibration, CalibrationMap, IsotonicMap, PlattMap
from esmm_dist.evaluation.calibration_fit import Kind, NoMapError, fit_map

KINDS: tuple[Kind, ...] = ("platt", "isotonic")


def applied(by: CalibrationMap, score_N: Floats) -> Floats:
    p_N = rates_of(calibrated(Scores(score_N, None), Calibration(maps={"ctr": by}))).p_ctr_N
    assert p_N is not None
    return p_N


def drawn(num_rows: int = 20_000, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Scores, labels drawn from sigmoid(0.6 score - 1.5), weights."""
    rng = np.random.default_rng(seed)
    score_N = 2 * rng.normal(size=num_rows)
    label_N = (rng.random(num_rows) < sigmoid(0.6 * score_N - 1.5)).astype(float)
    return score_N, label_N, rng.choice([0.5, 1.0, 3.0], num_rows)


def test_platt_finds_the_line_that_labels_were_drawn_by() -> None:
    by = fit_map("platt", *drawn(200_000))
    assert isinstance(by, PlattMap)
    assert by.slope == pytest.approx(0.6, abs=0.02)
    assert by.intercept == pytest.approx(-1.5, abs=0.03)


def test_platt_is_where_the_likelihood_is_flat() -> None:
    score_N, label_N, weight_N = drawn()
    error_N = weight_N * (applied(fit_map("platt", score_N, label_N, weight_N), score_N) - label_N)
    assert abs(error_N.sum()) < 1e-3 and abs((error_N * score_N).sum()) < 1e-3


def pooled(score_N: Floats, label_N: Floats, weight_N: Floats) -> Floats:
    """Pool adjacent violators, by its definition: blocks that fall are merged until none does."""
    scores = sorted(set(score_N.tolist()))
    blocks = [[float((weight_N * label_N)[score_N == s].sum()), float(weight_N[score_N == s].sum()),
               1] for s in scores]
    place = 0
    while place + 1 < len(blocks):
        (a, b, n), (c, d, m) = blocks[place], blocks[place + 1]
        if a / b > c / d:
            blocks[place:place + 2] = [[a + c, b + d, n + m]]
            place = max(0, place - 1)
        else:
            place += 1
    rates = dict(zip(scores, [a / b for a, b, n in blocks for _ in range(int(n))]))
    return np.array([rates[s] for s in score_N.tolist()])


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.sampled_from([1.0, 2.0, 5.0])),
                min_size=2, max_size=40))
def test_isotonic_is_pooling_adjacent_violators(rows: list[tuple[int, bool, float]]) -> None:
    score_N, label_N, weight_N = (np.array(column, dtype=float) for column in zip(*rows))
    if label_N.sum() in (0, len(label_N)):
        return
    by = fit_map("isotonic", score_N, label_N, weight_N)
    least = 1 / (len(rows) + 2)
    expected_N = np.clip(pooled(score_N, label_N, weight_N), least, 1 - least)
    np.testing.assert_allclose(applied(by, score_N), expected_N, rtol=1e-5)


def test_no_rate_is_certain() -> None:
    score_N = np.arange(8.0)
    by = fit_map("isotonic", score_N, (score_N > 3).astype(float), np.ones(8))
    assert isinstance(by, IsotonicMap)
    assert by.p[0] == pytest.approx(0.1) and by.p[-1] == pytest.approx(0.9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_none(kind: Kind) -> None:
    score_N, label_N, _ = drawn(300)
    weight_N = np.arange(300) % 3.0
    repeated = np.repeat(np.arange(300), weight_N.astype(int))
    one = fit_map(kind, score_N, label_N, weight_N)
    other = fit_map(kind, score_N[repeated], label_N[repeated], np.ones(len(repeated)))
    inner_N = np.sort(score_N)[30:-30]
    np.testing.assert_allclose(applied(one, inner_N), applied(other, inner_N), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_teaches_nothing(kind: Kind, label: float) -> None:
    with pytest.raises(NoMapError, match="one class only"):
        fit_map(kind, np.arange(5.0), np.full(5, label), np.ones(5))


def test_a_rate_that_falls_with_the_score_is_no_calibration() -> None:
    score_N, label_N, weight_N = drawn()
    with pytest.raises(NoMapError, match="the rate falls where the score rises"):
        fit_map("platt", -score_N, label_N, weight_N)
