"""MMoE: every task mixes the same experts by a gate of its own.

The loss is that of `shared_bottom`. Experts are one layer, as wide as the first hidden one; the
others are the tasks' towers. Source: Ma et al., KDD 2018.

Shape legend: T tasks; E experts; B rows; I inputs; H width of an expert.
"""

from functools import partial

import torch
from torch import Tensor, nn

from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.sections import Model
from esmm_dist.model.method import Method, NetworkSpec
from esmm_dist.model.methods.shared_bottom import multi_task
from esmm_dist.model.towers import ParallelMlps, Towers

OPTIONS = ("cvr_weight", "num_experts")


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding, experts, a gate and a tower for each task."""
    body = partial(MixtureOfExperts, options.num_experts)
    network = NetworkSpec(heads=("ctr", "cvr"), make_body=body, num_shared_layers=1)
    return multi_task(options, network)


class MixtureOfExperts(nn.Module):
    """Experts, gates, towers."""

    def __init__(
        self, num_experts: int, num_heads: int, num_inputs: int, model: Model,
        generator: torch.Generator, dtype: torch.dtype,
    ) -> None:
        super().__init__()
        width, *rest = model.hidden_units
        self.experts = ParallelMlps(
            num_experts, [num_inputs, width], generator, dtype, ends_linear=False
        )
        self.gates = ParallelMlps(
            num_heads, [num_inputs, num_experts], generator, dtype, ends_linear=True
        )
        self.towers = Towers(num_heads, width, rest, generator, dtype)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Logits (T, B)."""
        gates_TBE = torch.softmax(self.gates(inputs_BI), dim=-1)
        mixed_TBH = torch.einsum("tbe,ebh->tbh", gates_TBE, self.experts(inputs_BI))
        logits_TB: Tensor = self.towers(mixed_TBH)
        return logits_TB
