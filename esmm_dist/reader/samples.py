"""From a manifest to batches: the door of this room.

It decides nothing: `plan` says who reads what, `counts` how often, `footers` what is refused;
`parquet` decodes and `blocks` shuffles in the background, by `prefetch`; `batches` deals rows to
steps.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from esmm_dist.contract.days import day_number
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, fingerprint
from esmm_dist.contract.manifest import Manifest, SampleFile, check_fingerprint
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.contract.schema import (
    DECLARED_COLUMNS,
    DELAY_COLUMNS,
    FAKE_NEGATIVE,
    KEY_COLUMNS,
    LABEL_COLUMNS,
    column_types,
    feature_types,
)
from esmm_dist.reader.batches import BatchStream
from esmm_dist.reader.blocks import Block, Layout, Memory, columns_of
from esmm_dist.reader.counts import count_rows
from esmm_dist.reader.footers import check_file
from esmm_dist.reader.parquet import read_files
from esmm_dist.reader.plan import EvaluationPlan, Plan, Read, TrainPlan
from esmm_dist.reader.prefetch import Prefetched
from esmm_dist.storage.address import is_local, path_of

# Enough to bridge the steps in which several lanes need their next file at once.
NUM_BLOCKS_AHEAD = 3
NUM_FOOTERS_AT_A_TIME = 16


class SampleReader:
    """Reads the samples that a manifest lists, as batches of one declaration of features."""

    def __init__(
        self,
        samples_path: str | Path,
        manifest: Manifest,
        features: Sequence[Feature],
        with_keys: bool,
        pin_memory: bool = False,
        with_delays: bool = False,
        with_days: bool = False,
    ) -> None:
        """Opens nothing yet.

        Args:
            samples_path: the samples' directory.
            with_keys: whether batches carry sample and group ids; else these are zeros.
            pin_memory: whether batches lie in page-locked memory, for a GPU.
            with_delays: whether batches carry how long events took, and were waited for.
            with_days: whether batches carry the day of each row.

        Raises:
            InputError: the samples were built for other features.
        """
        self._samples_path = path_of(samples_path)
        self._manifest = manifest
        check_fingerprint(manifest, fingerprint(features), str(samples_path))
        scalars = (
            LABEL_COLUMNS | (KEY_COLUMNS if with_keys else {})
            | (DELAY_COLUMNS if with_delays else {})
        )
        if with_delays and FAKE_NEGATIVE in manifest.columns:
            scalars = scalars | {FAKE_NEGATIVE: DECLARED_COLUMNS[FAKE_NEGATIVE]}
        self._stored_types = column_types(features)
        self._types = scalars | feature_types(features)
        self._check_columns(self._types)
        self._layout = Layout.of(features, scalars, with_days)
        self._day_of_file = {file.path: day.day for day in manifest.days for file in day.files}
        self._pin_memory = pin_memory

    def files(self, days: Iterable[date]) -> tuple[SampleFile, ...]:
        """The files of some days, in the manifest's order.

        Raises:
            InputError: a day has not been built.
        """
        built = self._manifest.select(days, str(self._samples_path))
        return tuple(file for day in built for file in day.files)

    def count_rows(
        self, files: Sequence[SampleFile], multiplicity: Multiplicity, seed: int, epoch: int
    ) -> list[int]:
        """The rows that each file gives to an epoch, a row counted as often as it takes part.

        It reads the columns that decide it, and no others.

        Raises:
            InputError: a file is not what the manifest lists, or cannot be decoded.
        """
        types = self._types_for(multiplicity.columns)
        paths = [self._samples_path / file.path for file in files]
        self._check_files(files, types)
        nums = []
        with closing(read_files(paths, list(types))) as decoded:
            for path, file, table in zip(paths, files, decoded, strict=True):
                _check_num_rows(path, table.num_rows, file.num_rows)
                columns = columns_of(table, types, path)
                count_R = _counts(columns, multiplicity, file, seed, epoch)
                nums.append(int(count_R.sum()))
        return nums

    def train_batches(self, plan: TrainPlan, rank: int, first_step: int = 0) -> BatchStream:
        """A rank's share of an epoch's global batches, from a step on.

        Use it in a `with` statement, so that its thread ends with it.

        Raises:
            InputError: before the first batch if a file that the rank reads is not what the
                manifest lists, later if it cannot be decoded.
        """
        return self._batches(plan, rank, first_step)

    def evaluation_batches(
        self, days: Iterable[date], batch_size: int, num_ranks: int, rank: int
    ) -> BatchStream:
        """A rank's share of all rows of some days: over all ranks each row once, and as many
        batches on every rank; batches end in rows of weight 0 where a rank has no row left.

        Raises:
            InputError: as train_batches, or there is no row.
        """
        plan = EvaluationPlan.make(self.files(days), batch_size=batch_size, num_ranks=num_ranks)
        return self._batches(plan, rank, first_step=0)

    def _types_for(self, columns: Iterable[str]) -> dict[str, str]:
        """The types of further columns."""
        types = {name: self._stored_types[name] for name in columns}
        self._check_columns(types)
        return types

    def _check_columns(self, types: Mapping[str, str]) -> None:
        source = self._samples_path / self._manifest.path
        for name, type_name in types.items():
            column = self._manifest.columns.get(name)
            if column is None:
                raise InputError(f"{source}: it lists no column {name!r}: rebuild the samples")
            if column.type != type_name:
                raise InputError(
                    f"{source}: the column {name!r} is {column.type} instead of {type_name}: "
                    "rebuild the samples"
                )

    def _batches(self, plan: Plan, rank: int, first_step: int) -> BatchStream:
        reads = plan.reads(rank, first_step)
        types = self._types | self._types_for(plan.multiplicity.columns)
        self._check_files(
            [plan.files[file] for file in dict.fromkeys(read.file for read in reads)], types
        )
        blocks = Prefetched(lambda: self._blocks(plan, reads), num_items_ahead=NUM_BLOCKS_AHEAD)
        return BatchStream(plan, rank, first_step, blocks, self._layout, self._pin_memory)

    def _check_files(self, files: Sequence[SampleFile], types: Mapping[str, str]) -> None:
        """All footers; many at a time where each costs several answers of an object store."""
        def check(file: SampleFile) -> None:
            check_file(self._samples_path / file.path, file, types)

        if is_local(self._samples_path):
            for file in files:
                check(file)
            return
        with ThreadPoolExecutor(NUM_FOOTERS_AT_A_TIME) as pool:
            for _ in pool.map(check, files):
                pass

    def _blocks(self, plan: Plan, reads: Sequence[Read]) -> Generator[Block, None, None]:
        paths = [self._path(plan, read.file) for read in reads]
        max_rows_of_file = max((plan.files[read.file].num_rows for read in reads), default=0)
        max_rows_of_block = max((read.num_rows for read in reads), default=0)
        memory = Memory(max_rows_of_file, max_rows_of_block, len(self._layout.single_valued))
        types = self._types | self._types_for(plan.multiplicity.columns)
        with closing(read_files(paths, list(types))) as decoded:
            for read, path, table in zip(reads, paths, decoded, strict=True):
                _check_num_rows(path, table.num_rows, plan.files[read.file].num_rows)
                order = _row_order(plan, read.file, table, path)[read.first_row : read.end_row]
                yield Block.of(
                    table, self._layout, order, memory, path, self._day(plan.files[read.file])
                )

    def _day(self, file: SampleFile) -> int:
        """The number of a file's day; 0 if it is not asked for."""
        return day_number(self._day_of_file[file.path]) if self._layout.with_days else 0

    def _path(self, plan: Plan, file: int) -> Path:
        return self._samples_path / plan.files[file].path


