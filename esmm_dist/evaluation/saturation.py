"""What ESMM's loss is minimised at if every x has parameters of its own.

At an x that is clicked with probability q, and then converts with probability r, the expected loss
is CE(q, a) + CE(q r, a b) in a = p_ctr and b = p_cvr. In (a, c) with c = a b it is a sum of two
strictly convex functions, so that the one minimum is a = q, c = q r: b = r. docs/audit.md has the
proof; here the trainer's own loss is minimised numerically.
"""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict

from esmm_dist.model.losses import cross_entropy, ctcvr_loss

CLICK_RATES = (0.001, 0.01, 0.1, 0.5, 0.9)
CONVERSION_RATES = (0.001, 0.05, 0.5, 0.95)
STARTS = (-4.0, 0.0, 4.0)
MAX_STEPS = 500


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
        logits = torch.full((2, 1), start, dtype=torch.float64, requires_grad=True)
        labels = [torch.tensor([label], dtype=torch.float64) for label in (q, q * r)]
        optimizer = torch.optim.LBFGS([logits], max_iter=MAX_STEPS, tolerance_grad=1e-14,
                                      tolerance_change=1e-18, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            # The losses are linear in their labels: a probability gives the expectation.
            value = (cross_entropy(logits[0], labels[0])
                     + ctcvr_loss(logits[0], logits[1], labels[1])).sum()
            # In units of what a click tells, so that rare clicks do not end the search early.
            value = value / q
            value.backward()
            return value

        optimizer.step(loss)
        p_ctr, p_cvr = torch.sigmoid(logits.detach()).flatten().tolist()
        found.append(Saturated(p_click=q, p_conversion_given_click=r, p_cvr=p_cvr, p_ctr=p_ctr))
    return max(found, key=lambda minimum: abs(minimum.p_cvr - r))
