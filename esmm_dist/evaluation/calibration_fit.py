"""Monotone maps from scores to observed rates, fitted on held-out rows by scikit-learn.

Shape legend: N rows; K points of an isotonic map.
"""

from typing import Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from esmm_dist.calibration.maps import Floats
from esmm_dist.contract.calibration import CalibrationMap, IsotonicMap, PlattMap

Kind = Literal["platt", "isotonic"]

MAX_ITERATIONS = 1000


class NoMapError(ValueError):
    """The rows teach no map; its text says why."""


def fit_map(kind: Kind, score_N: Floats, label_N: Floats, weight_N: Floats) -> CalibrationMap:
    """The map under which the rows' labels are likeliest (Platt), or nearest in squares of all
    monotone ones (isotonic).

    Args:
        score_N: logits, or any other score that rises with the rate; finite.
        label_N: 0 or 1.

    Raises:
        NoMapError: a class is missing, or the rate falls where the score rises.
    """
    counts_N = weight_N > 0
    score_N, label_N, weight_N = score_N[counts_N], label_N[counts_N], weight_N[counts_N]
    num_positives = int(label_N.sum())
    if num_positives in (0, len(label_N)):
        raise NoMapError(f"one class only: {num_positives:,} positives in {len(label_N):,} rows")
    if kind == "platt":
        return _platt(score_N, label_N, weight_N)
    return _isotonic(score_N, label_N, weight_N)


def _platt(score_N: Floats, label_N: Floats, weight_N: Floats) -> PlattMap:
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=MAX_ITERATIONS)
    # Scores of one scale whatever the model: the solver then needs few steps.
    center, scale = float(score_N.mean()), float(score_N.std()) or 1.0
    model.fit(((score_N - center) / scale)[:, None], label_N, sample_weight=weight_N)
    slope = float(model.coef_[0, 0]) / scale
    if slope <= 0:
        raise NoMapError(f"the rate falls where the score rises (slope {slope:.3g})")
    intercept = float(model.intercept_[0]) - slope * center
    return PlattMap(kind="platt", slope=slope, intercept=intercept)


def _isotonic(score_N: Floats, label_N: Floats, weight_N: Floats) -> IsotonicMap:
    # No rate is certain: at either end stands what the rule of succession says of all the rows.
    least = 1 / (len(label_N) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    model.fit(score_N, label_N, sample_weight=weight_N)
    score_K, p_K = model.X_thresholds_, model.y_thresholds_
    return IsotonicMap(kind="isotonic", score=tuple(score_K.tolist()), p=tuple(p_K.tolist()))
