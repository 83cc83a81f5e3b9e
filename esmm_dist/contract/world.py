"""Who takes part in a training and how they speak: the interface between the trainer, which knows
no Horovod, and `distributed`, which does.

Shape legend: N rows; the letters of other dimensions stand beside each method.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class World(Protocol):
    """A group of equal processes, ranks 0 to num_ranks - 1; every call is made by all of them."""

    rank: int
    num_ranks: int
    local_rank: int
    """This rank's place on its machine: the number of its GPU."""
    num_local_ranks: int
    """Ranks on this machine, which share its cores."""

    def sum(self, tensor: "Tensor", name: str) -> "Tensor":
        """The element-wise sum over ranks, the same on every rank."""

    def exchange(
        self, tensor_NX: "Tensor", num_rows_to_rank: Sequence[int], name: str
    ) -> tuple["Tensor", list[int]]:
        """Sends consecutive rows to each rank in turn.

        Returns:
            The rows received, ordered by the rank that sent them, and how many came from each.
        """

    def broadcast(self, tensor: "Tensor", name: str) -> "Tensor":
        """Rank 0's tensor on every rank."""

    def gather_objects(self, value: object, name: str) -> list[object]:
        """Every rank's plain value (JSON types), in order of ranks, on every rank."""

    def barrier(self, name: str) -> None:
        """Returns when every rank has arrived."""
