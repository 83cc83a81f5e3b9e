"""Multi-layer perceptrons of one size, computed side by side, and towers that end in one logit.

They know no task's name and no loss.

Shape legend: T networks side by side; B rows; I inputs and O outputs of a layer.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from esmm_dist.contract.sections import Model


class ParallelMlps(nn.Module):
    """T multi-layer perceptrons with ReLU, computed side by side as batched products."""

    def __init__(
        self,
        num_mlps: int,
        widths: Sequence[int],
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
        *,
        ends_linear: bool,
    ) -> None:
        """He initialisation by the generator alone, so that all ranks begin equal without a word.

        Args:
            widths: of the inputs, then of every layer.
            ends_linear: whether the last layer has no ReLU.
        """
        super().__init__()
        self._ends_linear = ends_linear
        self.weights_TIO = nn.ParameterList()
        self.biases_T1O = nn.ParameterList()
        for num_in, num_out in zip(widths, widths[1:]):
            # Variance 2 / fan-in keeps the scale through a ReLU. Drawn in float64, so that the
            # two precisions begin at the same point.
            bound = math.sqrt(6.0 / num_in)
            draws = torch.rand(
                num_mlps, num_in, num_out, generator=generator, dtype=torch.float64
            )
            self.weights_TIO.append(nn.Parameter(((2 * draws - 1) * bound).to(dtype)))
            self.biases_T1O.append(nn.Parameter(torch.zeros(num_mlps, 1, num_out, dtype=dtype)))
        self._num_mlps = num_mlps

    def forward(self, inputs: Tensor) -> Tensor:
        """(T, B, O), from inputs (B, I) that all share, or (T, B, I)."""
        hidden_TBI = inputs if inputs.dim() == 3 else inputs.expand(self._num_mlps, -1, -1)
        num_layers = len(self.weights_TIO)
        for number, (bias_T1O, weight_TIO) in enumerate(zip(self.biases_T1O, self.weights_TIO), 1):
            hidden_TBI = torch.baddbmm(bias_T1O, hidden_TBI, weight_TIO)
            if number < num_layers or not self._ends_linear:
                hidden_TBI = torch.relu_(hidden_TBI)
        return hidden_TBI

    def one(self, number: int, inputs: Tensor) -> Tensor:
        """(..., O) of one of the T, from inputs (..., I)."""
        hidden = inputs
        num_layers = len(self.weights_TIO)
        for place, (bias_T1O, weight_TIO) in enumerate(zip(self.biases_T1O, self.weights_TIO), 1):
            hidden = hidden @ weight_TIO[number] + bias_T1O[number]
            if place < num_layers or not self._ends_linear:
                hidden = torch.relu(hidden)
        return hidden


class Towers(ParallelMlps):
    """T perceptrons that end in one logit each.

    One logit a tower: a softmax over two outputs depends on their difference alone.
    """

    def __init__(
        self,
        num_towers: int,
        num_inputs: int,
        hidden_units: Sequence[int],
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """A tower has layers of `hidden_units` before its logit."""
        super().__init__(
            num_towers, [num_inputs, *hidden_units, 1], generator, dtype, ends_linear=True
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """The logit of every tower, (T, B), from inputs (B, I) that all share, or (T, B, I)."""
        return super().forward(inputs).squeeze(-1)


def plain_towers(
    num_heads: int, num_inputs: int, model: Model, generator: torch.Generator, dtype: torch.dtype
) -> nn.Module:
    """A tower for each head, straight on the combined fields."""
    return Towers(num_heads, num_inputs, model.hidden_units, generator, dtype)
