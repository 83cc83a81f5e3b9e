"""Rows that begin to learn only once they have been seen often enough.

It wraps an update rule and knows none of them.

Shape legend: S slots of this rank; U distinct rows seen in the step; D their width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from esmm_dist.distributed.memory import zeros
from esmm_dist.distributed.row_optimizers import RowOptimizer

SIGHTINGS = "sightings"


@dataclass
class Admission:
    """The inner rule, from a row's k-th sighting on; before, the row stays as it began.

    A sighting is a step in which some rank's batch holds the id, however often. Most rows of a
    large table are seen once or twice: they would be fitted to those very labels.
    """

    inner: RowOptimizer
    admit_after: int
    """k: 1 admits every row at once."""

    def new_state(self, rows_SD: Tensor) -> dict[str, Tensor]:
        """The inner rule's, and how often every slot has been seen, up to k."""
        sightings_S = zeros(rows_SD.shape[:1], dtype=torch.int16, device=rows_SD.device)
        return {SIGHTINGS: sightings_S, **self.inner.new_state(rows_SD)}

    def step(
        self, rows_SD: Tensor, state: dict[str, Tensor], slots_U: Tensor, grad_UD: Tensor
    ) -> None:
        """Counts the rows seen and moves those admitted."""
        sightings_S = state[SIGHTINGS]
        seen_U = sightings_S.index_select(0, slots_U).add_(1).clamp_(max=self.admit_after)
        sightings_S.index_copy_(0, slots_U, seen_U)
        admitted_U = (seen_U == self.admit_after).nonzero().view(-1)
        self.inner.step(
            rows_SD, state, slots_U.index_select(0, admitted_U),
            grad_UD.index_select(0, admitted_U),
        )
