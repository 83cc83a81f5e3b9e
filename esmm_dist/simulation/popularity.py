"""How often users, items and values appear: a bounded Pareto law cut into ranks, near Zipf's.

Rank k of n (from 0) has the share of [k + 1, k + 2) under the density x^-s on [1, n + 1). Unlike
Zipf's own law its distribution function inverts in closed form, for any n.

Shape legend: N draws; C ranks.
"""

from dataclasses import dataclass

import numpy as np

from esmm_dist.simulation.streams import Floats, Integers


@dataclass(frozen=True)
class Popularity:
    """Ranks from 0, the most frequent, to count - 1."""

    count: int
    exponent: float

    def ranks(self, uniform_N: Floats) -> Integers:
        """The ranks at which the distribution function reaches numbers from [0, 1)."""
        power = 1 - self.exponent
        if self.exponent == 0:
            x_N = 1 + uniform_N * self.count
        elif abs(power) < 1e-9:
            x_N = np.exp(uniform_N * np.log(self.count + 1))
        else:
            x_N = np.exp(np.log1p(uniform_N * ((self.count + 1) ** power - 1)) / power)
        return np.minimum(x_N.astype(np.int64) - 1, self.count - 1)

    def shares(self) -> Floats:
        """The probability of every rank, (C,)."""
        edge = np.arange(1, self.count + 2, dtype=np.float64)
        power = 1 - self.exponent
        reached = np.log(edge) if abs(power) < 1e-9 else (edge**power - 1) / power
        return np.diff(reached) / reached[-1]
