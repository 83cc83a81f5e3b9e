"""The intercepts of both logits, solved for the declared rates.

Shape legend: N impressions.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from esmm_dist.contract.errors import InputError
from esmm_dist.simulation.exposure import Shown, show
from esmm_dist.simulation.streams import Floats, Purpose, stream
from esmm_dist.simulation.truth import probabilities
from esmm_dist.simulation.world import World

NUM_ROWS = 2**20
MAX_DAYS = 64
BOUND = 60.0
TOLERANCE = 1e-9
MAX_STEPS = 200


class Intercepts(NamedTuple):
    """What stands in both logits before anything else, in the middle of the days."""

    click: float
    conversion: float


def logits(
    world: World, shown: Shown, day_number: int, intercepts: Intercepts
) -> tuple[Floats, Floats]:
    """Both logits given x: intercept, drift, and the score at the declared deviation."""
    simulation, drift = world.simulation, world.simulation.drift
    days_off_middle = day_number - (len(world.days) - 1) / 2
    click = intercepts.click + drift.ctr_logit_per_day * days_off_middle
    conversion = intercepts.conversion + drift.cvr_logit_per_day * days_off_middle
    return (click + simulation.click_logit_std * shown.click_score_N,
            conversion + simulation.conversion_logit_std * shown.conversion_score_N)


def solve_intercepts(world: World, num_rows: int = NUM_ROWS) -> Intercepts:
    """The intercepts at which impressions drawn apart from the logs meet the declared rates.

    Raises:
        InputError: the window cuts off too many conversions for the declared rate.
    """
    rates, confounding = world.simulation.rates, world.simulation.confounding
    click_N, conversion_N, covered_N = (
        np.concatenate(parts) for parts in zip(*_sample(world, num_rows))
    )
    most = float(covered_N.mean())
    if rates.cvr >= most:
        raise InputError(
            f"simulate.rates.cvr = {rates.cvr:g}: only {most:.3g} of all conversions fall into "
            "samples.conversion_window_hours: lengthen it, or shorten the mean delay"
        )

    def ctr(intercept: float) -> float:
        found = probabilities(click_N + intercept, conversion_N, confounding)
        return float(found.click_N.mean())

    click = _solve(ctr, rates.ctr)

    def cvr(intercept: float) -> float:
        found = probabilities(click_N + click, conversion_N + intercept, confounding)
        converted_N = found.click_N * found.conversion_given_click_N * covered_N
        return float(converted_N.sum() / found.click_N.sum())

    return Intercepts(click, _solve(cvr, rates.cvr))


def _sample(world: World, num_rows: int) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Both logits without intercepts and the share of conversions in the window, by day."""
    num_days = min(len(world.days), MAX_DAYS)
    covered_C = world.waits.covered_C()
    for number in range(num_days):
        day_number = round(number * (len(world.days) - 1) / max(1, num_days - 1))
        rng = stream(world.simulation.seed, Purpose.CALIBRATION, number)
        shown = show(world, day_number, rng, -(-num_rows // num_days))
        yield (*logits(world, shown, day_number, Intercepts(0, 0)),
               covered_C[shown.delay_place_N(world)])


def _solve(rate_at: Callable[[float], float], wanted: float) -> float:
    """The intercept at which a rising rate is as wanted: secants between the log odds, the end that
    stays halved (the Illinois rule; Dowell, Jarratt, BIT 1971)."""
    goal = _log_odds(wanted)
    low, high = -BOUND, BOUND
    low_gap, high_gap = (_log_odds(rate_at(end)) - goal for end in (low, high))
    for _ in range(MAX_STEPS):
        middle = (low * high_gap - high * low_gap) / (high_gap - low_gap)
        gap = _log_odds(rate_at(middle)) - goal
        if abs(gap) < TOLERANCE:
            return middle
        if gap * high_gap < 0:
            low, low_gap = high, high_gap
        else:
            low_gap /= 2
        high, high_gap = middle, gap
    raise AssertionError(f"no intercept gives the rate {wanted:g}")


def _log_odds(rate: float) -> float:
    """A number for any rate; those that are not apart from 0 or 1 lie far out."""
    return float(np.log(max(rate, 1e-300)) - np.log(max(1 - rate, 1e-300)))
