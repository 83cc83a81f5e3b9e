"""Labels against the truth they were drawn from, and what every knob does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esmm_dist.contract.errors import InputError
from esmm_dist.simulation.exposure import items_at, show
from esmm_dist.simulation.intercepts import solve_intercepts
from esmm_dist.simulation.outcomes import Block, draw_block
from esmm_dist.simulation.streams import Purpose, stream
from esmm_dist.simulation.world import make_world
from tests.factories.simulated_logs import declared, drawn, simulation_config

HOUR = 3_600_000_000


def z_scores(label_N: NDArray[Any], p_N: NDArray[Any], num_bins: int = 10) -> NDArray[Any]:
    """How far sums of labels lie from sums of probabilities, in deviations, by decile of p."""
    bins = np.array_split(np.argsort(p_N, kind="stable"), num_bins)
    return np.array([(label_N[b] - p_N[b]).sum() / np.sqrt((p_N[b] * (1 - p_N[b])).sum())
                     for b in bins])


def block_of(folder: Path, **simulate: Any) -> Block:
    return drawn(folder, **simulate)[2]


@pytest.mark.parametrize("confounding", [0.0, 1.0, -1.0])
def test_labels_follow_the_true_probabilities(tmp_path: Path, confounding: float) -> None:
    block = block_of(tmp_path, confounding=confounding)
    clicked = block.click_N
    assert np.abs(z_scores(block.click_N, block.p_click_N)).max() < 3.5
    potential = block.potential_conversion_N
    assert np.abs(z_scores(potential, block.p_conversion_do_click_N)).max() < 3.5
    given = block.p_conversion_given_click_N[clicked]
    assert np.abs(z_scores(potential[clicked], given)).max() < 3.5
    assert (block.conversion_N == (clicked & potential)).all()


@pytest.mark.parametrize("confounding", [1.0, -1.0])
def test_clicked_rows_alone_do_not_follow_what_a_made_click_would_do(
    tmp_path: Path, confounding: float
) -> None:
    block = block_of(tmp_path, confounding=confounding)
    clicked, potential = block.click_N, block.potential_conversion_N
    off = z_scores(potential[clicked], block.p_conversion_do_click_N[clicked], num_bins=1)[0]
    assert off * np.sign(confounding) > 8


def test_without_confounding_both_conversion_probabilities_are_one(tmp_path: Path) -> None:
    block = block_of(tmp_path)
    assert (block.p_conversion_do_click_N == block.p_conversion_given_click_N).all()


@pytest.mark.parametrize("drift", [{}, {"ctr_logit_per_day": 0.5, "cvr_logit_per_day": -0.3}])
def test_the_declared_rates_are_met_over_the_days(tmp_path: Path, drift: dict[str, float]) -> None:
    config = simulation_config(tmp_path, drift=drift, rates={"ctr": 0.1, "cvr": 0.05},
                               confounding=0.5)
    world = make_world(config, declared(config))
    intercepts = solve_intercepts(world, 2**17)
    blocks = [draw_block(world, intercepts, day, 0, 65_536, 0, 24 * HOUR) for day in (0, 1)]
    p_click, p_both = (np.concatenate(column) for column in zip(*(
        (b.p_click_N, b.p_click_N * b.p_conversion_given_click_N) for b in blocks)))
    assert p_click.mean() == pytest.approx(0.1, rel=0.015)
    assert p_both.sum() / p_click.sum() == pytest.approx(0.05, rel=0.04)


def test_rates_that_the_window_cannot_reach_are_refused(tmp_path: Path) -> None:
    config = simulation_config(tmp_path, delays={"mean_conversion_hours": 1000.0},
                               rates={"ctr": 0.1, "cvr": 0.2})
    with pytest.raises(InputError, match="rates.cvr = 0.2: only .*samples.conversion_window_hours"):
        solve_intercepts(make_world(config, declared(config)), 2**12)


def test_selection_raises_the_conversion_rate_of_the_clicked(tmp_path: Path) -> None:
    gaps = []
    for selection in (-0.6, 0.0, 0.6):
        block = block_of(tmp_path, sharing=0.6, selection=selection,
                         exposure={"strength": 0.0}, rates={"ctr": 0.1, "cvr": 0.1})
        p_N, clicked = block.p_conversion_do_click_N, block.p_click_N / block.p_click_N.sum()
        gaps.append(float((p_N * clicked).sum() / p_N.mean()))
    assert gaps[0] < 0.85 and gaps[1] == pytest.approx(1, abs=0.03) and gaps[2] > 1.15


def test_exposure_shows_what_the_policy_thinks_is_clicked(tmp_path: Path) -> None:
    means = [block_of(tmp_path, exposure={"strength": strength}).shown.click_score_N.mean()
             for strength in (0.0, 0.5, 2.0)]
    assert means[0] == pytest.approx(0, abs=0.02)
    assert means[0] + 0.2 < means[1] and means[1] + 0.2 < means[2]


def test_sharing_is_what_correlation_is_made_of(tmp_path: Path) -> None:
    """The products of users and items are correlated as the logits are, in the world that is
    shown to."""
    block = block_of(tmp_path, sharing=0.9, selection=0.7, exposure={"strength": 0.0})
    shown = block.shown
    for one, other in ((shown.click_score_N, shown.conversion_score_N),
                       (shown.click_product_N, shown.conversion_product_N)):
        assert np.corrcoef(one, other)[0, 1] == pytest.approx(0.7, abs=0.03)
        assert one.std() == pytest.approx(1, abs=0.03)


def test_tastes_turn_from_day_to_day(tmp_path: Path) -> None:
    drift = {"taste_degrees_per_day": 60.0}
    config = simulation_config(tmp_path, drift=drift, exposure={"num_candidates": 1})
    world = make_world(config, declared(config))
    today, later = (show(world, day, stream(1, Purpose.CALIBRATION), 20_000) for day in (0, 1))
    assert (today.user_N == later.user_N).all() and (today.item_N == later.item_N).all()
    correlation = np.corrcoef(today.click_product_N, later.click_product_N)[0, 1]
    assert correlation == pytest.approx(0.5, abs=0.05)
    correlation = np.corrcoef(later.click_product_N, later.conversion_product_N)[0, 1]
    assert correlation == pytest.approx(declared(config).selection, abs=0.05)


def test_popular_items_are_replaced_at_the_declared_pace(tmp_path: Path) -> None:
    config = simulation_config(tmp_path, drift={"items_replaced_per_day": 0.1})
    world = make_world(config, declared(config))
    rank = np.arange(1000)
    assert (items_at(world, rank, 0) == rank).all()
    for day, share in ((1, 0.1), (5, 0.5), (10, 1.0)):
        assert (items_at(world, rank, day) != rank).mean() == pytest.approx(share, abs=0.02)


def test_events_come_when_they_can(tmp_path: Path) -> None:
    world, _, block = drawn(tmp_path, delays={"field": "brand", "mean_click_seconds": 40_000.0,
                                              "mean_conversion_hours": 20.0})
    click_delay = block.click_time_N - block.time_N
    assert click_delay.min() >= 0 and click_delay.max() <= 24 * HOUR
    assert click_delay.max() > 23 * HOUR
    delay = block.conversion_time_N - block.click_time_N
    assert (block.is_in_window_N == (delay <= 24 * HOUR)).all()
    place_N = block.shown.delay_place_N(world)
    for value in np.argsort(np.bincount(place_N))[-3:]:
        of_value = delay[place_N == value]
        mean = world.waits.mean_conversion_C[value]
        assert of_value.mean() == pytest.approx(mean, rel=4 / np.sqrt(len(of_value)))
    assert world.waits.mean_conversion_C.max() > 3 * world.waits.mean_conversion_C.min()


def test_a_block_is_a_function_of_its_place(tmp_path: Path) -> None:
    one, same, other = (block_of(tmp_path, block=block) for block in (0, 0, 1))
    for name in ("impression_id_N", "time_N", "click_N", "p_click_N", "conversion_time_N"):
        assert (getattr(one, name) == getattr(same, name)).all()
        assert (getattr(one, name) != getattr(other, name)).any()
    assert not set(one.impression_id_N) & set(other.impression_id_N)


def test_the_hidden_factor_moves_nothing_that_is_shown(tmp_path: Path) -> None:
    calm, moved = (block_of(tmp_path, confounding=c) for c in (0.0, 2.0))
    assert (calm.shown.click_score_N == moved.shown.click_score_N).all()
    assert (calm.shown.item_N == moved.shown.item_N).all()
    assert (calm.time_N == moved.time_N).all()
