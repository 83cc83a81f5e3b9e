"""Losses and gradients against 60-digit arithmetic."""

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from esmm_dist.model.losses import (
    cross_entropy,
    ctcvr_loss,
    entropy,
    excess,
    inverse_propensity,
    log_1m_p_ctcvr,
    log_p_ctcvr,
)
from tests.oracles import losses as oracle

# Small steps where the two closed forms meet, and on to where float32 runs out of exponents.
ORDINARY = [-40.0, -20.0, -12.5, -7.0, -3.0, -1.0, -0.25, 0.0, 0.5, 0.875, 0.9, 1.0, 2.0, 5.0,
            9.0, 16.0, 40.0]
EXTREME = [*ORDINARY, -110.0, -88.0, 88.0, 110.0]
CASES = pytest.mark.parametrize(
    "dtype, logits", [(torch.float64, ORDINARY), (torch.float32, EXTREME)],
    ids=["float64", "float32"],
)


def grid(logits: list[float], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    pairs = torch.tensor(list(itertools.product(logits, logits)), dtype=dtype)
    return pairs[:, 0].clone().requires_grad_(), pairs[:, 1].clone().requires_grad_()


def assert_close(found_B: Tensor, expected: list[Any]) -> None:
    """Within 12.5 roundings of the value (1.5e-6 in float32), however small it is.

    A very small one is an exponential, and can be no closer than its logarithm is rounded.
    """
    limits = torch.finfo(found_B.dtype)
    for found, want in zip(found_B.tolist(), expected, strict=True):
        magnitude = max(abs(want), limits.tiny)
        allowed = limits.eps * max(12.5, -math.log(magnitude)) * magnitude
        assert abs(found - want) <= allowed, (found, float(want))


@CASES
def test_log_p_ctcvr_equals_the_oracle(dtype: torch.dtype, logits: list[float]) -> None:
    a_B, b_B = grid(logits, dtype)
    expected = [oracle.log_p_ctcvr(a, b) for a, b in zip(a_B.tolist(), b_B.tolist())]
    assert_close(log_p_ctcvr(a_B, b_B), expected)


@CASES
def test_log_1m_p_ctcvr_equals_the_oracle(dtype: torch.dtype, logits: list[float]) -> None:
    a_B, b_B = grid(logits, dtype)
    expected = [oracle.log_1m_p_ctcvr(a, b) for a, b in zip(a_B.tolist(), b_B.tolist())]
    assert_close(log_1m_p_ctcvr(a_B, b_B), expected)


@CASES
@pytest.mark.parametrize("label", [0, 1])
def test_ctcvr_loss_and_its_gradient_equal_the_oracle(
    label: int, dtype: torch.dtype, logits: list[float]
) -> None:
    a_B, b_B = grid(logits, dtype)
    pairs = list(zip(a_B.tolist(), b_B.tolist()))
    loss_B = ctcvr_loss(a_B, b_B, torch.full_like(a_B, label))
    assert_close(loss_B, [oracle.ctcvr_loss(a, b, label) for a, b in pairs])
    loss_B.sum().backward()
    gradients = [oracle.ctcvr_gradient(a, b, label) for a, b in pairs]
    assert a_B.grad is not None and b_B.grad is not None
    assert_close(a_B.grad, [by_a for by_a, _ in gradients])
    assert_close(b_B.grad, [by_b for _, by_b in gradients])


@CASES
@pytest.mark.parametrize("label", [0, 1])
def test_cross_entropy_equals_the_oracle(
    label: int, dtype: torch.dtype, logits: list[float]
) -> None:
    a_B = torch.tensor(logits, dtype=dtype)
    expected = [oracle.cross_entropy(a, label) for a in logits]
    assert_close(cross_entropy(a_B, torch.full_like(a_B, label)), expected)


@CASES
def test_entropy_equals_the_oracle(dtype: torch.dtype, logits: list[float]) -> None:
    logits = [logit for logit in logits if abs(logit) < 90]  # else 60 digits do not tell 1 - p
    expected = [oracle.entropy(x) for x in logits]
    assert_close(entropy(torch.tensor(logits, dtype=dtype)), expected)


@CASES
def test_the_excess_of_one_probability_over_another_equals_the_oracle(
    dtype: torch.dtype, logits: list[float]
) -> None:
    x_B, y_B = (logit_B.detach() for logit_B in grid(logits, dtype))
    expected = [max(oracle.sigmoid(x) - oracle.sigmoid(y), 0)
                for x, y in zip(x_B.tolist(), y_B.tolist())]
    assert_close(excess(x_B, y_B), expected)


@CASES
def test_an_inverse_propensity_is_clipped_and_has_no_gradient(
    dtype: torch.dtype, logits: list[float]
) -> None:
    a_B = torch.tensor(logits, dtype=dtype, requires_grad=True)
    found_B = inverse_propensity(a_B, 0.05)
    assert not found_B.requires_grad
    assert_close(found_B, [1 / max(oracle.sigmoid(a), 0.05) for a in logits])


def test_an_unclicked_row_pushes_cvr_as_a_clicked_unconverted_one_does() -> None:
    a_B, b_B = (x.detach() for x in grid([-3.0, -0.5, 0.0, 1.0, 4.0], torch.float64))
    b_B.requires_grad_()
    (found_B,) = torch.autograd.grad(ctcvr_loss(a_B, b_B, torch.zeros_like(a_B)).sum(), b_B)
    p_ctr_B, p_cvr_B = torch.sigmoid(a_B), torch.sigmoid(b_B)
    expected_B = p_ctr_B * p_cvr_B * (1 - p_cvr_B) / (1 - p_ctr_B * p_cvr_B)
    torch.testing.assert_close(found_B, expected_B, rtol=1e-13, atol=0)


def test_each_closed_form_alone_fails_where_both_together_hold() -> None:
    small, large = torch.tensor([-7.0]), torch.tensor([20.0])
    for logit, one_form in ((small, _from_the_numerator), (large, _from_the_product)):
        exact = float(oracle.log_1m_p_ctcvr(float(logit), float(logit)))
        assert abs(float(one_form(logit, logit)) / exact - 1) > 0.01
        assert abs(float(log_1m_p_ctcvr(logit, logit)) / exact - 1) < 1.5e-6


def _from_the_numerator(a: Tensor, b: Tensor) -> Tensor:
    return torch.logsumexp(torch.stack((-a, -b, -a - b)), 0) + F.logsigmoid(a) + F.logsigmoid(b)


def _from_the_product(a: Tensor, b: Tensor) -> Tensor:
    return torch.log1p(-torch.sigmoid(a) * torch.sigmoid(b))
