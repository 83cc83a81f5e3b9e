"""What the record of the paper's protocol says of a difference and its chance."""

import math

import pytest
from scipy import stats

from benchmarks.paper_protocol import reach
from esmm_dist.evaluation.comparison_document import Difference


def test_the_chance_of_rows_and_of_training_are_added_as_independent() -> None:
    gap = Difference(mean=0.01, std=0.004, num_seeds=10, low=0.005, high=0.014)
    of_seeds = float(stats.t.ppf(0.975, 9)) * 0.004 / math.sqrt(10)
    assert reach(gap) == pytest.approx(math.hypot(0.0045, of_seeds))
    assert reach(gap) > max(0.0045, of_seeds)
