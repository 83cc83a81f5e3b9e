"""What the tables take of each rank's memory, known before any of it is taken.

It allocates nothing and knows no feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

import torch

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.row_space import NUM_BUCKETS, RowSpace
from esmm_dist.distributed.expiry import new_days
from esmm_dist.distributed.row_optimizers import RowOptimizer

GIB = 2**30
# What a rank needs beside its tables: a batch, its activations, the towers, the reader's blocks.
HEADROOM_BYTES = GIB // 4


@dataclass(frozen=True)
class Footprint:
    """Tables and what their optimizer remembers."""

    space: RowSpace
    num_copies: int
    """Networks that have tables of their own."""
    bytes_per_row: int
    num_ranks: int
    is_replicated: bool

    @classmethod
    def of(
        cls, space: RowSpace, dim: int, dtype: torch.dtype, optimizer: RowOptimizer | None,
        num_copies: int, num_ranks: int, is_replicated: bool, notes_days: bool = False,
    ) -> Self:
        """Of tables that have not been made yet."""
        row_1D = torch.zeros(1, dim, dtype=dtype)
        held = [row_1D, *(optimizer.new_state(row_1D) if optimizer else {}).values()]
        if optimizer and notes_days:
            held.append(new_days(row_1D))
        bytes_per_row = sum(tensor.nbytes for tensor in held)
        return cls(space, num_copies, bytes_per_row, num_ranks, is_replicated)

    @property
    def total_bytes(self) -> int:
        """Of all rows, once."""
        return self.num_copies * self.space.num_slots * self.bytes_per_row

    def bytes_on(self, num_ranks: int) -> int:
        """On the fullest of so many ranks."""
        num_buckets = NUM_BUCKETS if self.is_replicated else -(-NUM_BUCKETS // num_ranks)
        return num_buckets * (self.total_bytes // NUM_BUCKETS)

    def line(self) -> str:
        """What a user is told at the start."""
        num_rows = sum(self.space.num_rows_of_table.values())
        networks = f" for each of {self.num_copies} networks" if self.num_copies > 1 else ""
        return (
            f"tables: {num_rows:,} rows{networks}, {self.bytes_per_row} bytes a row with the "
            f"optimizer's state: {_gib(self.total_bytes)}, {_gib(self.bytes_on(self.num_ranks))} "
            f"on each of {self.num_ranks} ranks"
        )

    def expiry_line(self, num_expired: int, num_left: int, first_day: date) -> str:
        """What a user is told when rows have begun anew.

        Args:
            first_day: on which, or later, all that are left were seen.
        """
        num_rows = self.num_copies * sum(self.space.num_rows_of_table.values())
        return (
            f"expired: {num_expired:,} rows that were last seen before {first_day}; {num_left:,} "
            f"of {num_rows:,} rows hold what was learned since "
            f"({_gib(num_left * self.bytes_per_row)} of {_gib(self.total_bytes)})"
        )

    def check(self, available_bytes_of_rank: Sequence[int]) -> None:
        """Refuses tables that do not fit.

        Args:
            available_bytes_of_rank: what each rank could still take.

        Raises:
            InputError: names what is needed, what there is, and how many ranks would do.
        """
        needed = self.bytes_on(self.num_ranks) + HEADROOM_BYTES
        least = min(available_bytes_of_rank)
        if needed <= least:
            return
        raise InputError(
            f"{self.line()}, and {_gib(HEADROOM_BYTES)} beside them: rank "
            f"{list(available_bytes_of_rank).index(least)} can take only {_gib(least)}: "
            f"{self._way_out(least)}lower model.embedding_dim or the tables' sizes"
        )

    def _way_out(self, available_bytes: int) -> str:
        if self.is_replicated:
            return "set embedding.parallel to sharded, "
        enough = next(
            (n for n in range(self.num_ranks + 1, NUM_BUCKETS + 1)
             if self.bytes_on(n) + HEADROOM_BYTES <= available_bytes), None,
        )
        return f"train on {enough} ranks with as much memory each, or " if enough else ""


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.2f} GiB"
