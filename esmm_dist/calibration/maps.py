"""From what a model predicts to the rates that are served: the calibration applied.

numpy alone, so that it runs wherever scores are made. It fits nothing.

Shape legend: N rows.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esmm_dist.contract.calibration import Calibration, CalibrationMap, PlattMap

Floats = NDArray[np.float64]


class Scores(NamedTuple):
    """What a model says of some rows; what it does not say is None."""

    ctr_logit_N: NDArray[Any] | None
    cvr_logit_N: NDArray[Any] | None
    ctcvr_logit_N: NDArray[Any] | None = None
    """None: pCTCVR is pCTR * pCVR, if both are predicted."""
    cvr_log_p_N: NDArray[Any] | None = None
    """log pCVR, instead of its logit, of a method whose pCVR may exceed 1."""


class Rates(NamedTuple):
    """Probabilities; what a method does not predict is None."""

    p_ctr_N: Floats | None
    p_cvr_N: Floats | None
    p_ctcvr_N: Floats | None


def calibrated(scores: Scores, calibration: Calibration) -> Scores:
    """The scores after their maps, float64; without a map they stay.

    A pCVR that was predicted as a logarithm has a logit afterwards.
    """
    maps = calibration.maps
    ctr, cvr, ctcvr, cvr_log_p = (
        None if values is None else np.asarray(values, np.float64) for values in scores
    )
    if ctr is not None and "ctr" in maps:
        ctr = _mapped(ctr, maps["ctr"])
    if ctcvr is not None and "ctcvr" in maps:
        ctcvr = _mapped(ctcvr, maps["ctcvr"])
    if "cvr" in maps and (cvr is not None or cvr_log_p is not None):
        score = cvr if cvr is not None else cvr_log_p
        assert score is not None
        cvr, cvr_log_p = _mapped(score, maps["cvr"]), None
    return Scores(ctr, cvr, ctcvr, cvr_log_p)


def rates_of(scores: Scores) -> Rates:
    """The probabilities that scores stand for."""
    ctr, cvr, ctcvr, cvr_log_p = scores
    p_ctr = None if ctr is None else sigmoid(ctr)
    p_cvr = sigmoid(cvr) if cvr is not None else None if cvr_log_p is None else np.exp(cvr_log_p)
    if ctcvr is not None:
        return Rates(p_ctr, p_cvr, sigmoid(ctcvr))
    return Rates(p_ctr, p_cvr, None if p_ctr is None or p_cvr is None else p_ctr * p_cvr)


def sigmoid(logit_N: NDArray[Any]) -> Floats:
    """1 / (1 + exp(-logit)), float64, exact at either end."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logit_N, np.float64)))


def _mapped(score_N: Floats, by: CalibrationMap) -> Floats:
    """The logit of the calibrated probability."""
    if isinstance(by, PlattMap):
        return by.slope * score_N + by.intercept
    p_N = np.interp(score_N, by.score, by.p)
    return np.log(p_N) - np.log1p(-p_N)
