"""Reliability diagrams as data: predicted against observed rates in bins of equal weight.

The bins are those of the calibration error. It draws nothing.

Shape legend: N rows; B bins.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from esmm_dist.evaluation.intervals import LEVEL, Interval
from esmm_dist.evaluation.metrics import NUM_BINS, bin_of, equal_weight_edges, ratio, sum_by
from esmm_dist.evaluation.tasks import FloatArray, Rows


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of neighbouring predictions."""

    predicted: float
    """Weighted mean of p."""
    observed: float
    """Weighted share of positives."""
    interval: Interval
    """Of the observed rate; rows are taken as independent."""
    num_rows: int
    num_positives: int


def reliability(rows: Rows, num_bins: int = NUM_BINS) -> list[ReliabilityBin]:
    """The bins from low to high predictions; none is empty."""
    edges = equal_weight_edges(rows, num_bins)
    bin_N = bin_of(rows, edges)

    def by_bin(value_N: FloatArray) -> FloatArray:
        return sum_by(bin_N, value_N, len(edges) + 1)

    num_rows_B, num_positives_B = by_bin(np.ones(len(rows))), by_bin(rows.label_N)
    weight_B, positive_B = by_bin(rows.weight_N), by_bin(rows.weight_N * rows.label_N)
    predicted_B = by_bin(rows.weight_N * rows.p_N)
    # Unequal weights carry less information than as many equal ones (Kish's effective size).
    effective_B = ratio(weight_B**2, by_bin(rows.weight_N**2))
    return [
        ReliabilityBin(
            predicted=float(predicted_B[b] / weight_B[b]),
            observed=float(positive_B[b] / weight_B[b]),
            interval=wilson_interval(float(positive_B[b] / weight_B[b]), float(effective_B[b])),
            num_rows=int(num_rows_B[b]),
            num_positives=int(num_positives_B[b]),
        )
        for b in np.flatnonzero(weight_B > 0)
    ]


def wilson_interval(rate: float, num_trials: float) -> Interval:
    """Of a share of successes; holds its level for rare events, where rate +- error does not
    (Wilson, JASA 1927)."""
    z = float(norm.ppf((1 + LEVEL) / 2))
    shrink = 1 + z**2 / num_trials
    center = (rate + z**2 / (2 * num_trials)) / shrink
    half = z / shrink * np.sqrt(rate * (1 - rate) / num_trials + (z / (2 * num_trials)) ** 2)
    return Interval(max(0.0, float(center - half)), min(1.0, float(center + half)))
