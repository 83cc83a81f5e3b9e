"""What becomes of impressions: who clicks, who would convert, and when; and the truth behind it.

Shape legend: N impressions of a block.
"""

from dataclasses import dataclass

import numpy as np

from esmm_dist.simulation.exposure import Shown, show
from esmm_dist.simulation.identifiers import impression_ids
from esmm_dist.simulation.intercepts import Intercepts, logits
from esmm_dist.simulation.streams import Floats, Integers, Mask, Purpose, stream
from esmm_dist.simulation.truth import probabilities, sigmoid
from esmm_dist.simulation.world import World

BLOCK_ROWS = 65_536
# Impressions of a day have numbers of their own as long as a day has fewer.
MAX_ROWS_OF_DAY = 2**40


@dataclass(frozen=True)
class Block:
    """A block of a day's impressions with their fate; times in microseconds since 1970."""

    day_number: int
    block: int
    shown: Shown
    impression_id_N: Integers
    time_N: Integers
    click_N: Mask
    click_time_N: Integers
    """When the click came, or would have come."""
    converts_N: Mask
    """Whether a conversion ever comes, had there been a click."""
    conversion_time_N: Integers
    """When, had there been a click at its time."""
    is_in_window_N: Mask
    """Whether that conversion counts."""
    p_click_N: Floats
    p_conversion_do_click_N: Floats
    """Of a conversion that counts, as below."""
    p_conversion_given_click_N: Floats

    @property
    def potential_conversion_N(self) -> Mask:
        """Whether the impression converts in time, had it been clicked."""
        return self.converts_N & self.is_in_window_N

    @property
    def conversion_N(self) -> Mask:
        """The label."""
        return self.click_N & self.potential_conversion_N


def draw_block(
    world: World, intercepts: Intercepts, day_number: int, block: int, num_rows: int,
    start: int, end: int,
) -> Block:
    """One block of a day, a function of its place alone.

    Args:
        num_rows: at most BLOCK_ROWS.
        start, end: of the day, in microseconds.
    """
    simulation = world.simulation
    day = world.days[day_number].toordinal()
    rng = stream(simulation.seed, Purpose.IMPRESSIONS, day, block)
    shown = show(world, day_number, rng, num_rows)
    number_N = day * MAX_ROWS_OF_DAY + block * BLOCK_ROWS + np.arange(num_rows)
    click_logit_N, conversion_logit_N = logits(world, shown, day_number, intercepts)
    delay_place_N = shown.delay_place_N(world)
    covered_N = world.waits.covered_C()[delay_place_N]
    truth = probabilities(click_logit_N, conversion_logit_N, simulation.confounding)

    rng = stream(simulation.seed, Purpose.EVENTS, day, block)
    hidden_N = rng.standard_normal(num_rows)
    moved_click_N = click_logit_N + abs(simulation.confounding) * hidden_N
    moved_conversion_N = conversion_logit_N + simulation.confounding * hidden_N
    time_N = start + (np.sort(rng.random(num_rows)) * (end - start)).astype(np.int64)
    click_time_N = time_N + world.waits.click_delays(rng, num_rows)
    delay_N = world.waits.conversion_delays(rng, delay_place_N)
    return Block(
        day_number, block, shown, impression_ids(simulation.seed, number_N), time_N,
        rng.random(num_rows) < sigmoid(moved_click_N), click_time_N,
        rng.random(num_rows) < sigmoid(moved_conversion_N), click_time_N + delay_N,
        delay_N <= world.waits.conversion_window, truth.click_N,
        truth.conversion_do_click_N * covered_N, truth.conversion_given_click_N * covered_N,
    )
