"""ESMM's loss as a booster asks for it: gradient and curvature by the two raw scores of a row.

    L(a, b) = CE(y, p) + CE(y z, r),   p = sigmoid(a), q = sigmoid(b), r = p q

It knows no tree. What is derived in docs/gbt.md, in short: the Hessian is indefinite on un-clicked
rows, so the curvature is that of a quadratic bound on the Fisher information, which never is.

Shape legend: N rows.
"""

import numpy as np

from esmm_dist.evaluation.tasks import (
    FloatArray,
    log_probabilities,
    log_probabilities_of_product,
)


def gradients(
    ctr_score_N: FloatArray, cvr_score_N: FloatArray, click_N: FloatArray, ctcvr_N: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """dL/da and dL/db.

    With t = y z and s = (r - t) / (1 - r), that is r / (1 - r) or -1:
        dL/da = p - y + s (1 - p);   dL/db = s (1 - q)
    """
    odds_N = np.exp(_log_odds_of_product(ctr_score_N, cvr_score_N))
    slope_N = np.where(ctcvr_N == 1, -1.0, odds_N)
    p_N, not_p_N = (np.exp(log_N) for log_N in log_probabilities(ctr_score_N))
    not_q_N = np.exp(log_probabilities(cvr_score_N)[1])
    by_ctr_N = np.where(click_N == 1, -not_p_N, p_N) + slope_N * not_p_N
    return by_ctr_N, slope_N * not_q_N


def curvatures(
    ctr_score_N: FloatArray, cvr_score_N: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The diagonal of a matrix that no direction's Fisher information exceeds, by a and by b.

    The information of CE(t, r) is F = r / (1 - r) u u^T with u = (1 - p, 1 - q): of rank one, hence
    F <= 2 diag(F), so that both scores may move at once without overshooting together.
        p (1 - p) + 2 r (1 - p)^2 / (1 - r)   and   2 r (1 - q)^2 / (1 - r)
    """
    log_odds_N = _log_odds_of_product(ctr_score_N, cvr_score_N)
    log_p_N, log_not_p_N = log_probabilities(ctr_score_N)
    log_not_q_N = log_probabilities(cvr_score_N)[1]
    by_ctr_N = np.exp(log_p_N + log_not_p_N) + 2.0 * np.exp(log_odds_N + 2.0 * log_not_p_N)
    return by_ctr_N, 2.0 * np.exp(log_odds_N + 2.0 * log_not_q_N)


def _log_odds_of_product(ctr_score_N: FloatArray, cvr_score_N: FloatArray) -> FloatArray:
    """log(r / (1 - r))."""
    log_r_N, log_not_r_N = log_probabilities_of_product(ctr_score_N, cvr_score_N)
    return log_r_N - log_not_r_N
