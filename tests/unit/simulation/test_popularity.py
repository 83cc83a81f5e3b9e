"""Ranks and their shares."""

import numpy as np
import pytest

from esmm_dist.simulation.popularity import Popularity

EXPONENTS = [0.0, 0.5, 1.0, 1.7]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_draws_have_the_shares_that_are_told(exponent: float) -> None:
    popularity, num_draws = Popularity(20, exponent), 200_000
    rank = popularity.ranks(np.random.default_rng(1).random(num_draws))
    expected = popularity.shares() * num_draws
    chi_square = ((np.bincount(rank, minlength=20) - expected) ** 2 / expected).sum()
    assert chi_square < 43.8  # the 99.9 % point of 19 degrees of freedom


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_shares_add_up_and_never_rise(exponent: float) -> None:
    shares = Popularity(1000, exponent).shares()
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 1e-15).all()


def test_far_ranks_fall_as_zipf_says() -> None:
    shares = Popularity(100_000, 1.2).shares()
    assert shares[9_999] / shares[999] == pytest.approx(10**-1.2, rel=1e-3)


def test_no_draw_leaves_the_ranks() -> None:
    edges = np.array([0.0, 1 - 2**-53])
    for exponent in EXPONENTS:
        rank = Popularity(7, exponent).ranks(edges)
        assert rank.tolist() == [0, 6]
