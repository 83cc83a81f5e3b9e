"""Which user sees which item in which context: the policy, and what both logits make of it.

Shape legend: N impressions; E factors of a task.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from esmm_dist.simulation.factors import product, rotated, take
from esmm_dist.simulation.streams import Floats, Integers, SmallFloats
from esmm_dist.simulation.world import World

# The golden ratio's fraction spreads whole numbers evenly over [0, 1).
GOLDEN = 0.6180339887498949
TINY = np.float32(1e-30)


@dataclass(frozen=True)
class Shown:
    """Impressions before anyone has clicked. Scores have mean 0 and variance 1 over candidates."""

    user_N: Integers
    item_N: Integers
    context_N: dict[str, Integers]
    """By context field the place of its value."""
    click_score_N: Floats
    conversion_score_N: Floats
    click_product_N: SmallFloats
    """The inner product of user and item that the score holds, at variance 1; also below."""
    conversion_product_N: SmallFloats

    def delay_place_N(self, world: World) -> Integers:
        """The value of the field that delays depend on."""
        if world.delay_place_M is not None:
            return np.take(world.delay_place_M, self.item_N)
        if world.simulation.delays.field is not None:
            return self.context_N[world.simulation.delays.field]
        return np.zeros(len(self.user_N), np.int64)


def show(world: World, day_number: int, rng: Generator, count: int) -> Shown:
    """Draws users, lets the policy pick one of several items for each, and draws contexts.

    Args:
        day_number: days since the first; what drifts depends on it.
    """
    simulation = world.simulation
    num_factors = simulation.num_factors
    user_N = world.users.popularity.ranks(rng.random(count))
    angle = np.deg2rad(simulation.drift.taste_degrees_per_day * day_number)
    taste_NE = _turned(take(world.tastes.click_ME, user_N), angle)
    item_N, product_N = _pick(world, day_number, rng, taste_NE)
    conversion_taste_NE = _turned(take(world.tastes.conversion_ME, user_N), angle)
    factor_NE = take(world.items.factor_MD, item_N)[:, num_factors:]
    conversion_product_N = product(conversion_taste_NE, factor_NE)

    click_score_N = product_N.astype(np.float64)
    click_score_N += world.users.click_main_M[user_N] + world.items.click_main_M[item_N]
    conversion_score_N = conversion_product_N.astype(np.float64)
    conversion_score_N += world.users.conversion_main_M[user_N]
    conversion_score_N += world.items.conversion_main_M[item_N]
    context_N = {}
    for name, field in world.contexts.items():
        place_N = context_N[name] = field.popularity.ranks(rng.random(count))
        weight = np.sqrt(simulation.signal.context / len(world.contexts))
        click_score_N += weight * field.click_effect_C[place_N]
        conversion_score_N += weight * field.conversion_effect_C[place_N]
    unit = np.float32(1 / np.sqrt(simulation.signal.interaction or 1))
    return Shown(user_N, item_N, context_N, click_score_N, conversion_score_N,
                 product_N * unit, conversion_product_N * unit)


def _pick(
    world: World, day_number: int, rng: Generator, taste_NE: SmallFloats
) -> tuple[Integers, SmallFloats]:
    """The item shown, with odds exp(strength * click score) among candidates drawn by popularity
    (the largest of scores with Gumbel noise has them), and its inner product."""
    policy = world.simulation.exposure
    num_rows, num_factors = taste_NE.shape
    best_N = np.full(num_rows, -np.inf, np.float32)
    item_N, product_N = np.zeros(num_rows, np.int64), np.zeros(num_rows, np.float32)
    for _ in range(policy.num_candidates):
        candidate_N = items_at(world, world.items.popularity.ranks(rng.random(num_rows)),
                               day_number)
        factor_NE = take(world.items.factor_MD, candidate_N)[:, :num_factors]
        candidate_product_N = product(taste_NE, factor_NE)
        score_N = candidate_product_N + world.items.click_main_M[candidate_N]
        noise_N = -np.log(np.maximum(rng.standard_exponential(num_rows, np.float32), TINY))
        odds_N = np.float32(policy.strength) * score_N + noise_N
        is_better_N = odds_N > best_N
        best_N = np.where(is_better_N, odds_N, best_N)
        item_N = np.where(is_better_N, candidate_N, item_N)
        product_N = np.where(is_better_N, candidate_product_N, product_N)
    return item_N, product_N


def items_at(world: World, rank_N: Integers, day_number: int) -> Integers:
    """The items that hold some ranks of popularity on a day."""
    count = world.items.popularity.count
    replaced = world.simulation.drift.items_replaced_per_day * day_number
    if not replaced:
        return rank_N
    times_N = np.floor(replaced + rank_N * GOLDEN % 1).astype(np.int64)
    return (rank_N + times_N * round(count * GOLDEN)) % count


def _turned(taste_NE: SmallFloats, angle: float) -> SmallFloats:
    return rotated(taste_NE, angle) if angle else taste_NE
