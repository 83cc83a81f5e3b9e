"""What ESMM's loss is minimised at if every x has parameters of its own.

At an x that is clicked with probability q, and then converts with probability r, the expected loss
is CE(q, a) + CE(q r, a b) in a = p_ctr and b = p_cvr. In (a, c) with c = a b it is a sum of two
strictly convex functions, so that the one minimum is a = q, c = q r: b = r. docs/audit.md has the
proof; here the trainer's own loss is minimised numerically, by Newton's method in (log a, log c):
there both functions are convex as well, in logits the loss is not, and quasi-Newton steps stall.
"""

import math
from collections.abc import Callable, Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from esmm_dist.model.losses import cross_entropy, ctcvr_loss

CLICK_RATES = (0.001, 0.01, 0.1, 0.5, 0.9)
CONVERSION_RATES = (0.001, 0.05, 0.5, 0.95)
STARTS = (-4.0, 0.0, 4.0)
"""Logits of a and b."""
MAX_STEPS, MAX_HALVINGS = 200, 60
LARGEST_GRADIENT = 1e-9
"""By log a and log c, as a share of the conversions expected: a point counts as the minimum only
where no component is larger."""


class Saturated(BaseModel):
    """One x."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p_click: float
    """q = p(y | x)."""
    p_conversion_given_click: float
    """r = p(z | y = 1, x)."""
    p_cvr: float
    """What the loss is minimised at; of several starts the one farthest from r."""
    p_ctr: float


def saturated(
    click_rates: Sequence[float] = CLICK_RATES,
    conversion_rates: Sequence[float] = CONVERSION_RATES,
) -> tuple[Saturated, ...]:
    """The minima of all pairs of rates."""
    return tuple(_minimum(q, r) for q in click_rates for r in conversion_rates)


def _minimum(q: float, r: float) -> Saturated:
    found = []
    for start in STARTS:
        log_p = math.log(1 / (1 + math.exp(-start)))
        point = torch.tensor([log_p, 2 * log_p], dtype=torch.float64)
        log_a, log_c = _minimised(_loss_of(q, r), point).tolist()
        found.append(Saturated(p_click=q, p_conversion_given_click=r,
                               p_cvr=math.exp(log_c - log_a), p_ctr=math.exp(log_a)))
    return max(found, key=lambda minimum: abs(minimum.p_cvr - r))


def _loss_of(q: float, r: float) -> Callable[[Tensor], Tensor]:
    """The expected loss as a function of (log a, log c), by conversions expected."""
    click, conversion = (torch.tensor([p], dtype=torch.float64) for p in (q, q * r))

    def loss(point: Tensor) -> Tensor:
        log_a, log_c = point[:1], point[1:]
        ctr_logit, cvr_logit = (log_p - torch.log(-torch.expm1(log_p))
                                for log_p in (log_a, log_c - log_a))
        # The losses are linear in their labels: a probability gives the expectation.
        return (cross_entropy(ctr_logit, click)
                + ctcvr_loss(ctr_logit, cvr_logit, conversion)).sum() / (q * r)

    return loss


def _minimised(loss: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Where Newton's method arrives, each step halved until the slope along it has fallen."""
    gradient = jacobian(loss, point)
    for _ in range(MAX_STEPS):
        if float(gradient.abs().max()) < LARGEST_GRADIENT:
            return point
        step = -torch.linalg.solve(hessian(loss, point), gradient)
        before = float(abs(gradient @ step))
        for _ in range(MAX_HALVINGS):
            further = point + step
            if float(further[0]) < 0 and float(further[1]) < float(further[0]):
                gradient = jacobian(loss, further)
                if float(abs(gradient @ step)) < before:
                    break
            step, before = step / 2, before / 2
        point = further
    raise AssertionError(f"Newton's method stands at {point.tolist()}, {gradient.tolist()}")
