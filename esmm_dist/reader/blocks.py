"""A decoded file as a block of rows that are given out in another order than they lie in.

It knows no lane and no batch.

Ids lie in one contiguous matrix, so that shuffling moves a row of them at a time; Petastorm's own
loader shuffles column by column, which is most of what it costs.

Shape legend: R rows of the file; N rows given out; F single-valued features; V ids of one
multi-valued feature.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow
from numpy.typing import NDArray

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, MultiValuedFeature, weights_column

Matrix = NDArray[np.int32]

BYTES_PER_VALUE = 4
# 20 fields of so many rows fill a third of a MiB: less than a core's own cache.
ROWS_PER_TILE = 4096


@dataclass(frozen=True)
class Layout:
    """Which columns a block is made of."""

    single_valued: tuple[str, ...]
    multi_valued: tuple[str, ...]
    scalars: tuple[str, ...]
    """Labels, weight and keys."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """The columns of per-value weights, by the multi-valued columns that have one."""
    with_days: bool = False
    """Whether each row tells its day, which is no column: it is that of its file."""

    @classmethod
    def of(
        cls, features: Sequence[Feature], scalars: Iterable[str], with_days: bool = False
    ) -> Self:
        """The layout of declared features beside some labels and keys."""
        bags = [f for f in features if isinstance(f, MultiValuedFeature)]
        return cls(
            single_valued=tuple(f.name for f in features if not isinstance(f, MultiValuedFeature)),
            multi_valued=tuple(bag.name for bag in bags),
            scalars=tuple(scalars),
            weights={bag.name: weights_column(bag) for bag in bags if bag.weights is not None},
            with_days=with_days,
        )


class Memory:
    """Room for the ids of blocks, used again when a block is done with: the system hands out fresh
    memory several times more slowly than ids are written. One thread may take while another gives
    back."""

    def __init__(self, max_rows_of_file: int, max_rows_of_block: int, num_fields: int) -> None:
        self._shape = (max_rows_of_block, num_fields)
        self._free: list[Matrix] = []
        self.scratch = np.empty((max_rows_of_file, num_fields), np.int32)
        """For ids in the order of the file, while a block is made."""

    def take(self) -> Matrix:
        """A matrix with room for the rows of any block."""
        return self._free.pop() if self._free else np.empty(self._shape, np.int32)

    def give_back(self, matrix: Matrix) -> None:
        """Lets another block have the matrix."""
        self._free.append(matrix)


@dataclass(frozen=True)
class Ragged:
    """Ids of one multi-valued feature: row n owns ids_V[offsets_N1[n] : offsets_N1[n + 1]]."""

    ids_V: NDArray[np.int32]
    offsets_N1: NDArray[np.int32]
    weights_V: NDArray[np.float32] | None = None
    """What each id counts; None: 1 each."""

    def rows(self, first: int, end: int) -> "RaggedRows":
        """Some rows, next to each other."""
        offsets = self.offsets_N1[first : end + 1]
        some = slice(offsets[0], offsets[-1])
        weights_V = None if self.weights_V is None else self.weights_V[some]
        return RaggedRows(self.ids_V[some], np.diff(offsets), weights_V)


class RaggedRows(NamedTuple):
    """Some rows of a multi-valued feature."""

    ids_V: NDArray[np.int32]
    num_ids_N: NDArray[np.int32]
    """How many each row has."""
    weights_V: NDArray[np.float32] | None


@dataclass(frozen=True)
class Block:
    """Some rows of a file, in the order in which they are given out."""

    ids_NF: Matrix
    bags: tuple[Ragged, ...]
    """One a multi-valued feature."""
    scalars: Mapping[str, NDArray[Any]]
    """Labels, weight and keys (N,) by their names, as stored."""
    release: Callable[[], None]
    """To be called when the rows are no longer needed: ids_NF will hold those of another block."""
    day: int = 0
    """Of all its rows, as `contract.days.day_number` gives it; 0: not asked for."""

    @classmethod
    def of(
        cls, table: pyarrow.Table, layout: Layout, order_N: NDArray[np.int64], memory: Memory,
        path: Path, day: int = 0,
    ) -> Self:
        """Shuffles a decoded file, all at once while it lies in the processor's cache.

        Args:
            table: the decoded file.
            order_N: places in the file of the rows wanted.
            memory: where the ids will lie.
            path: names the file in errors.
            day: the day of the file, if it is asked for.

        Raises:
            InputError: a column holds nulls, or bytes that are no packed ids, or not as many
                weights as ids.
        """
        columns = {name: _without_nulls(table, name, path) for name in table.column_names}
        _interleave([columns[name].to_numpy() for name in layout.single_valued], memory.scratch)
        matrix = memory.take()
        ids_NF = matrix[: len(order_N)]
        # clip, because NumPy copies twice where it must check places; these come from the plan.
        np.take(memory.scratch, order_N, axis=0, out=ids_NF, mode="clip")
        return cls(
            ids_NF=ids_NF,
            bags=tuple(
                _ragged(columns, layout, order_N, name, path) for name in layout.multi_valued
            ),
            scalars={name: np.take(columns[name].to_numpy(), order_N) for name in layout.scalars},
            day=day,
            release=lambda: memory.give_back(matrix),
        )

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.ids_NF)


def columns_of(
    table: pyarrow.Table, names: Iterable[str], path: Path
) -> dict[str, NDArray[Any]]:
    """Some columns of a decoded file, as they are stored.

    Raises:
        InputError: one holds nulls.
    """
    return {name: _without_nulls(table, name, path).to_numpy() for name in names}


def _without_nulls(table: pyarrow.Table, name: str, path: Path) -> pyarrow.Array:
    chunks = table.column(name)
    if chunks.null_count:
        raise InputError(
            f"{path}: the column {name!r} holds {chunks.null_count:,} nulls: "
            "rebuild the samples of its day"
        )
    return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()


def _interleave(columns: Sequence[NDArray[np.int32]], out_RF: Matrix) -> None:
    """Writes columns side by side, some rows at a time, so that what is written stays cached."""
    num_rows = len(columns[0]) if columns else 0
    for first in range(0, num_rows, ROWS_PER_TILE):
        end = min(first + ROWS_PER_TILE, num_rows)
        for place, column in enumerate(columns):
            out_RF[first:end, place] = column[first:end]


def _ragged(
    columns: Mapping[str, pyarrow.Array], layout: Layout, order_N: NDArray[np.int64], name: str,
    path: Path,
) -> Ragged:
    """Unpacks little-endian int32 ids, some bytes a row, and their weights if there are any."""
    ids_V, offsets_N1 = _unpacked(columns[name], order_N, "<i4", name, path)
    if name not in layout.weights:
        return Ragged(ids_V, offsets_N1)
    weights = layout.weights[name]
    weights_V, weight_offsets_N1 = _unpacked(columns[weights], order_N, "<f4", weights, path)
    if not np.array_equal(offsets_N1, weight_offsets_N1):
        raise InputError(
            f"{path}: the column {weights!r} does not hold as many weights as {name!r} has ids: "
            "rebuild the samples of its day"
        )
    return Ragged(ids_V, offsets_N1, weights_V)


def _unpacked(
    packed: pyarrow.BinaryArray, order_N: NDArray[np.int64], dtype: str, name: str, path: Path
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """The numbers of four bytes each that some rows hold, and where each row's begin."""
    taken = packed.take(pyarrow.array(order_N))
    _, byte_offsets, data = taken.buffers()
    byte_offsets_N1 = np.frombuffer(byte_offsets, "<i4", len(taken) + 1)
    if (byte_offsets_N1 % BYTES_PER_VALUE).any():
        kind = "int32 ids" if dtype == "<i4" else "float32 weights"
        raise InputError(
            f"{path}: the column {name!r} holds bytes that are no packed {kind}: "
            "rebuild the samples of its day"
        )
    num_values = int(byte_offsets_N1[-1]) // BYTES_PER_VALUE
    values_V = np.frombuffer(data, dtype, num_values) if num_values else np.empty(0, dtype)
    return values_V, byte_offsets_N1 // BYTES_PER_VALUE
