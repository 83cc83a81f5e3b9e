"""Keeps what a rank brings to an exchange at one size, however many rows it has to send.

Horovod remembers by name and shape what the ranks have agreed on. Distinct rows are a few more or
fewer in every step; each of their exchanges would be agreed on anew, by more small messages
between the ranks. Rows that a rank sends itself, and drops, cost a copy.

It speaks to no rank and knows no table.

Shape legend: N rows; C of them with padding; M rows received; X whatever follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Beyond the most rows seen so far, as a share of them.
HEADROOM = 1 / 16


@dataclass(frozen=True)
class Padded:
    """Rows for each rank in turn, and behind this rank's own as many as are missing."""

    rows_CX: Tensor
    num_rows_to_rank: list[int]
    """Padding included: they add up to C."""
    num_padding: int
    rank: int

    def without_padding(
        self, received_MX: Tensor, num_rows_from_rank: Sequence[int]
    ) -> tuple[Tensor, list[int]]:
        """What the exchange brought, less what this rank sent itself for nothing."""
        counts = list(num_rows_from_rank)
        end = sum(counts[: self.rank + 1])
        counts[self.rank] -= self.num_padding
        kept_MX = received_MX[: end - self.num_padding]
        if end < len(received_MX):
            kept_MX = torch.cat([kept_MX, received_MX[end:]])
        return kept_MX, counts


class Padding:
    """Remembers the size of every name's exchange, which only grows."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._size_of_name: dict[str, int] = {}

    def pad(self, rows_NX: Tensor, num_rows_to_rank: Sequence[int], name: str) -> Padded:
        """Fills an exchange of some name up to its size."""
        num_rows, counts = len(rows_NX), list(num_rows_to_rank)
        size = self._size_of_name.get(name, 0)
        if num_rows > size:
            size = self._size_of_name[name] = num_rows + int(HEADROOM * num_rows)
        end = sum(counts[: self._rank + 1])
        counts[self._rank] += size - num_rows
        padding_PX = rows_NX.new_empty((size - num_rows, *rows_NX.shape[1:]))
        rows_CX = torch.cat([rows_NX[:end], padding_PX, rows_NX[end:]])
        return Padded(rows_CX, counts, size - num_rows, self._rank)
