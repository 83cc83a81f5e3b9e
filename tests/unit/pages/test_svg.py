"""Axes put values where they belong, and ticks where people look for them."""

import numpy as np
import pytest

from esmm_dist.pages.svg import Axis, percent_text


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.58, 0.66), (-3e-4, 2e-3), (0, 170_000)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = Axis(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in ticks)
    np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_a_logarithmic_axis_gives_decades_equal_room() -> None:
    axis = Axis(1e-4, 1e-1, 0, 300, log=True)
    np.testing.assert_allclose([axis(v) for v in (1e-4, 1e-3, 1e-2, 1e-1)], [0, 100, 200, 300])
    assert axis(0.0) == 0, "what lies outside is kept at the frame"
    assert set(axis.ticks()) <= {d * 10.0**e for d in (1, 2, 5) for e in range(-4, 0)}


@pytest.mark.parametrize(("value", "text"), [
    (1.0, "100 %"), (0.995, "100 %"), (0.4567, "46 %"), (0.0123, "1.2 %"), (0.0, "0 %"),
])
def test_percents_are_never_written_with_an_exponent(value: float, text: str) -> None:
    assert percent_text(value) == text


@pytest.mark.parametrize("low, high", [(0.69, 1.25), (0.93, 1.08), (2.5, 4.0)])
def test_a_short_piece_of_a_logarithmic_axis_has_ticks_to_read_it_by(
    low: float, high: float
) -> None:
    ticks = Axis(low, high, 0, 100, log=True).ticks()
    assert 3 <= len(ticks) <= 7 and all(low <= tick <= high for tick in ticks)
