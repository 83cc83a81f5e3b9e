"""The three questions asked of predictions, each with its label and its space of rows.

* ctr: is an impression clicked? over impressions;
* cvr: is a click converted? over clicked impressions, hence the suffix `_click` of its metrics;
* ctcvr: is an impression clicked and converted? over impressions.

Probabilities stay logarithms: pCTCVR is about 1e-4 and less, and a loss made from rounded
probabilities is wrong where it matters. It measures nothing.

Shape legend: N rows.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from esmm_dist.evaluation.predictions import Predictions

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
Mask = NDArray[np.bool_]
Logs = tuple[FloatArray, FloatArray]
"""log p and log (1 - p) of all rows."""


class Task(StrEnum):
    """A prediction task; its value begins the names of its metrics."""

    CTR = "ctr"
    CVR = "cvr"
    CTCVR = "ctcvr"


def metric_name(task: Task, metric: str) -> str:
    """The name with its space: (CVR, "auc") is cvr_auc_click, (CTR, "auc") is ctr_auc."""
    return f"{task}_{metric}_click" if task is Task.CVR else f"{task}_{metric}"


@dataclass(frozen=True)
class Rows:
    """What one predictor says of the rows of one task's space."""

    label_N: FloatArray
    """0 or 1."""
    weight_N: FloatArray
    group_N: IntArray
    """Codes of the groups (users), below their number."""
    model_N: IntArray
    """Which of a predictor's models (folds) scored the row; scores of two do not compare."""
    log_p_N: FloatArray
    """log p(label = 1); it also ranks the rows."""
    log_not_p_N: FloatArray
    """log (1 - p)."""
    is_predicted: bool = field(default=True, kw_only=True)
    """Whether the predictor says anything of the task; if not, there are no rows."""

    def __len__(self) -> int:
        return len(self.label_N)

    @property
    def p_N(self) -> FloatArray:
        """Predicted probabilities."""
        return np.exp(self.log_p_N)


def group_codes(predictions: Predictions) -> tuple[IntArray, int]:
    """Every row's group as a code 0, 1, …, and the number of groups."""
    groups, code_N = np.unique(predictions.group_id_N, return_inverse=True)
    return code_N, len(groups)


def rows_of(
    task: Task, predictions: Predictions, group_N: IntArray, model_N: IntArray
) -> Rows:
    """The rows of a task's space that count, with its labels and log-probabilities.

    Args:
        group_N, model_N: codes of all rows of the predictions.
    """
    click_N = predictions.click_N == 1
    converted_N = predictions.conversion_N == 1
    space_N: Mask = predictions.weight_N > 0
    logs = logs_of(task, predictions)
    if task is Task.CTR:
        label_N = click_N
    elif task is Task.CVR:
        label_N, space_N = converted_N, space_N & click_N
    else:
        label_N = click_N & converted_N
    if logs is None:
        space_N = np.zeros_like(space_N)
    log_p_N, log_not_p_N = logs or (np.zeros(len(space_N)), np.zeros(len(space_N)))
    return Rows(
        label_N=label_N[space_N].astype(np.float64), weight_N=predictions.weight_N[space_N],
        group_N=group_N[space_N], model_N=model_N[space_N], log_p_N=log_p_N[space_N],
        log_not_p_N=log_not_p_N[space_N], is_predicted=logs is not None,
    )


def logs_of(task: Task, predictions: Predictions) -> Logs | None:
    """log p and log (1 - p) of all rows; None: the task is not predicted."""
    return _LOGS[task](predictions)


def _log_ctr(predictions: Predictions) -> Logs | None:
    logit_N = predictions.ctr_logit_N
    return None if logit_N is None else log_probabilities(logit_N)


def _log_cvr(predictions: Predictions) -> Logs | None:
    if predictions.cvr_log_p_N is not None:
        return log_p_and_not_p(predictions.cvr_log_p_N)
    logit_N = predictions.cvr_logit_N
    return None if logit_N is None else log_probabilities(logit_N)


def _log_ctcvr(predictions: Predictions) -> Logs | None:
    ctr_N, cvr_N = predictions.ctr_logit_N, predictions.cvr_logit_N
    if predictions.ctcvr_logit_N is not None:
        return log_probabilities(predictions.ctcvr_logit_N)
    if ctr_N is None or cvr_N is None:
        return None
    return log_probabilities_of_product(ctr_N, cvr_N)


_LOGS = {Task.CTR: _log_ctr, Task.CVR: _log_cvr, Task.CTCVR: _log_ctcvr}


def log_p_and_not_p(log_p_N: FloatArray) -> Logs:
    """log p as it is, and log (1 - p), which is -inf where p is 1 or, being a quotient, more."""
    below_N = log_p_N < 0
    log_not_p_N = np.full(len(log_p_N), -np.inf)
    log_not_p_N[below_N] = np.log(-np.expm1(log_p_N[below_N]))
    return log_p_N, log_not_p_N


def log_probabilities(logit_N: FloatArray) -> Logs:
    """log p and log (1 - p) of p = sigmoid(logit)."""
    return -np.logaddexp(0.0, -logit_N), -np.logaddexp(0.0, logit_N)


def log_probabilities_of_product(
    ctr_logit_N: FloatArray, cvr_logit_N: FloatArray
) -> Logs:
    """log p and log (1 - p) of p = sigmoid(a) * sigmoid(b), from the logits a and b.

    log p = x = logsigmoid(a) + logsigmoid(b); of log (1 - p) neither closed form is safe
    everywhere: log1p(-exp(x)) rounds to 0 at p near 1, and
    logsumexp(-a, -b, -a-b) - softplus(-a) - softplus(-b) cancels at small p. They meet at
    x = -ln 2.
    """
    a_N, b_N = ctr_logit_N, cvr_logit_N
    softplus_a_N, softplus_b_N = np.logaddexp(0.0, -a_N), np.logaddexp(0.0, -b_N)
    log_p_N = -(softplus_a_N + softplus_b_N)
    small_N = log_p_N <= -np.log(2.0)
    at_small_N = np.log1p(-np.exp(np.where(small_N, log_p_N, -1.0)))
    at_large_N = np.logaddexp(np.logaddexp(-a_N, -b_N), -a_N - b_N) - softplus_a_N - softplus_b_N
    return log_p_N, np.where(small_N, at_small_N, at_large_N)
