"""Padding keeps the size of what is brought to an exchange, and takes nothing from it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from esmm_dist.distributed.padding import Padded, Padding

NUM_RANKS = 3
COUNTS = st.lists(st.integers(0, 5), min_size=NUM_RANKS, max_size=NUM_RANKS)


@given(st.lists(st.lists(COUNTS, min_size=NUM_RANKS, max_size=NUM_RANKS), min_size=1, max_size=4))
def test_what_is_exchanged_with_padding_is_what_it_would_be_without(
    steps: list[list[list[int]]]
) -> None:
    paddings = [Padding(rank) for rank in range(NUM_RANKS)]
    for counts_of_rank in steps:
        rows_of_rank = [_rows(rank, counts) for rank, counts in enumerate(counts_of_rank)]
        padded = [padding.pad(rows, counts, "ids") for padding, rows, counts in
                  zip(paddings, rows_of_rank, counts_of_rank)]
        for rank in range(NUM_RANKS):
            received, counts = _delivered([(p.rows_CX, p.num_rows_to_rank) for p in padded], rank)
            kept, kept_counts = padded[rank].without_padding(received, counts)
            plain, plain_counts = _delivered(list(zip(rows_of_rank, counts_of_rank)), rank)
            assert torch.equal(kept, plain)
            assert kept_counts == plain_counts


@pytest.mark.parametrize("rank", range(NUM_RANKS))
def test_fewer_rows_than_before_and_somewhat_more_are_brought_in_the_same_size(rank: int) -> None:
    padding = Padding(rank)
    size = len(_padded(padding, 320).rows_CX)
    assert 320 <= size <= 350
    for num_rows in (320, 0, 1, 335):
        padded = _padded(padding, num_rows)
        assert len(padded.rows_CX) == sum(padded.num_rows_to_rank) == size
    assert len(_padded(padding, 700).rows_CX) > 700


def test_each_name_has_a_size_of_its_own_and_nothing_at_all_needs_none() -> None:
    padding = Padding(0)
    _padded(padding, 320)
    assert len(padding.pad(_rows(0, [0, 0, 0]), [0, 0, 0], "days").rows_CX) == 0


def _padded(padding: Padding, num_rows: int) -> Padded:
    counts = [num_rows // 2, num_rows - num_rows // 2, 0]
    return padding.pad(_rows(0, counts), counts, "ids")


def _rows(rank: int, counts: list[int]) -> Tensor:
    """Rows that say who sends them to whom and the how many-th they are."""
    rows = [[rank, to, n] for to, count in enumerate(counts) for n in range(count)]
    return torch.tensor(rows, dtype=torch.int64).view(-1, 3)


def _delivered(sent: list[tuple[Tensor, list[int]]], to: int) -> tuple[Tensor, list[int]]:
    """What an exchange brings to one rank."""
    parts = [rows.split(counts)[to] for rows, counts in sent]
    return torch.cat(parts), [len(part) for part in parts]
