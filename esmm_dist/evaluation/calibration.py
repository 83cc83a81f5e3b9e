"""Reliability diagrams as data: predicted against observed rates in bins of equal weight.

The bins are those of the calibration error. It draws nothing.

Shape legend: N rows; B bins.
"""

from dataclasses import dataclass

import numpy as np

from esmm_dist.evaluation.intervals import LEVEL, Interval
from esmm_dist.evaluation.metrics import NUM_BINS, bin_of, equal_weight_edges, ratio, sum_by
from esmm_dist.evaluation.tasks import FloatArray, Rows
from esmm_dist.pages.rates import wilson_interval


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
            interval=Interval(*wilson_interval(
                float(positive_B[b] / weight_B[b]), float(effective_B[b]), LEVEL
            )),
            num_rows=int(num_rows_B[b]),
            num_positives=int(num_positives_B[b]),
        )
        for b in np.flatnonzero(weight_B > 0)
    ]
