"""How long after its impression a click comes, and how long after its click a conversion.

Conversions wait exponentially, with a mean that depends on a declared field (Chapelle, KDD 2014);
clicks too, cut at the click window. Times are whole microseconds.

Shape legend: N impressions; C values of the field, or 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from esmm_dist.contract.sections import Config
from esmm_dist.contract.simulation import Simulation
from esmm_dist.simulation.streams import Floats, Integers, Purpose, stream

MICROSECONDS = 1_000_000
HOUR = 3600 * MICROSECONDS


@dataclass(frozen=True)
class Waits:
    """The laws of both delays."""

    mean_click: float
    click_window: float
    mean_conversion_C: Floats
    conversion_window: float

    def covered_C(self) -> Floats:
        """Share of conversions that fall into the window, by value of the field."""
        return -np.expm1(-self.conversion_window / self.mean_conversion_C)

    def click_delays(self, rng: Generator, count: int) -> Integers:
        """From the impression, inside the window, (N,)."""
        reached = -np.expm1(-self.click_window / self.mean_click)
        delay_N = -self.mean_click * np.log1p(-reached * rng.random(count))
        return np.minimum(delay_N, self.click_window).astype(np.int64)

    def conversion_delays(self, rng: Generator, value_N: Integers) -> Integers:
        """From the click, of rows with these values of the field."""
        delay_N = self.mean_conversion_C[value_N] * rng.standard_exponential(len(value_N))
        return delay_N.astype(np.int64)


def draw_waits(config: Config, simulation: Simulation) -> Waits:
    """Draws the mean delay of every value of the field."""
    declared = simulation.delays
    cardinalities = [simulation.scaled(field.cardinality) for field in simulation.fields
                     if field.name == declared.field]
    rng = stream(simulation.seed, Purpose.DELAYS)
    deviation_C = declared.spread * rng.standard_normal(*cardinalities or [1])
    if not cardinalities:
        deviation_C[:] = 0
    return Waits(
        declared.mean_click_seconds * MICROSECONDS, config.samples.click_window_hours * HOUR,
        declared.mean_conversion_hours * HOUR * np.exp(deviation_C),
        config.samples.conversion_window_hours * HOUR,
    )
