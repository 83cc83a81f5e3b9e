"""Fetched embedding rows to the one vector per row of the batch that the towers read.

It looks up no id and knows no table.

Shape legend: B rows; F features in order of declaration; P = B F; U distinct embedding rows; D
their width; G groups present; E entries.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from esmm_dist.contract.features import Group
from esmm_dist.contract.places import Places


def field_vectors(rows_UD: Tensor, places: Places) -> Tensor:
    """The vector of every field, (B, F, D): its row, or the sum of its rows (none: zeros)."""
    vectors_PD: Tensor = _SumOfRows.apply(rows_UD, places)
    num_rows = len(vectors_PD) // places.num_fields
    return vectors_PD.unflatten(0, (num_rows, places.num_fields))


def columns_of_groups(groups: Sequence[Group]) -> list[list[int]]:
    """The features of each group present, groups in the order user, item, context, cross.

    Args:
        groups: the group of each of the F features.
    """
    columns = [[f for f, group in enumerate(groups) if group == wanted] for wanted in Group]
    return [group for group in columns if group]


def combine_fields(
    vectors_BFD: Tensor, combine: Literal["concat", "group_sum"], columns: Sequence[Sequence[int]]
) -> Tensor:
    """One vector per row of the batch.

    Returns:
        concat: (B, F D), the fields side by side; group_sum: (B, G D), the fields of one group
        summed and the groups side by side.
    """
    if combine == "concat":
        return vectors_BFD.flatten(1)
    sums = [vectors_BFD[:, group].sum(1) for group in columns]
    return torch.cat(sums, dim=1)


class _SumOfRows(torch.autograd.Function):
    """Sums over consecutive entries both ways.

    The gradient that autograd would find by itself adds rows one entry at a time: 5 times slower
    on a CPU, and in no fixed order on a GPU.
    """

    @staticmethod
    def forward(ctx: Any, rows_UD: Tensor, places: Places) -> Tensor:
        ctx.places = places
        return segment_sums(
            rows_UD, places.row_of_entry_E, places.entry_offsets_P1, places.weight_E
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad_PD,) = grads
        places = ctx.places
        grad_PD = grad_PD.contiguous()
        grad_UD = segment_sums(
            grad_PD, places.pool_of_entry_E, places.row_offsets_U1, places.weight_by_row_E
        )
        return grad_UD, None


def segment_sums(
    values_ND: Tensor, index_E: Tensor, offsets_S1: Tensor, weight_E: Tensor | None = None
) -> Tensor:
    """Row s of the result is the sum of values_ND[index_E[offsets[s] : offsets[s + 1]]], each
    times its weight if there are weights."""
    if weight_E is not None:
        weight_E = weight_E.to(values_ND.dtype)
    return F.embedding_bag(
        index_E, values_ND, offsets_S1, mode="sum", per_sample_weights=weight_E,
        include_last_offset=True,
    )
