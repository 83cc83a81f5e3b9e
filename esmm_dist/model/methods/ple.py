"""PLE: levels of shared and task-specific experts, mixed by gates; one level is CGC.

The loss is that of `shared_bottom`. The experts of a level are one layer, as wide as the hidden
layer that they stand for; what is left of the hidden layers are the tasks' towers. Source: Tang et
al., RecSys 2020.

Shape legend: T tasks; S = T + 1 streams, that of each task and the shared one; E experts of a
stream; B rows; I inputs; H width of an expert.
"""

from functools import partial

import torch
from torch import Tensor, nn

from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.sections import Model
from esmm_dist.model.method import Method, NetworkSpec
from esmm_dist.model.methods.shared_bottom import multi_task
from esmm_dist.model.towers import ParallelMlps, Towers

OPTIONS = ("cvr_weight", "num_experts", "num_levels")


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding, levels of experts, a tower for each task."""
    body = partial(ProgressiveExtraction, options.num_levels, options.num_experts)
    network = NetworkSpec(
        heads=("ctr", "cvr"), make_body=body, num_shared_layers=options.num_levels
    )
    return multi_task(options, network)


class ProgressiveExtraction(nn.Module):
    """Levels of experts, then towers."""

    def __init__(
        self, num_levels: int, num_experts: int, num_heads: int, num_inputs: int, model: Model,
        generator: torch.Generator, dtype: torch.dtype,
    ) -> None:
        super().__init__()
        widths, rest = model.hidden_units[:num_levels], model.hidden_units[num_levels:]
        self.levels = nn.ModuleList(
            Level(num_heads, num_experts, num_in, width, generator, dtype, is_last=level == 1)
            for level, num_in, width in zip(
                range(num_levels, 0, -1), [num_inputs, *widths[:-1]], widths
            )
        )
        self.num_heads = num_heads
        self.towers = Towers(num_heads, widths[-1], rest, generator, dtype)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Logits (T, B)."""
        streams_SBI = inputs_BI.expand(self.num_heads + 1, -1, -1)
        for level in self.levels:
            streams_SBI = level(streams_SBI)
        logits_TB: Tensor = self.towers(streams_SBI)
        return logits_TB


class Level(nn.Module):
    """One extraction network: each stream is mixed from the experts that it may see."""

    def __init__(
        self, num_tasks: int, num_experts: int, num_inputs: int, width: int,
        generator: torch.Generator, dtype: torch.dtype, *, is_last: bool,
    ) -> None:
        """The last level has no shared stream to hand on."""
        super().__init__()
        self.num_experts = num_experts
        num_streams = num_tasks + 1
        self.experts = ParallelMlps(
            num_streams * num_experts, [num_inputs, width], generator, dtype, ends_linear=False
        )
        self.task_gates = ParallelMlps(
            num_tasks, [num_inputs, 2 * num_experts], generator, dtype, ends_linear=True
        )
        self.shared_gate = None if is_last else ParallelMlps(
            1, [num_inputs, num_streams * num_experts], generator, dtype, ends_linear=True
        )

    def forward(self, streams_SBI: Tensor) -> Tensor:
        """Streams (S, B, H); of the last level only those of the tasks, (T, B, H)."""
        inputs_NBI = streams_SBI.repeat_interleave(self.num_experts, dim=0)
        experts_SEBH = self.experts(inputs_NBI).unflatten(0, (-1, self.num_experts))
        own_TEBH, shared_EBH = experts_SEBH[:-1], experts_SEBH[-1]
        seen_TNBH = torch.cat([own_TEBH, shared_EBH.expand_as(own_TEBH)], dim=1)
        gates_TBN = torch.softmax(self.task_gates(streams_SBI[:-1]), dim=-1)
        tasks_TBH = torch.einsum("tbn,tnbh->tbh", gates_TBN, seen_TNBH)
        if self.shared_gate is None:
            return tasks_TBH
        gate_1BN = torch.softmax(self.shared_gate(streams_SBI[-1:]), dim=-1)
        shared_1BH = torch.einsum("tbn,nbh->tbh", gate_1BN, experts_SEBH.flatten(0, 1))
        return torch.cat([tasks_TBH, shared_1BH])
