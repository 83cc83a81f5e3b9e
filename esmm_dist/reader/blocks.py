"""A decoded file as a block of rows that are given out in another order than they lie in.

It knows no lane and no batch.

Ids lie in one contiguous matrix, so that shuffling moves a row of them at a time; Petastorm's own
loader shuffles column by column, which is most of what it costs.

Shape legend: R rows of the file; N rows given out; F single-valued features; V ids of one
multi-valued feature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow
from numpy.typing import NDArray

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, MultiValuedFeature

Columns = Mapping[str, NDArray[Any]]
Matrix = NDArray[np.int32]

BYTES_PER_ID = 4
# 20 fields of so many rows fill a third of a MiB: less than a core's own cache.
ROWS_PER_TILE = 4096


@dataclass(frozen=True)
class Layout:
    """Which columns a block is made of."""

    single_valued: tuple[str, ...]
    multi_valued: tuple[str, ...]
    scalars: Mapping[str, str]
    """The NumPy types of labels, weight and keys by their names."""

    @classmethod
    def of(cls, features: Sequence[Feature], scalars: Mapping[str, str]) -> Self:
        """The layout of declared features beside some labels and keys."""
        bags = tuple(f.name for f in features if isinstance(f, MultiValuedFeature))
        return cls(tuple(f.name for f in features if f.name not in bags), bags, scalars)

    @property
    def types(self) -> dict[str, str]:
        """The NumPy types of all columns but the packed ones by their names."""
        return {**self.scalars, **{name: "int32" for name in self.single_valued}}


@dataclass(frozen=True)
class Memory:
    """Room for the ids of one block after the other: memory used again is several times faster
    than memory that the system must hand out."""

    scratch_RF: Matrix
    """Ids in the order of the file; may be shared by all blocks."""
    ids_RF: Matrix
    """Ids in their final order; belongs to a block until another one is made in it."""


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
    scalars: Columns
    """Labels, weight and keys (N,) by their names, as stored."""

    @classmethod
    def of(
        cls, columns: Columns, layout: Layout, order_N: NDArray[np.int64], memory: Memory,
        path: Path,
    ) -> Self:
        """Shuffles a decoded file, all at once while it lies in the processor's cache.

        Args:
            columns: the decoded file.
            order_N: places in the file of the rows wanted.
            memory: is overwritten; ids stay in it.
            path: names the file in errors.

        Raises:
            InputError: a column holds nulls, or bytes that are no packed ids.
        """
        for name, type_name in layout.types.items():
            # Petastorm makes floats of integers among which stands a null.
            if columns[name].dtype != np.dtype(type_name):
                raise _holds_nulls(path, name)
        _interleave([columns[name] for name in layout.single_valued], memory.scratch_RF)
        ids_NF = memory.ids_RF[: len(order_N)]
        # clip, because NumPy copies twice where it must check places; these come from the plan.
        np.take(memory.scratch_RF, order_N, axis=0, out=ids_NF, mode="clip")
        return cls(
            ids_NF=ids_NF,
            bags=tuple(_ragged(columns[name], order_N, name, path) for name in layout.multi_valued),
            scalars={name: np.take(columns[name], order_N) for name in layout.scalars},
        )

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.ids_NF)


def _interleave(columns: Sequence[NDArray[np.int32]], out_RF: Matrix) -> None:
    """Writes columns side by side, some rows at a time, so that what is written stays cached."""
    num_rows = len(columns[0]) if columns else 0
    for first in range(0, num_rows, ROWS_PER_TILE):
        end = min(first + ROWS_PER_TILE, num_rows)
        for place, column in enumerate(columns):
            out_RF[first:end, place] = column[first:end]


def _ragged(
    values: NDArray[np.object_], order_N: NDArray[np.int64], name: str, path: Path
) -> Ragged:
    """Unpacks little-endian int32 ids, one bytes object a row."""
    packed = pyarrow.array(values, pyarrow.binary())
    if packed.null_count:
        raise _holds_nulls(path, name)
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


def _holds_nulls(path: Path, name: str) -> InputError:
    return InputError(
        f"{path}: the column {name!r} holds nulls: rebuild the samples of its day"
    )
