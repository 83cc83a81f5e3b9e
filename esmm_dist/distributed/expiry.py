"""Rows that nobody has seen for some days begin anew.

The day is that of the sample that holds an id, not of the training; days are numbers as
`contract.days.day_number` gives them. It moves no row by a gradient.

Shape legend: S slots of this rank; O distinct rows seen in a step; K buckets; D width of a row.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from esmm_dist.contract.row_space import RowSpace
from esmm_dist.distributed.initial_rows import initial_rows
from esmm_dist.distributed.memory import zeros

LAST_SEEN = "last_seen"
NEVER = 0


def new_days(rows_SD: Tensor) -> Tensor:
    """The day on which each slot was last seen: none yet."""
    return zeros(rows_SD.shape[:1], torch.int16, rows_SD.device)


def note_days(last_seen_S: Tensor, slots_O: Tensor, day_O: Tensor) -> None:
    """Notes that rows were seen; days come in any order."""
    before_O = last_seen_S.index_select(0, slots_O)
    last_seen_S.index_copy_(0, slots_O, torch.maximum(before_O, day_O.to(torch.int16)))


def begin_anew(
    rows_KSD: Tensor, state_of_rows: Mapping[str, Tensor], before_day: int, buckets: range,
    space: RowSpace, seed: int, std: float,
) -> Tensor:
    """Puts rows that were last seen before a day back to where they began; of their state nothing
    is left, so that they have to be admitted again.

    Args:
        state_of_rows: by name (K, S, ...), LAST_SEEN among them; all of it begins as zeros.

    Returns:
        Of each bucket the rows put back and those left that were seen, (K, 2).
    """
    last_seen_KS = state_of_rows[LAST_SEEN]
    counts_K2 = torch.zeros(len(buckets), 2, dtype=torch.int64)
    for place, bucket in enumerate(buckets):
        seen_S = last_seen_KS[place] != NEVER
        old_S = seen_S & (last_seen_KS[place] < before_day)
        counts_K2[place, 0] = num_old = old_S.sum().cpu()
        counts_K2[place, 1] = seen_S.sum().cpu() - num_old
        if num_old:
            began_SD = initial_rows(bucket, space, seed, std, rows_KSD.shape[1:], rows_KSD.dtype)
            rows_KSD[place][old_S] = began_SD.to(rows_KSD.device)[old_S]
            for tensor_KS in state_of_rows.values():
                tensor_KS[place][old_S] = 0
    return counts_K2
