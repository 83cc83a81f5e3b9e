"""What the map of sharing and selection says of its intervals: one at a time, and all together."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.parts.scored_worlds import METHODS, Gaps
from benchmarks.sharing_selection import (
    PAIRS,
    _told,
    found_by,
    interval,
    limits_of_std,
    map_table,
    needed,
)

NUM_REPLICATES = 8
SPREAD = np.linspace(-1.0, 1.0, NUM_REPLICATES)


def cell(mean: float, std: float) -> Gaps:
    """ESMM less BASE has this mean and deviation; ESMM-NS is BASE."""
    gaps = mean + std * SPREAD / SPREAD.std(ddof=1)
    nothing = np.zeros((NUM_REPLICATES, 10))
    return Gaps({"base": [0.6] * NUM_REPLICATES, "esmm_ns": [0.6] * NUM_REPLICATES,
                 "esmm": list(0.6 + gaps)}, [0.8] * NUM_REPLICATES,
                dict.fromkeys(METHODS, nothing), 1, 1, 1)


def test_an_interval_is_students_of_the_paired_differences() -> None:
    gaps = cell(0.01, 0.02).of("esmm", "base")
    low, high = stats.ttest_1samp(gaps, 0.0).confidence_interval(0.95)
    mean, reach = interval(gaps)
    assert (mean - reach, mean + reach) == pytest.approx((low, high))
    low, high = stats.ttest_1samp(gaps, 0.0).confidence_interval(1 - 0.05 / 18)
    mean, reach = interval(gaps, 18)
    assert (mean - reach, mean + reach) == pytest.approx((low, high))


def test_the_verdict_goes_by_the_intervals_of_all_cells_together() -> None:
    """What one interval alone would tell from 0 and all six cells' do not, is not told."""
    one, all_of_them = (
        interval(cell(0, 0.01).of("esmm", "base"), count)[1] for count in (1, 2 * len(PAIRS)))
    between, clear = (one + all_of_them) / 2, 1.1 * all_of_them
    told = _told({(0.0, 0.0): cell(between, 0.01), (1.0, 0.5): cell(-clear, 0.01)}, "esmm", "base")
    assert told == "below 0 at sharing 1, selection 0.5, not told from 0 in 1 of 2 cells"
    text = map_table({(0.0, 0.0): cell(between, 0.01), (1.0, 0.5): cell(-clear, 0.01)})
    assert f"{between:+.4f} ± {one:.4f} (± {all_of_them:.4f})" in text


def test_the_power_that_is_told_is_that_of_simulated_trials() -> None:
    rng = np.random.default_rng(1)
    for num_intervals in (1, 18):
        difference = found_by(NUM_REPLICATES, 0.01, num_intervals)
        drawn = difference + 0.01 * rng.normal(size=(20_000, NUM_REPLICATES))
        p_values = stats.ttest_1samp(drawn, 0.0, axis=1).pvalue
        assert (p_values < 0.05 / num_intervals).mean() == pytest.approx(0.8, abs=0.03)
    many = needed(0.01, 0.002)
    drawn = 0.002 + 0.01 * rng.normal(size=(5_000, many))
    assert (stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < 0.05).mean() == pytest.approx(
        0.8, abs=0.03)


def test_limits_of_a_deviation_hold_it_as_often_as_they_say() -> None:
    stds = np.random.default_rng(1).normal(size=(4_000, 3)).std(axis=1, ddof=1)
    held = [low <= 1 <= high for low, high in (limits_of_std(std, 3) for std in stds)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)
