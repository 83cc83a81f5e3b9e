"""AITM: what the click tower has learned is handed on to the conversion tower, by attention.

    L = mean_D CE(y, p_ctr) + mean_D CE(y z, p_ctcvr) + l mean_D max(p_ctcvr - p_ctr, 0)
    z_1 = q_1;  z_t = sum over u in {g(z_{t-1}), q_t} of w_u v(u)
    w = softmax over u of <k(u), q(u)> / sqrt(H)

Its second task is conversion over all impressions; p_cvr is the quotient p_ctcvr / p_ctr, which the
last term keeps near or below 1, and which is kept as a logarithm. Source: Xi et al., KDD 2021.

Shape legend: T tasks; B rows; I inputs; H width of the last hidden layer.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.sections import Model
from esmm_dist.model.losses import excess
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.methods.division import quotient
from esmm_dist.model.terms import ctcvr_term_by_itself, ctr_term, labels
from esmm_dist.model.towers import ParallelMlps, Towers

OPTIONS = ("order_weight",)


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding, two towers, and the transfer between them."""
    network = NetworkSpec(heads=("ctr", "ctcvr"), make_body=InformationTransfer)
    stage = Stage("joint", trains=("shared",), loss_sums=partial(loss_sums, options))
    return Method(networks={"shared": network}, stages=(stage,), predict=quotient)


def loss_sums(options: MethodOptions, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss, ctcvr_loss and order_loss."""
    _, _, weight_B = labels(heads, batch)
    return {
        "ctr_loss": ctr_term(heads, batch),
        "ctcvr_loss": ctcvr_term_by_itself(heads, batch),
        "order_loss": options.order_weight * (excess(heads["ctcvr"], heads["ctr"]) @ weight_B),
    }


class InformationTransfer(nn.Module):
    """Towers, each of which after the first attends to what the one before hands on."""

    def __init__(
        self, num_heads: int, num_inputs: int, model: Model, generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        widths = [num_inputs, *model.hidden_units]
        width = widths[-1]
        self.towers = ParallelMlps(num_heads, widths, generator, dtype, ends_linear=False)
        self.hand_on = ParallelMlps(num_heads - 1, [width, width], generator, dtype,
                                    ends_linear=False)
        # keys, queries and values of each transfer
        self.attention = ParallelMlps(3 * (num_heads - 1), [width, width], generator, dtype,
                                      ends_linear=True)
        self.outputs = Towers(num_heads, width, (), generator, dtype)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Logits (T, B)."""
        first_BH, *others = self.towers(inputs_BI)
        states = [first_BH]
        for number, own_BH in enumerate(others):
            handed_BH = self.hand_on.one(number, states[-1])
            seen_2BH = torch.stack([handed_BH, own_BH])
            key, query, value = (
                self.attention.one(3 * number + part, seen_2BH) for part in range(3)
            )
            scores_2B = (key * query).sum(-1) / math.sqrt(own_BH.shape[-1])
            states.append((torch.softmax(scores_2B, dim=0).unsqueeze(-1) * value).sum(0))
        logits_TB: Tensor = self.outputs(torch.stack(states))
        return logits_TB
