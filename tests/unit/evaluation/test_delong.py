"""DeLong's variance beside the obvious double loop, and beside what sampling comes to."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from esmm_dist.evaluation.delong import Placements, difference_interval
from esmm_dist.evaluation.tasks import FloatArray, Rows


def rows_of(label_N: FloatArray, score_N: FloatArray) -> Rows:
    code_N = np.zeros(len(label_N), np.intp)
    return Rows(label_N.astype(float), np.ones(len(label_N)), code_N, code_N, score_N, score_N)


def drawn(seed: int, num_rows: int = 300) -> tuple[Rows, Rows]:
    """Two scores of the same rows, one better than the other, with ties."""
    rng = np.random.default_rng(seed)
    label_N = (rng.random(num_rows) < 0.2).astype(float)
    good_N = np.round(label_N + rng.normal(size=num_rows), 1)
    return rows_of(label_N, good_N), rows_of(label_N, good_N + np.round(rng.normal(size=num_rows)))


def placements(rows: Rows) -> Placements:
    found = Placements.of(rows)
    assert found is not None
    return found


def test_placements_are_those_of_all_pairs_and_average_to_the_auc() -> None:
    rows, _ = drawn(1)
    positive, negative = rows.log_p_N[rows.label_N == 1], rows.log_p_N[rows.label_N == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    found = placements(rows)
    assert found.positive_P == pytest.approx(wins.mean(axis=1))
    assert found.negative_Q == pytest.approx(wins.mean(axis=0))
    auc = roc_auc_score(rows.label_N, rows.log_p_N)
    assert found.positive_P.mean() == pytest.approx(auc) == found.negative_Q.mean()


def test_the_interval_is_as_wide_as_differences_scatter() -> None:
    """Half of a 95 % interval is 1.96 deviations of the difference over samples."""
    intervals, gaps = [], []
    for seed in range(400):
        one, other = drawn(seed)
        interval = difference_interval(placements(one), placements(other))
        assert interval is not None
        intervals.append(interval)
        gaps.append((interval.low + interval.high) / 2)
    half = np.mean([(i.high - i.low) / 2 for i in intervals])
    assert half / 1.96 == pytest.approx(np.std(gaps), rel=0.1)
    covered = np.mean([i.low <= np.mean(gaps) <= i.high for i in intervals])
    assert covered == pytest.approx(0.95, abs=0.03)


def test_equal_scores_differ_by_nothing() -> None:
    one, _ = drawn(1)
    interval = difference_interval(placements(one), placements(one))
    assert interval is not None and interval.low == interval.high == 0


def test_unequal_weights_and_single_classes_have_no_interval() -> None:
    rows, _ = drawn(1)
    assert Placements.of(replace(rows, weight_N=np.linspace(1, 2, len(rows)))) is None
    assert Placements.of(replace(rows, label_N=np.zeros(len(rows)))) is None
    single = rows_of(np.array([1.0, 0.0, 0.0]), np.array([0.2, 0.1, 0.3]))
    assert difference_interval(placements(single), placements(single)) is None
