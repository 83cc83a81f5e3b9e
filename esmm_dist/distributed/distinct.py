"""De-duplication: the distinct values of a list, where each stands, and sums over its duplicates.

Plain tensors; it knows no id and no table.

Shape legend: N values; U distinct ones; D width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Distinct:
    """The distinct values of a list of N."""

    values_U: Tensor
    """Ascending."""
    place_N: Tensor
    """int64: values_U[place_N] is the list."""
    order_N: Tensor
    """int64: the places in the list, value by value, duplicates in the order they had."""
    offsets_U1: Tensor
    """int64: values_U[u] stands at the places order_N[offsets[u] : offsets[u + 1]]."""


def distinct(values_N: Tensor) -> Distinct:
    """Finds the distinct values of a one-dimensional list of whole numbers.

    torch sorts whole numbers by radix: 80,000 of 32 bits in 1.2 ms on one core, of 64 bits in
    2.4, whatever the size of the tables, which a scratch array of a flag per row would have to
    sweep.
    """
    sorted_N, order_N = torch.sort(values_N, stable=True)
    values_U, rank_N, counts_U = torch.unique_consecutive(
        sorted_N, return_inverse=True, return_counts=True
    )
    place_N = torch.empty_like(order_N).scatter_(0, order_N, rank_N)
    offsets_U1 = F.pad(counts_U.cumsum(0), (1, 0))
    return Distinct(values_U, place_N, order_N, offsets_U1)


def latest_of_duplicates(day_N: Tensor, found: Distinct) -> Tensor:
    """The largest of the days that stand for the same value, (U,)."""
    day_U = day_N.new_zeros(len(found.values_U))
    return day_U.scatter_reduce_(0, found.place_N, day_N, "amax")


def sums_of_duplicates(values_ND: Tensor, found: Distinct) -> Tensor:
    """Sums the rows that stand for the same value, in the order of the list, (U, D)."""
    return F.embedding_bag(
        found.order_N, values_ND, found.offsets_U1, mode="sum", include_last_offset=True
    )
