"""Batches out of blocks: every step takes the next rows of every lane.

It reads no file; blocks come in the order of the plan, each when a lane needs it.
"""

from collections import Counter
from collections.abc import Container, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.schema import CLICK, CONVERSION, GROUP_ID, SAMPLE_ID, WEIGHT
from esmm_dist.reader.blocks import Block, Layout
from esmm_dist.reader.plan import Plan

SCALAR_TYPES = {
    CLICK: torch.float32,
    CONVERSION: torch.float32,
    WEIGHT: torch.float32,
    SAMPLE_ID: torch.int64,
    GROUP_ID: torch.int64,
}


def make_batches(
    plan: Plan, rank: int, first_step: int, blocks: Iterator[Block], layout: Layout,
    pin_memory: bool,
) -> Iterator[Batch]:
    """A rank's share of the global batches.

    Args:
        blocks: one for each of plan.reads(rank, first_step), in that order; a block's memory may
            be used again as soon as its lane asks for the next one.
        pin_memory: tensors in page-locked memory, from which a GPU copies in the background.

    Yields:
        For each step from first_step on a batch of as many rows as the rank's lanes give; where the
        plan has no row left, the batch ends in zeros, its weights included.
    """
    num_blocks_of_lane = Counter(read.lane for read in plan.reads(rank, first_step))
    lanes = [
        _Lane(plan.rows_per_step(lane), num_blocks_of_lane[lane], blocks)
        for lane in plan.lanes(rank)
    ]
    num_rows = sum(lane.rows_per_step for lane in lanes)
    for _ in range(first_step, plan.num_steps):
        growing = _GrowingBatch(num_rows, layout, pin_memory)
        for lane in lanes:
            lane.give_rows(growing)
        yield growing.finished(layout.scalars)
    assert all(lane.is_done for lane in lanes), "the plan's reads outlast its steps"


class _GrowingBatch:
    """A batch into which blocks write their rows one after the other."""

    def __init__(self, num_rows: int, layout: Layout, pin_memory: bool) -> None:
        self._pin_memory = pin_memory
        self._num_rows_written = 0
        self._ids_BF = self._empty(torch.int32, num_rows, len(layout.single_valued))
        self._scalars = {name: self._empty(type_, num_rows) for name, type_ in SCALAR_TYPES.items()}
        self._parts_of_bag: list[list[tuple[NDArray[np.int32], NDArray[np.int32]]]] = [
            [] for _ in layout.multi_valued
        ]
        # The same memory, seen by NumPy.
        self._rows = {name: tensor.numpy() for name, tensor in self._scalars.items()}
        self._id_rows = self._ids_BF.numpy()

    def append(self, block: Block, first: int, end: int) -> None:
        """Copies rows of a block."""
        start, stop = self._num_rows_written, self._num_rows_written + end - first
        self._id_rows[start:stop] = block.ids_NF[first:end]
        for name, values in block.scalars.items():
            self._rows[name][start:stop] = values[first:end]
        for parts, bag in zip(self._parts_of_bag, block.bags):
            parts.append(bag.rows(first, end))
        self._num_rows_written = stop

    def finished(self, scalars: Container[str]) -> Batch:
        """The batch, with zeros where nothing was written."""
        self._id_rows[self._num_rows_written :] = 0
        for name, rows in self._rows.items():
            rows[self._num_rows_written if name in scalars else 0 :] = 0
        return Batch(
            ids_BF=self._ids_BF,
            bags=tuple(self._bag(parts) for parts in self._parts_of_bag),
            click_B=self._scalars[CLICK],
            conversion_B=self._scalars[CONVERSION],
            weight_B=self._scalars[WEIGHT],
            sample_id_B=self._scalars[SAMPLE_ID],
            group_id_B=self._scalars[GROUP_ID],
        )

    def _bag(self, parts: list[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> Bag:
        ids_V = self._empty(torch.int32, sum(len(ids) for ids, _ in parts))
        offsets_B1 = self._empty(torch.int64, len(self._ids_BF) + 1)
        offsets = offsets_B1.numpy()
        offsets[0] = 0
        offsets[self._num_rows_written + 1 :] = len(ids_V)
        if parts:
            np.concatenate([ids for ids, _ in parts], out=ids_V.numpy())
            lengths = np.concatenate([lengths for _, lengths in parts])
            np.cumsum(lengths, out=offsets[1 : self._num_rows_written + 1])
        return Bag(ids_V, offsets_B1)

    def _empty(self, dtype: torch.dtype, *shape: int) -> Tensor:
        # Not torch.zeros: called from this thread it would wake OpenMP threads of its own.
        return torch.empty(shape, dtype=dtype, pin_memory=self._pin_memory)


class _Lane:
    """A cursor over the blocks of one lane, which share one stream with those of other lanes."""

    def __init__(self, rows_per_step: int, num_blocks: int, blocks: Iterator[Block]) -> None:
        self.rows_per_step = rows_per_step
        self._num_blocks_left = num_blocks
        self._blocks = blocks
        self._block: Block | None = None
        self._row = 0

    @property
    def is_done(self) -> bool:
        """Whether every row has been given out."""
        return self._block is None and self._num_blocks_left == 0

    def give_rows(self, batch: _GrowingBatch) -> None:
        """Writes the rows of one step, from one block or several; fewer where the lane ends."""
        wanted = self.rows_per_step
        while wanted and not self.is_done:
            if self._block is None:
                self._block, self._row = next(self._blocks), 0
                self._num_blocks_left -= 1
            end = min(self._row + wanted, self._block.num_rows)
            batch.append(self._block, self._row, end)
            wanted -= end - self._row
            self._row = end
            if end == self._block.num_rows:
                self._block = None
