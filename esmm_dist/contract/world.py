"""Who takes part in a training and how they speak: the interface between the trainer, which knows
no Horovod, and `distributed`, which does.

Shape legend: N rows; the letters of other dimensions stand beside each method.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor


Result = TypeVar("Result", covariant=True)
Value = TypeVar("Value")


class Pending(Protocol[Result]):
    """A result that is on its way."""

    def wait(self) -> Result:
        """Returns it once it is there; to be called once."""


@dataclass(frozen=True)
class Here(Generic[Value]):
    """A result that needs no waiting."""

    result: Value

    def wait(self) -> Value:
        """Returns it."""
        return self.result


@dataclass
class Traffic:
    """What this rank's collectives have cost since it began."""

    waited_seconds: float = 0.0
    """Spent by the trainer waiting for them; what they cost beside its work is not seen here."""
    sent_bytes: int = 0
    """To other ranks: of exchanges as they are, of sums as a ring sends them, 2 (N - 1) / N times
    their size."""


class World(Protocol):
    """A group of equal processes, ranks 0 to num_ranks - 1; every call is made by all of them.

    Several collectives may be on their way at once, begun in any order: they are told apart by
    their names.
    """

    rank: int
    num_ranks: int
    local_rank: int
    """This rank's place on its machine: the number of its GPU."""
    num_local_ranks: int
    """Ranks on this machine, which share its cores."""

    traffic: Traffic

    def sum(self, tensor: "Tensor", name: str) -> "Tensor":
        """The element-wise sum over ranks, the same on every rank."""

    def begin_exchange(
        self, tensor_NX: "Tensor", num_rows_to_rank: Sequence[int], name: str
    ) -> Pending[tuple["Tensor", list[int]]]:
        """Begins to send consecutive rows to each rank in turn; no two of a name at a time.

        Returns:
            The rows received, ordered by the rank that sent them, and how many came from each.
        """

    def broadcast(self, tensor: "Tensor", name: str) -> "Tensor":
        """Rank 0's tensor on every rank."""

    def gather_objects(self, value: object, name: str) -> list[object]:
        """Every rank's plain value (JSON types), in order of ranks, on every rank."""

    def barrier(self, name: str) -> None:
        """Returns when every rank has arrived."""

    def pause(self) -> None:
        """Where all that matters has been saved: an elastic job may take in other members here, and
        then does not return."""
