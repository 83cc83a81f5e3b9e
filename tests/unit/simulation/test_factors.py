"""Latent factors, and what the declared shares and correlations come to in the world drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esmm_dist.simulation.factors import Members, draw_members, rotated, tastes_of, whiten
from esmm_dist.simulation.streams import Purpose
from tests.factories.simulated_logs import declared, simulation_config

SELECTIONS = [(0.8, 0.5), (1.0, 0.0), (0.6, -0.6), (0.0, 0.0)]


def scores(folder: Path, sharing: float, selection: float) -> tuple[NDArray[Any], ...]:
    """Both scores of every pair of user and item, and the pairs' shares; context left out."""
    config = simulation_config(
        folder, sharing=sharing, selection=selection, users={"count": 400, "zipf_exponent": 0.7},
        items={"count": 300, "zipf_exponent": 1.3},
        signal={"user": 0.2, "item": 0.5, "interaction": 0.3, "context": 0.0},
    )
    simulation = declared(config)
    users, items = (draw_members(simulation, purpose)
                    for purpose in (Purpose.USER_FACTORS, Purpose.ITEM_FACTORS))
    tastes, d = tastes_of(simulation, users), simulation.num_factors
    click = tastes.click_ME @ items.factor_MD[:, :2 * d].T
    conversion = tastes.conversion_ME @ items.factor_MD[:, d:].T
    click = click + users.click_main_M[:, None] + items.click_main_M
    conversion = conversion + users.conversion_main_M[:, None] + items.conversion_main_M
    share = np.outer(users.popularity.shares(), items.popularity.shares())
    return click, conversion, share


@pytest.mark.parametrize("sharing, selection", SELECTIONS)
def test_the_scores_have_the_declared_correlation_and_variance_1(
    tmp_path: Path, sharing: float, selection: float
) -> None:
    click, conversion, share = scores(tmp_path, sharing, selection)
    for score in (click, conversion):
        assert (share * score).sum() == pytest.approx(0, abs=1e-4)
        assert (share * score**2).sum() == pytest.approx(1, abs=1e-3)
    assert (share * click * conversion).sum() == pytest.approx(selection, abs=1e-3)


def test_shared_factors_matter_to_both_without_correlating_them(tmp_path: Path) -> None:
    """All factors shared, no correlation: the conversions' product is the clicks' with the items'
    factors turned by a right angle."""
    config = simulation_config(tmp_path, sharing=1.0, selection=0.0)
    simulation = declared(config)
    tastes = tastes_of(simulation, draw_members(simulation, Purpose.USER_FACTORS))
    d = simulation.num_factors
    assert not tastes.click_ME[:, :d].any() and not tastes.conversion_ME[:, d:].any()
    turned = rotated(tastes.click_ME[:, d:], np.pi / 2)
    assert tastes.conversion_ME[:, :d] == pytest.approx(turned, abs=1e-6)


def test_nothing_shared_leaves_each_task_its_own_factors(tmp_path: Path) -> None:
    simulation = declared(simulation_config(tmp_path, sharing=0.0, selection=0.0))
    tastes = tastes_of(simulation, draw_members(simulation, Purpose.USER_FACTORS))
    d = simulation.num_factors
    assert not tastes.click_ME[:, d:].any() and not tastes.conversion_ME[:, :d].any()


def test_whitened_factors_have_mean_0_and_covariance_1_under_popularity() -> None:
    rng = np.random.default_rng(1)
    share_M = rng.dirichlet(np.full(5_000, 0.1))
    factor_MD = (rng.standard_normal((5_000, 6)) @ rng.standard_normal((6, 6)) + 3).astype("f4")
    whiten(factor_MD, share_M)
    assert share_M @ factor_MD == pytest.approx(np.zeros(6), abs=1e-4)
    covariance = (factor_MD * share_M[:, None]).T @ factor_MD
    assert covariance == pytest.approx(np.eye(6), abs=1e-3)


def test_a_rotation_keeps_lengths_and_has_its_angle() -> None:
    vector = np.random.default_rng(2).standard_normal((100, 8)).astype("f4")
    turned = rotated(vector, 0.7)
    square = (vector**2).sum(axis=1)
    assert (turned**2).sum(axis=1) == pytest.approx(square, rel=1e-5)
    assert (turned * vector).sum(axis=1) == pytest.approx(square * np.cos(0.7), rel=1e-4)


def test_users_and_items_are_not_alike(tmp_path: Path) -> None:
    simulation = declared(simulation_config(tmp_path, items={"count": 2000}))
    members: list[Members] = [draw_members(simulation, purpose) for purpose
                              in (Purpose.USER_FACTORS, Purpose.ITEM_FACTORS)]
    assert abs(np.corrcoef(members[0].factor_MD[:, 0], members[1].factor_MD[:, 0])[0, 1]) < 0.1
