"""Batches out of blocks in memory: who gets which rows, and what fills the places left over."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.manifest import SampleFile
from esmm_dist.contract.schema import DELAY_COLUMNS, KEY_COLUMNS, LABEL_COLUMNS
from esmm_dist.reader.batches import BatchStream
from esmm_dist.reader.blocks import Block, Layout, Ragged
from esmm_dist.reader.plan import EvaluationPlan, Plan, TrainPlan
from esmm_dist.reader.prefetch import Prefetched

WITH_DELAYS = Layout(("user", "item"), ("tags",), (*LABEL_COLUMNS, *DELAY_COLUMNS))
LAYOUT = Layout(
    ("user", "item"), ("tags",), (*LABEL_COLUMNS, *KEY_COLUMNS), {"tags": "tags_weights"}
)


def files_of(sizes: Sequence[int]) -> list[SampleFile]:
    return [SampleFile(path=str(n), num_rows=size, num_bytes=0) for n, size in enumerate(sizes)]


def blocks_of(plan: Plan, rank: int, first_step: int = 0) -> Generator[Block, None, None]:
    """Row p of file f is the number 100 f + p: as ids, as weight, as key, and as some tags.

    The ids of a block that is released are spoilt at once, as if another block were made of them.
    """
    for read in plan.reads(rank, first_step):
        places = plan.row_order(read.file)[read.first_row : read.end_row]
        numbers = 100 * read.file + places
        ids = np.stack([numbers, -numbers], axis=1).astype(np.int32)
        tags = np.concatenate([np.repeat(number, number % 3) for number in numbers])
        yield Block(
            ids_NF=ids,
            bags=(Ragged(tags.astype(np.int32), np.cumsum([0, *numbers % 3]).astype(np.int32),
                         (tags / 4).astype(np.float32)),),
            scalars={
                "click": (numbers % 2).astype(np.int8),
                "conversion": (numbers % 4 == 3).astype(np.int8),
                "weight": (numbers + 0.5).astype(np.float32),
                "sample_id": numbers << 40,
                "group_id": -numbers,
                "click_delay_s": (numbers - 1).astype(np.int32),
                "conversion_delay_s": (numbers - 2).astype(np.int32),
                "observed_s": (numbers * 2).astype(np.int32),
                "mature": (numbers % 5 > 0).astype(np.int8),
            },
            release=partial(ids.fill, 7),
            day=1 + read.file,
        )


def stream_of(
    plan: Plan, rank: int = 0, first_step: int = 0, max_blocks: int | None = None,
    pin_memory: bool = False, layout: Layout = LAYOUT,
) -> BatchStream:
    def blocks() -> Generator[Block, None, None]:
        yield from islice(blocks_of(plan, rank, first_step), max_blocks)

    prefetched = Prefetched(blocks, num_items_ahead=1)
    return BatchStream(plan, rank, first_step, prefetched, layout, pin_memory)


def batches_of(plan: Plan, rank: int = 0, first_step: int = 0) -> list[Batch]:
    return list(stream_of(plan, rank, first_step))


def numbers_in(batch: Batch) -> list[int]:
    """The numbers of a batch's rows, after everything in it was found to agree on them."""
    numbers = batch.ids_BF[:, 0]
    assert torch.equal(batch.ids_BF[:, 1], -numbers)
    assert torch.equal(batch.sample_id_B >> 40, numbers.long())
    assert torch.equal(batch.group_id_B, -numbers.long())
    assert torch.equal(batch.click_B, (numbers % 2).float())
    assert torch.equal(batch.conversion_B, (numbers % 4 == 3).float())
    (bag,) = batch.bags
    assert torch.equal(bag.offsets_B1.diff(), numbers.long() % 3)
    assert torch.equal(bag.ids_V, numbers.repeat_interleave(numbers % 3))
    assert bag.weights_V is not None and bag.weights_V.dtype == torch.float32
    assert torch.equal(bag.weights_V, bag.ids_V / 4)
    return numbers.tolist()


