"""A decoded file as a block of rows that are given out in another order than they lie in.

It knows no lane and no batch.

Ids lie in one contiguous matrix, so that shuffling moves a row of them at a time; Petastorm's own
loader shuffles column by column, which is most of what it costs.

Shape legend: R rows of the file; N rows given out; F single-valued features; V ids of one
multi-valued feature.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow
from numpy.typing import NDArray

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, MultiValuedFeature

Matrix = NDArray[np.int32]

BYTES_PER_ID = 4
# 20 fields of so many rows fill a third of a MiB: less than a core's own cache.
ROWS_PER_TILE = 4096


@dataclass(frozen=True)
class Layout:
    """Which columns a block is made of."""

    single_valued: tuple[str, ...]
    multi_valued: tuple[str, ...]
    scalars: tuple[str, ...]
    """Labels, weight and keys."""

    @classmethod
    def of(cls, features: Sequence[Feature], scalars: Iterable[str]) -> Self:
        """The layout of declared features beside some labels and keys."""
        bags = tuple(f.name for f in features if isinstance(f, MultiValuedFeature))
        return cls(tuple(f.name for f in features if f.name not in bags), bags, tuple(scalars))


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

    def rows(self, first: int, end: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The ids (V,) of some rows, and how many each row has (end - first,)."""
        offsets = self.offsets_N1[first : end + 1]
        return self.ids_V[offsets[0] : offsets[-1]], np.diff(offsets)


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

    @classmethod
    def of(
        cls, table: pyarrow.Table, layout: Layout, order_N: NDArray[np.int64], memory: Memory,
        path: Path,
    ) -> Self:
        """Shuffles a decoded file, all at once while it lies in the processor's cache.

        Args:
            table: the decoded file.
            order_N: places in the file of the rows wanted.
            memory: where the ids will lie.
            path: names the file in errors.

        Raises:
            InputError: a column holds nulls, or bytes that are no packed ids.
        """
        columns = {name: _without_nulls(table, name, path) for name in table.column_names}
        _interleave([columns[name].to_numpy() for name in layout.single_valued], memory.scratch)
        matrix = memory.take()
        ids_NF = matrix[: len(order_N)]
        # clip, because NumPy copies twice where it must check places; these come from the plan.
        np.take(memory.scratch, order_N, axis=0, out=ids_NF, mode="clip")
        return cls(
            ids_NF=ids_NF,
            bags=tuple(_ragged(columns[name], order_N, name, path) for name in layout.multi_valued),
            scalars={name: np.take(columns[name].to_numpy(), order_N) for name in layout.scalars},
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
    packed: pyarrow.BinaryArray, order_N: NDArray[np.int64], name: str, path: Path
) -> Ragged:
    """Unpacks little-endian int32 ids, some bytes a row."""
    taken = packed.take(pyarrow.array(order_N))
    _, byte_offsets, data = taken.buffers()
    byte_offsets_N1 = np.frombuffer(byte_offsets, "<i4", len(taken) + 1)
    if (byte_offsets_N1 % BYTES_PER_ID).any():
        raise InputError(
            f"{path}: the column {name!r} holds bytes that are no packed int32 ids: "
            "rebuild the samples of its day"
        )
    num_ids = int(byte_offsets_N1[-1]) // BYTES_PER_ID
    ids_V = np.frombuffer(data, "<i4", num_ids) if num_ids else np.empty(0, np.int32)
    return Ragged(ids_V, byte_offsets_N1 // BYTES_PER_ID)
