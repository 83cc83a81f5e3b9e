"""How far chance moves an observed rate."""

import math
from statistics import NormalDist


def wilson_interval(rate: float, num_trials: float, level: float) -> tuple[float, float]:
    """Of a share of successes; holds its level for rare events, where rate +- error does not
    (Wilson, JASA 1927)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrink = 1 + z**2 / num_trials
    center = (rate + z**2 / (2 * num_trials)) / shrink
    half = z / shrink * math.sqrt(rate * (1 - rate) / num_trials + (z / (2 * num_trials)) ** 2)
    return max(0.0, center - half), min(1.0, center + half)
