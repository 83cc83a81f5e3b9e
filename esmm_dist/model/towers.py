"""The task towers: equal MLPs that read the same vector, each ending in one logit.

They know no task's name and no loss.

Shape legend: T towers; B rows; I inputs and O outputs of a layer.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Towers(nn.Module):
    """T multi-layer perceptrons with ReLU, computed side by side as batched products.

    One logit a tower: a softmax over two outputs depends on their difference alone.
    """

    def __init__(
        self,
        num_towers: int,
        num_inputs: int,
        hidden_units: Sequence[int],
        seed: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """He initialisation by `seed` alone, so that all ranks begin equal without a word."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        widths = [num_inputs, *hidden_units, 1]
        self.weights_TIO = nn.ParameterList()
        self.biases_T1O = nn.ParameterList()
        for num_in, num_out in zip(widths, widths[1:]):
            # Variance 2 / fan-in keeps the scale through a ReLU. Drawn in float64, so that the
            # two precisions begin at the same point.
            bound = math.sqrt(6.0 / num_in)
            draws = torch.rand(
                num_towers, num_in, num_out, generator=generator, dtype=torch.float64
            )
            self.weights_TIO.append(nn.Parameter(((2 * draws - 1) * bound).to(dtype)))
            self.biases_T1O.append(nn.Parameter(torch.zeros(num_towers, 1, num_out, dtype=dtype)))

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """The logit of every tower, shape (T, B)."""
        num_towers = len(self.biases_T1O[0])
        hidden_TBI = inputs_BI.expand(num_towers, -1, -1)
        *hidden_layers, last = zip(self.biases_T1O, self.weights_TIO)
        for bias_T1O, weight_TIO in hidden_layers:
            hidden_TBI = torch.relu_(torch.baddbmm(bias_T1O, hidden_TBI, weight_TIO))
        return torch.baddbmm(last[0], hidden_TBI, last[1]).squeeze(-1)
