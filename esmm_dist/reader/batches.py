"""Batches out of blocks: every step takes the next rows of every lane.

It reads no file; blocks come in the order of the plan, each when a lane needs it.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esmm_dist.contract.batch import Bag, Batch, Delays
from esmm_dist.contract.schema import (
    CLICK,
    CLICK_DELAY_S,
    CONVERSION,
    CONVERSION_DELAY_S,
    DELAY_COLUMNS,
    FAKE_NEGATIVE,
    GROUP_ID,
    MATURE,
    OBSERVED_S,
    SAMPLE_ID,
    WEIGHT,
)
from esmm_dist.reader.blocks import Block, Layout, RaggedRows
from esmm_dist.reader.plan import Plan
from esmm_dist.reader.prefetch import Prefetched

TYPE_OF_SCALAR = {
    CLICK: torch.float32,
    CONVERSION: torch.float32,
    WEIGHT: torch.float32,
    SAMPLE_ID: torch.int64,
    GROUP_ID: torch.int64,
    CLICK_DELAY_S: torch.int32,
    CONVERSION_DELAY_S: torch.int32,
    OBSERVED_S: torch.int32,
    MATURE: torch.float32,
    FAKE_NEGATIVE: torch.float32,
}


class Part(NamedTuple):
    """Some rows of a block, next to each other."""

    block: Block
    first: int
    end: int


class BatchStream(Iterator[Batch]):
    """A rank's share of the global batches, from a step on.

    Each batch has as many rows as the rank's lanes give to a step; where the plan has no row left,
    it ends in zeros, its weights included. Use the stream in a `with` statement, or read it to its
    end: what prepares the blocks ends with it.
    """

    def __init__(
        self, plan: Plan, rank: int, first_step: int, blocks: Prefetched[Block], layout: Layout,
        pin_memory: bool,
    ) -> None:
        """
        Args:
            blocks: one for each of plan.reads(rank, first_step), in that order; each is released
                when its last row has been copied.
            pin_memory: tensors in page-locked memory, from which a GPU copies in the background.
        """
        self.num_batches = plan.num_steps - first_step
        self._blocks = blocks
        self._batches = _make_batches(plan, rank, first_step, blocks, layout, pin_memory)

    def __next__(self) -> Batch:
        return next(self._batches)

    def close(self) -> None:
        """Ends the stream; the batches given out stay as they are."""
        self._batches.close()
        self._blocks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _make_batches(
    plan: Plan, rank: int, first_step: int, blocks: Iterator[Block], layout: Layout,
    pin_memory: bool,
) -> Generator[Batch, None, None]:
    num_blocks_of_lane = Counter(read.lane for read in plan.reads(rank, first_step))
    lanes = [
        _Lane(plan.rows_per_step(lane), num_blocks_of_lane[lane], blocks)
        for lane in plan.lanes(rank)
    ]
    tensors = _Tensors(sum(lane.rows_per_step for lane in lanes), layout, pin_memory)
    for _ in range(first_step, plan.num_steps):
        parts = [part for lane in lanes for part in lane.next_parts()]
        batch = tensors.batch(parts)
        for block, _, end in parts:
            if end == block.num_rows:
                block.release()
        yield batch
    assert all(lane.is_done for lane in lanes), "the plan's reads outlast its steps"
    assert next(blocks, None) is None, "more blocks came than the plan reads"


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

    def next_parts(self) -> Iterator[Part]:
        """The rows of one step, from one block or several; fewer where the lane ends."""
        wanted = self.rows_per_step
        while wanted and not self.is_done:
            if self._block is None:
                self._block, self._row = next(self._blocks), 0
                self._num_blocks_left -= 1
            part = Part(self._block, self._row, min(self._row + wanted, self._block.num_rows))
            wanted -= part.end - part.first
            self._row = part.end
            if part.end == self._block.num_rows:
                self._block = None
            yield part


class _Tensors:
    """Makes the tensors of batches of one size."""

    def __init__(self, num_rows: int, layout: Layout, pin_memory: bool) -> None:
        self._num_rows = num_rows
        self._layout = layout
        self._pin_memory = pin_memory
        # What no batch holds is one and the same tensor in all of them.
        self._absent = {
            name: torch.zeros(num_rows, dtype=type_, pin_memory=pin_memory)
            for name, type_ in TYPE_OF_SCALAR.items()
            if name not in layout.scalars and name not in DELAY_COLUMNS
        }

    def batch(self, parts: Sequence[Part]) -> Batch:
        """Copies rows into a batch, which ends in zeros if they do not fill it."""
        ids = [block.ids_NF[first:end] for block, first, end in parts]
        return Batch(
            ids_BF=self._joined(ids, torch.int32, len(self._layout.single_valued)),
            bags=tuple(
                self._bag(
                    [block.bags[place].rows(first, end) for block, first, end in parts],
                    has_weights=name in self._layout.weights,
                )
                for place, name in enumerate(self._layout.multi_valued)
            ),
            click_B=self._scalar(CLICK, parts),
            conversion_B=self._scalar(CONVERSION, parts),
            weight_B=self._scalar(WEIGHT, parts),
            sample_id_B=self._scalar(SAMPLE_ID, parts),
            group_id_B=self._scalar(GROUP_ID, parts),
            delays=self._delays(parts),
            day_B=self._days(parts),
            num_padded=self._num_rows - sum(end - first for _, first, end in parts),
        )

    def _delays(self, parts: Sequence[Part]) -> Delays | None:
        if MATURE not in self._layout.scalars:
            return None
        return Delays(
            click_delay_s_B=self._scalar(CLICK_DELAY_S, parts),
            conversion_delay_s_B=self._scalar(CONVERSION_DELAY_S, parts),
            observed_s_B=self._scalar(OBSERVED_S, parts),
            mature_B=self._scalar(MATURE, parts),
            fake_negative_B=self._scalar(FAKE_NEGATIVE, parts),
        )

    def _days(self, parts: Sequence[Part]) -> Tensor | None:
        if not self._layout.with_days:
            return None
        return self._joined(
            [np.full(end - first, block.day, np.int32) for block, first, end in parts], torch.int32
        )

    def _scalar(self, name: str, parts: Sequence[Part]) -> Tensor:
        if name in self._absent:
            return self._absent[name]
        values = [block.scalars[name][first:end] for block, first, end in parts]
        return self._joined(values, TYPE_OF_SCALAR[name])

    def _joined(
        self, arrays: Sequence[NDArray[Any]], dtype: torch.dtype, *width: int
    ) -> Tensor:
        tensor = self._empty(dtype, self._num_rows, *width)
        rows = tensor.numpy()
        num_filled = sum(map(len, arrays))
        if arrays:
            np.concatenate(arrays, out=rows[:num_filled], casting="unsafe")
        rows[num_filled:] = 0
        return tensor

    def _bag(self, parts: Sequence[RaggedRows], has_weights: bool) -> Bag:
        ids_V = self._empty(torch.int32, sum(len(part.ids_V) for part in parts))
        weights_V = self._empty(torch.float32, len(ids_V)) if has_weights else None
        offsets_B1 = self._empty(torch.int64, self._num_rows + 1)
        offsets = offsets_B1.numpy()
        offsets[0] = 0
        num_filled = sum(len(part.num_ids_N) for part in parts)
        if parts:
            np.concatenate([part.ids_V for part in parts], out=ids_V.numpy())
            if weights_V is not None:
                weights = [part.weights_V for part in parts if part.weights_V is not None]
                np.concatenate(weights, out=weights_V.numpy())
            lengths = np.concatenate([part.num_ids_N for part in parts])
            np.cumsum(lengths, out=offsets[1 : num_filled + 1])
        offsets[num_filled + 1 :] = len(ids_V)
        return Bag(ids_V, offsets_B1, weights_V)

    def _empty(self, dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=self._pin_memory)
