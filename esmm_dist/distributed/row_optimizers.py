"""Optimizers of embedding tables: they read and write only the rows that a step has seen.

They speak to no rank: the rows and the complete gradients lie here already. The signs are folded
into what is added, because index_add_ with an alpha takes 2.5 times as long on a CPU.

Shape legend: S slots of this rank; U distinct rows seen in the step; D their width.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from esmm_dist.contract.sections import Optimizer
from esmm_dist.distributed.memory import zeros


class RowOptimizer(Protocol):
    """One update rule. Its state is a few tensors with a row for every slot."""

    def new_state(self, rows_SD: Tensor) -> dict[str, Tensor]:
        """What the rule remembers of every slot before the first step."""

    def step(
        self, rows_SD: Tensor, state: dict[str, Tensor], slots_U: Tensor, grad_UD: Tensor
    ) -> None:
        """Moves the rows at the distinct `slots_U` against their gradient, in place."""


@dataclass
class RowSgd:
    """w -= learning_rate (g + weight_decay w)."""

    learning_rate: float
    weight_decay: float = 0.0

    def new_state(self, rows_SD: Tensor) -> dict[str, Tensor]:
        return {}

    def step(
        self, rows_SD: Tensor, state: dict[str, Tensor], slots_U: Tensor, grad_UD: Tensor
    ) -> None:
        grad_UD = _with_decay(grad_UD, rows_SD, slots_U, self.weight_decay)
        rows_SD.index_add_(0, slots_U, grad_UD * -self.learning_rate)


@dataclass
class RowAdagrad:
    """Row-wise Adagrad: one step size for a whole row.

    s += mean over D of g^2;  w -= learning_rate g / (sqrt(s) + eps), with g the gradient plus
    weight_decay w. Of Adagrad's state it keeps a D-th: one number a row (Duchi et al. 2011 for
    Adagrad; the row-wise form is that of large recommenders, arXiv 1906.00091).
    """

    learning_rate: float
    weight_decay: float = 0.0
    eps: float = 1e-10
    """Keeps a row whose gradients were all zero where it is."""
    initial_sum: float = 0.0
    """s before the first sighting; 0: the first step is learning_rate long, whatever the loss's
    scale."""

    def new_state(self, rows_SD: Tensor) -> dict[str, Tensor]:
        sum_S = zeros(rows_SD.shape[:1], rows_SD.dtype, rows_SD.device)
        return {"adagrad_sum": sum_S.fill_(self.initial_sum) if self.initial_sum else sum_S}

    def step(
        self, rows_SD: Tensor, state: dict[str, Tensor], slots_U: Tensor, grad_UD: Tensor
    ) -> None:
        grad_UD = _with_decay(grad_UD, rows_SD, slots_U, self.weight_decay)
        sum_S = state["adagrad_sum"]
        square_U = torch.einsum("ud,ud->u", grad_UD, grad_UD)
        # Adding first leaves the sums in the processor's cache for the reading.
        sum_S.index_add_(0, slots_U, square_U.div_(grad_UD.shape[1]))
        rate_U = -self.learning_rate / sum_S.index_select(0, slots_U).sqrt_().add_(self.eps)
        rows_SD.index_add_(0, slots_U, grad_UD * rate_U.unsqueeze(1))


@dataclass
class RowAdam:
    """Lazy Adam: a row's moments move only in the steps that see it.

        m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  t += 1
        w -= learning_rate / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)

    t counts the row's own sightings, so each row lives through plain Adam (Kingma and Ba, arXiv
    1412.6980) over the steps that saw it. With the global step for t, as in torch's SparseAdam, a
    row first seen late would have its young moments taken for grown ones, and its first step would
    be (1 - b1) / sqrt(1 - b2) = 3.2 times the learning rate: most rows of a large table are rare.
    """

    learning_rate: float
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def new_state(self, rows_SD: Tensor) -> dict[str, Tensor]:
        shape, dtype, device = rows_SD.shape, rows_SD.dtype, rows_SD.device
        return {
            "adam_mean": zeros(shape, dtype, device),
            "adam_square": zeros(shape, dtype, device),
            "adam_count": zeros(shape[:1], torch.int32, device),
        }

    def step(
        self, rows_SD: Tensor, state: dict[str, Tensor], slots_U: Tensor, grad_UD: Tensor
    ) -> None:
        grad_UD = _with_decay(grad_UD, rows_SD, slots_U, self.weight_decay)
        count_U = state["adam_count"].index_select(0, slots_U).add_(1)
        mean_UD = state["adam_mean"].index_select(0, slots_U).lerp_(grad_UD, 1 - self.beta1)
        square_UD = state["adam_square"].index_select(0, slots_U).mul_(self.beta2)
        square_UD.addcmul_(grad_UD, grad_UD, value=1 - self.beta2)
        state["adam_count"].index_copy_(0, slots_U, count_U)
        state["adam_mean"].index_copy_(0, slots_U, mean_UD)
        state["adam_square"].index_copy_(0, slots_U, square_UD)

        count_U1 = count_U.to(grad_UD.dtype).unsqueeze(1)
        rate_U1 = -self.learning_rate / _one_minus_power(self.beta1, count_U1)
        root_UD = square_UD.div_(_one_minus_power(self.beta2, count_U1)).sqrt_().add_(self.eps)
        rows_SD.index_add_(0, slots_U, mean_UD.mul_(rate_U1).div_(root_UD))


def row_optimizer(declared: Optimizer) -> RowOptimizer:
    """The update rule that the config declares for the tables."""
    rules = {"adam": RowAdam, "adagrad": RowAdagrad, "sgd": RowSgd}
    return rules[declared.name](declared.learning_rate, declared.weight_decay)


def _with_decay(
    grad_UD: Tensor, rows_SD: Tensor, slots_U: Tensor, weight_decay: float
) -> Tensor:
    if weight_decay == 0:
        return grad_UD
    return grad_UD.add(rows_SD.index_select(0, slots_U), alpha=weight_decay)


def _one_minus_power(beta: float, count_U1: Tensor) -> Tensor:
    # 1 - beta^t as written would lose four digits of seven in float32 when beta^t is near 1.
    return torch.expm1(count_U1 * math.log(beta)).neg_()
