"""Shared bottom: the first hidden layer is shared, the others are each task's own.

    L = mean_D CE(y, p_ctr) + l sum_O CE(z, p_cvr) / |D|

Source: Caruana, Machine Learning 1997.
"""

from functools import partial

import torch
from torch import Tensor, nn

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.sections import Model
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.terms import ctr_term, cvr_term_of_clicked
from esmm_dist.model.towers import ParallelMlps, Towers

OPTIONS = ("cvr_weight",)


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding, one shared layer, two towers."""
    network = NetworkSpec(heads=("ctr", "cvr"), make_body=SharedBottom, num_shared_layers=1)
    return multi_task(options, network)


def multi_task(options: MethodOptions, network: NetworkSpec) -> Method:
    """CTR over all impressions and CVR over clicks, from one network."""
    stage = Stage("joint", trains=("shared",), loss_sums=partial(loss_sums, options))
    return Method(networks={"shared": network}, stages=(stage,))


def loss_sums(options: MethodOptions, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss and cvr_loss."""
    return {"ctr_loss": ctr_term(heads, batch),
            "cvr_loss": options.cvr_weight * cvr_term_of_clicked(heads, batch)}


class SharedBottom(nn.Module):
    """A layer that all towers read."""

    def __init__(
        self, num_heads: int, num_inputs: int, model: Model, generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        width, *rest = model.hidden_units
        self.bottom = ParallelMlps(1, [num_inputs, width], generator, dtype, ends_linear=False)
        self.towers = Towers(num_heads, width, rest, generator, dtype)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Logits (T, B)."""
        logits_TB: Tensor = self.towers(self.bottom(inputs_BI)[0])
        return logits_TB
