"""The variance of a difference of two AUCs on the same rows, by DeLong's placements.

DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988); by sorting, as Sun and Xu, IEEE SPL 21 (2014).
It takes rows as independent: rows of one user are not, and the bootstrap by user stands beside it.

Shape legend: P positive rows; Q negative rows.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from esmm_dist.evaluation.intervals import LEVEL, Interval
from esmm_dist.evaluation.tasks import FloatArray, Rows


@dataclass(frozen=True)
class Placements:
    """How each row stands to the other class; their mean over either class is the AUC."""

    positive_P: FloatArray
    """Share of negatives that a positive ranks above, ties half."""
    negative_Q: FloatArray
    """Share of positives that rank above a negative, ties half."""

    @classmethod
    def of(cls, rows: Rows) -> "Placements | None":
        """None where a class is missing or rows count differently, for which the theory has no
        word."""
        is_positive_N = rows.label_N == 1
        score_P = rows.log_p_N[is_positive_N]
        score_Q = rows.log_p_N[~is_positive_N]
        if not len(score_P) or not len(score_Q) or len(np.unique(rows.weight_N)) > 1:
            return None
        below_P = _share_below(score_P, np.sort(score_Q))
        return cls(below_P, 1 - _share_below(score_Q, np.sort(score_P)))

    def plus(self, other: "Placements") -> "Placements":
        """Sums row by row, for a mean over models of the same rows."""
        return Placements(self.positive_P + other.positive_P, self.negative_Q + other.negative_Q)

    def over(self, count: int) -> "Placements":
        """The mean of `count` that were added up."""
        return Placements(self.positive_P / count, self.negative_Q / count)


def difference_interval(one: Placements, other: Placements) -> Interval | None:
    """95 % of AUC of `one` minus AUC of `other`; None where a class has a single row."""
    gap_P, gap_Q = one.positive_P - other.positive_P, one.negative_Q - other.negative_Q
    if min(len(gap_P), len(gap_Q)) < 2:
        return None
    error = np.sqrt(gap_P.var(ddof=1) / len(gap_P) + gap_Q.var(ddof=1) / len(gap_Q))
    half = float(norm.ppf((1 + LEVEL) / 2) * error)
    return Interval(float(gap_P.mean()) - half, float(gap_P.mean()) + half)


def _share_below(score_X: FloatArray, sorted_Y: FloatArray) -> FloatArray:
    below = np.searchsorted(sorted_Y, score_X, side="left")
    up_to = np.searchsorted(sorted_Y, score_X, side="right")
    return (below + up_to) / (2 * len(sorted_Y))
