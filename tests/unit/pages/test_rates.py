"""Intervals of rates equal those of SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest

from esmm_dist.pages.rates import wilson_interval


@pytest.mark.parametrize(("num_positives", "num_rows"), [(0, 50), (3, 200), (25, 50), (50, 50)])
def test_wilson_equals_scipys(num_positives: int, num_rows: int) -> None:
    found = wilson_interval(num_positives / num_rows, num_rows, 0.95)
    expected = binomtest(num_positives, num_rows).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose([*found], [expected.low, expected.high], atol=1e-12)
