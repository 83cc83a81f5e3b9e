"""Losses per row from logits, in log space, so that no probability underflows.

They sum over no rows, apply no weight and know no batch: `methods` puts them together.

Shape legend: B rows. Notation: a, b the CTR and CVR logits; p_ctr = sigmoid(a); p_cvr = sigmoid(b);
p_ctcvr = p_ctr p_cvr; CE cross-entropy. Source: Ma et al., SIGIR 2018, arXiv 1804.07931.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_HALF = -math.log(2.0)


def log_p_ctcvr(ctr_logit_B: Tensor, cvr_logit_B: Tensor) -> Tensor:
    """log p(click and conversion) = log sigmoid(a) + log sigmoid(b), shape (B,)."""
    return F.logsigmoid(ctr_logit_B) + F.logsigmoid(cvr_logit_B)


def log_1m_p_ctcvr(ctr_logit_B: Tensor, cvr_logit_B: Tensor) -> Tensor:
    """log(1 - p_ctcvr), shape (B,).

    Neither closed form is safe everywhere: log1p(-p) loses all digits as p nears 1, and
    log((e^-a + e^-b + e^(-a-b)) p) cancels where p is small. They meet at p = 1/2.
    """
    a_B, b_B = ctr_logit_B, cvr_logit_B
    log_p_B = log_p_ctcvr(a_B, b_B)
    is_small_B = log_p_B <= LOG_HALF
    # torch.where differentiates both branches, and 0 * inf is NaN: the one not taken gets a safe x.
    safe_log_p_B = torch.where(is_small_B, log_p_B, LOG_HALF)
    small_B = torch.log1p(-torch.exp(safe_log_p_B))
    numerator_B = torch.logsumexp(torch.stack((-a_B, -b_B, -a_B - b_B)), dim=0)
    large_B = numerator_B + log_p_B
    return torch.where(is_small_B, small_B, large_B)


def cross_entropy(logit_B: Tensor, label_B: Tensor) -> Tensor:
    """CE(label, sigmoid(logit)), shape (B,).

    Args:
        label_B: 0 or 1, of the logits' type.
    """
    # Not binary_cross_entropy_with_logits, which for small p subtracts two numbers near the logit:
    # nothing is left of the loss at -17 in float32.
    log_p_B, log_1m_p_B = F.logsigmoid(logit_B), F.logsigmoid(-logit_B)
    return -(label_B * log_p_B + (1 - label_B) * log_1m_p_B)


def ctcvr_loss(ctr_logit_B: Tensor, cvr_logit_B: Tensor, ctcvr_label_B: Tensor) -> Tensor:
    """Cross-entropy of click-and-conversion, CE(y z, p_ctr p_cvr), shape (B,).

    Args:
        ctr_logit_B: a.
        cvr_logit_B: b.
        ctcvr_label_B: 1 where the row was clicked and converted, else 0, of the logits' type.
    """
    log_p_B = log_p_ctcvr(ctr_logit_B, cvr_logit_B)
    log_1m_p_B = log_1m_p_ctcvr(ctr_logit_B, cvr_logit_B)
    return -(ctcvr_label_B * log_p_B + (1 - ctcvr_label_B) * log_1m_p_B)


def entropy(logit_B: Tensor) -> Tensor:
    """Of a coin with p = sigmoid(logit): -p log p - (1 - p) log(1 - p), in nats, shape (B,)."""
    p_B, not_p_B = torch.sigmoid(logit_B), torch.sigmoid(-logit_B)
    return -(p_B * F.logsigmoid(logit_B) + not_p_B * F.logsigmoid(-logit_B))


def inverse_propensity(logit_B: Tensor, min_propensity: float) -> Tensor:
    """1 / max(sigmoid(logit), min_propensity), without a gradient, shape (B,)."""
    return (1 + torch.exp(-logit_B.detach())).clamp(max=1 / min_propensity)


def excess(x_B: Tensor, y_B: Tensor) -> Tensor:
    """max(sigmoid(x) - sigmoid(y), 0), shape (B,).

    As sigmoid(x) sigmoid(-y) (1 - e^(y - x)), because the difference as written loses all digits
    where both are nearly 0, nearly 1 or nearly equal.
    """
    gap_B = (x_B - y_B).clamp(min=0)
    # expm1 is exact at small gaps; at large ones torch makes its gradient of a rounded 1.
    one_minus_B = torch.where(gap_B < 1, -torch.expm1(-gap_B), 1 - torch.exp(-gap_B))
    return torch.exp(F.logsigmoid(x_B) + F.logsigmoid(-y_B)) * one_minus_B