def _counts(
    columns: Mapping[str, NDArray[Any]], multiplicity: Multiplicity, file: SampleFile, seed: int,
    epoch: int,
) -> NDArray[np.int64]:
    """How often each row of a file takes part, from its first to the last one that may."""
    count_R = count_rows(columns, multiplicity, seed, epoch)
    return count_R if multiplicity.fake_negatives else count_R[: file.num_samples]


def _row_order(plan: Plan, file: int, table: pyarrow.Table, path: Path) -> NDArray[np.int64]:
    """The order of a decoded file's rows; of those that do not take part once, by their counts."""
    if plan.multiplicity.is_trivial:
        return plan.row_order(file)
    assert isinstance(plan, TrainPlan), "an evaluation takes every row once"
    columns = columns_of(table, plan.multiplicity.columns, path)
    count_R = _counts(columns, plan.multiplicity, plan.files[file], plan.seed, plan.epoch)
    if count_R.sum() != plan.rows_of_file[file]:
        raise InputError(
            f"{path}: {int(count_R.sum()):,} of its rows take part, {plan.rows_of_file[file]:,} "
            "were counted before the first step: it was replaced; train again"
        )
    return plan.row_order(file, count_R)


def _check_num_rows(path: Path, num_decoded: int, num_listed: int) -> None:
    """Petastorm has lost rows without an error before: no file passes uncounted."""
    if num_decoded != num_listed:
        raise InputError(
            f"{path}: {num_decoded:,} rows came from it, the manifest says {num_listed:,}: "
            "rebuild the samples of its day"
        )
