"""Who reads what: pure arithmetic from file sizes, batch size, ranks, seed and epoch.

It opens no file and knows no column.

A file gives each of its rows to a pass once, or as often as a multiplicity says: rows left out or
repeated are counted before, and the plan deals what was counted. The order of files of the pass,
seen as one long range of such rows, is cut into lanes. Every global batch
takes the next rows of every lane, and a rank runs its share of the lanes: what a batch holds does
not depend on the ranks, no rank reads more than its lanes touch, and a position is one number.

    lane i of L gives  floor((i + 1) B / L) - floor(i B / L)  rows of a global batch of B rows
"""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import SampleFile
from esmm_dist.contract.multiplicity import EVERY_ROW, Multiplicity


@dataclass(frozen=True)
class Read:
    """Rows of one file that one lane needs, next to each other in the order of the pass."""

    step: int
    """The first step that needs them."""
    lane: int
    file: int
    """Place of the file in Plan.files."""
    first_row: int
    end_row: int
    """One past the last row; both count in the order that Plan.row_order gives."""

    @property
    def num_rows(self) -> int:
        """Rows of the file that the lane takes."""
        return self.end_row - self.first_row


@dataclass(frozen=True)
class Plan:
    """Steps of one pass over files, the same for every rank: steps, lanes and rows are agreed on
    before the first file is opened."""

    files: tuple[SampleFile, ...]
    multiplicity: Multiplicity
    """How often a row takes part in this pass."""
    rows_of_file: tuple[int, ...]
    """Rows that each file gives to this pass by it."""
    file_order: tuple[int, ...]
    """Places in `files`, in the order of this pass."""
    batch_size: int
    """Rows of a global batch."""
    num_ranks: int
    num_lanes: int
    """A multiple of num_ranks."""
    num_steps: int
    """Batches of this pass, the same number on every rank."""

    @property
    def num_rows(self) -> int:
        """Rows of the pass, read or not."""
        return self._row_ends[-1]

    @abstractmethod
    def row_order(self, file: int, count_R: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The order of a file's rows in this pass, as places in the file.

        Args:
            count_R: how often each row takes part, rows_of_file[file] in all; None: once.
        """

    def lanes(self, rank: int) -> range:
        """The lanes that a rank runs."""
        lanes_per_rank = self.num_lanes // self.num_ranks
        return range(rank * lanes_per_rank, (rank + 1) * lanes_per_rank)

    def rows_per_step(self, lane: int) -> int:
        """Rows that a lane gives to every global batch."""
        return self._batch_row(lane + 1) - self._batch_row(lane)

    def reads(self, rank: int, first_step: int = 0) -> tuple[Read, ...]:
        """What a rank reads from a step on, in the order in which its batches need it."""
        assert 0 <= rank < self.num_ranks and 0 <= first_step <= self.num_steps
        reads = [read for lane in self.lanes(rank) for read in self._lane_reads(lane, first_step)]
        return tuple(sorted(reads, key=lambda read: (read.step, read.lane)))

    @cached_property
    def _row_ends(self) -> list[int]:
        """Where each file of the pass ends in the long range of rows."""
        return list(accumulate(self.rows_of_file[file] for file in self.file_order))

    def _batch_row(self, lane: int) -> int:
        return lane * self.batch_size // self.num_lanes

    def _lane_reads(self, lane: int, first_step: int) -> Iterator[Read]:
        rows_per_step = self.rows_per_step(lane)
        origin = self.num_steps * self._batch_row(lane)
        row = origin + first_step * rows_per_step
        end = min(origin + self.num_steps * rows_per_step, self.num_rows)
        place = bisect_right(self._row_ends, row)
        while row < end:
            file = self.file_order[place]
            file_end = self._row_ends[place]
            file_origin = file_end - self.rows_of_file[file]
            stop = min(file_end, end)
            if stop > row:  # no row is asked of an empty file
                step = (row - origin) // rows_per_step
                yield Read(step, lane, file, row - file_origin, stop - file_origin)
            row, place = stop, place + 1


@dataclass(frozen=True)
class TrainPlan(Plan):
    """One epoch: files in a seeded order, rows shuffled within each, less than one global batch
    left out."""

    seed: int
    epoch: int
    notice: str | None
    """What the user should know about the lanes, if anything."""

    @classmethod
    def make(
        cls,
        files: Sequence[SampleFile],
        *,
        batch_size: int,
        num_lanes: int,
        seed: int,
        epoch: int,
        num_ranks: int,
        multiplicity: Multiplicity = EVERY_ROW,
        rows_of_file: Sequence[int] | None = None,
    ) -> Self:
        """Plans an epoch.

        Args:
            multiplicity: how often a row takes part.
            rows_of_file: what each file comes to by it in this epoch; None: its rows.

        Raises:
            InputError: the rows that take part are less than one global batch.
        """
        sizes = tuple(
            file.num_rows if multiplicity.fake_negatives else file.num_samples for file in files
        )
        assert multiplicity.is_trivial == (rows_of_file is None)
        drawn = sizes if rows_of_file is None else tuple(rows_of_file)
        num_rows = sum(drawn)
        if num_rows < batch_size:
            taking_part = "" if rows_of_file is None else f" of {sum(sizes):,} that take part"
            raise InputError(
                f"train.batch_size = {batch_size:,}: the training days hold only {num_rows:,} "
                f"rows{taking_part}, less than one global batch: lower it or train on more days"
            )
        lanes, notice = _raised_lanes(num_lanes, num_ranks)
        order = _random_state(seed, epoch).permutation(len(files))
        return cls(
            files=tuple(files), multiplicity=multiplicity, rows_of_file=drawn,
            file_order=tuple(order.tolist()), batch_size=batch_size, num_ranks=num_ranks,
            num_lanes=lanes, num_steps=num_rows // batch_size, seed=seed, epoch=epoch,
            notice=notice,
        )

    def row_order(self, file: int, count_R: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """A permutation of the whole file, so that lanes that share the file agree on it."""
        state = _random_state(self.seed, self.epoch, file)
        order = state.permutation(self.rows_of_file[file])
        if count_R is None:
            return order
        return np.repeat(np.arange(len(count_R)), count_R)[order]


@dataclass(frozen=True)
class EvaluationPlan(Plan):
    """Every sample once, in the order of the files; the last batches of a rank may run short."""

    @classmethod
    def make(cls, files: Sequence[SampleFile], *, batch_size: int, num_ranks: int) -> Self:
        """Plans an evaluation, one lane a rank.

        Raises:
            InputError: the files hold no row.
        """
        num_rows = sum(file.num_samples for file in files)
        if num_rows == 0:
            raise InputError("evaluate.days: they hold no row: choose days with samples")
        return cls(
            files=tuple(files), multiplicity=EVERY_ROW,
            rows_of_file=tuple(file.num_samples for file in files),
            file_order=tuple(range(len(files))), batch_size=batch_size, num_ranks=num_ranks,
            num_lanes=num_ranks, num_steps=-(-num_rows // batch_size),
        )

    def row_order(self, file: int, count_R: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The order of the file."""
        assert count_R is None
        return np.arange(self.files[file].num_samples)


def _raised_lanes(num_lanes: int, num_ranks: int) -> tuple[int, str | None]:
    """The least multiple of the ranks that is not below the lanes asked for."""
    raised = -(-num_lanes // num_ranks) * num_ranks
    if raised == num_lanes:
        return num_lanes, None
    return raised, (
        f"train.num_lanes = {num_lanes} is no multiple of {num_ranks} ranks: raised to {raised}; "
        f"batches differ from those of runs with {num_lanes} lanes"
    )


def _random_state(seed: int, *stream: int) -> Any:
    """A generator whose numbers NumPy promises never to change: resumed runs rely on them."""
    sequence = np.random.SeedSequence(seed, spawn_key=stream)
    return np.random.RandomState(np.random.MT19937(sequence))