@pytest.mark.parametrize("sizes", [(60,), (3, 1, 20, 7, 29), (1,) * 60])
def test_a_step_takes_the_next_rows_of_every_lane_from_as_many_blocks_as_it_needs(
    sizes: tuple[int, ...],
) -> None:
    plan = TrainPlan.make(files_of(sizes), batch_size=14, num_lanes=4, seed=1, epoch=0, num_ranks=1)
    order = [100 * file + int(p) for file in plan.file_order for p in plan.row_order(file)]
    first_of_lane, rows_of_lane = (0, 12, 28, 40), (3, 4, 3, 4)
    expected = [
        [row for first, rows in zip(first_of_lane, rows_of_lane)
         for row in order[first + step * rows : first + (step + 1) * rows]]
        for step in range(4)
    ]
    batches = batches_of(plan)
    assert [numbers_in(batch) for batch in batches] == expected
    assert all(torch.equal(b.weight_B, b.ids_BF[:, 0] + 0.5) for b in batches)
    assert [numbers_in(batch) for batch in batches_of(plan, first_step=3)] == expected[3:]


def test_an_evaluation_ends_in_zeros() -> None:
    plan = EvaluationPlan.make(files_of((5, 4)), batch_size=8, num_ranks=2)
    first, second = batches_of(plan, rank=0), batches_of(plan, rank=1)
    assert [numbers_in(batch) for batch in first] == [[0, 1, 2, 3], [4, 100, 101, 102]]
    assert [numbers_in(batch) for batch in second] == [[103, 0, 0, 0], [0, 0, 0, 0]]
    assert [batch.weight_B.tolist() for batch in second] == [[103.5, 0, 0, 0], [0, 0, 0, 0]]


def test_delays_come_where_they_are_asked_for_and_padding_has_none() -> None:
    plan = EvaluationPlan.make(files_of((7,)), batch_size=8, num_ranks=1)
    (batch,) = stream_of(plan, layout=WITH_DELAYS)
    delays = batch.to(torch.device("cpu")).delays
    assert delays is not None
    assert delays.click_delay_s_B.tolist() == [-1, 0, 1, 2, 3, 4, 5, 0]
    assert delays.conversion_delay_s_B.tolist() == [-2, -1, 0, 1, 2, 3, 4, 0]
    assert delays.observed_s_B.tolist() == [0, 2, 4, 6, 8, 10, 12, 0]
    assert delays.mature_B.tolist() == [0, 1, 1, 1, 1, 0, 1, 0]
    (without,) = stream_of(plan)
    assert without.delays is None


def test_days_come_where_they_are_asked_for_and_padding_has_none() -> None:
    plan = EvaluationPlan.make(files_of((3, 3)), batch_size=8, num_ranks=1)
    (batch,) = stream_of(plan, layout=replace(LAYOUT, with_days=True))
    day_B = batch.to(torch.device("cpu")).day_B
    assert day_B is not None and day_B.tolist() == [1, 1, 1, 2, 2, 2, 0, 0]
    (without,) = stream_of(plan)
    assert without.day_B is None


def test_blocks_that_end_too_early_are_no_short_batch() -> None:
    plan = TrainPlan.make(files_of((9, 9)), batch_size=6, num_lanes=1, seed=1, epoch=0, num_ranks=1)
    with pytest.raises(RuntimeError):
        list(stream_of(plan, max_blocks=1))


def test_a_stream_that_is_closed_gives_nothing_more_and_leaves_its_batches_alone() -> None:
    plan = TrainPlan.make(files_of((9, 9)), batch_size=6, num_lanes=1, seed=1, epoch=0, num_ranks=1)
    with stream_of(plan) as stream:
        assert stream.num_batches == 3
        batch = next(stream)
    assert list(stream) == []
    assert len(set(numbers_in(batch))) == 6


@pytest.mark.gpu
def test_pinned_batches_lie_in_page_locked_memory() -> None:
    plan = TrainPlan.make(files_of((9,)), batch_size=6, num_lanes=1, seed=1, epoch=0, num_ranks=1)
    (batch,) = stream_of(plan, pin_memory=True)
    (bag,) = batch.bags
    for tensor in (batch.ids_BF, batch.weight_B, batch.sample_id_B, bag.ids_V, bag.offsets_B1):
        assert tensor.is_pinned()
