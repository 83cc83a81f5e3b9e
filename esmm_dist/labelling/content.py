"""The values of a sample file as one number, whatever Parquet makes of them.

pyarrow 14 writes no page checksums, so a flipped byte may decode to another id without an error;
the hash of what was written, kept in the footer and in the manifest, tells.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from esmm_dist.labelling.packed import packed_range

CONTENT_HASH = "esmm_dist.content_hash"


def content_hash(table: pa.Table) -> str:
    """XXH64 (seed 0, hexadecimal) of the columns one after another: the little-endian values; of
    packed columns the lengths in bytes, as int32, and then the bytes of all rows.

    Args:
        table: columns of fixed width or binary, without nulls.
    """
    state = xxhash.xxh64()
    for column in table.columns:
        for part in _bytes_of(column):
            state.update(part)
    return str(state.hexdigest())


def _bytes_of(column: pa.ChunkedArray) -> Iterator[memoryview]:
    if not pa.types.is_binary(column.type):
        yield from (_view(chunk.to_numpy()) for chunk in column.chunks)
        return
    yield from (_view(pc.binary_length(chunk).to_numpy()) for chunk in column.chunks)
    for chunk in column.chunks:
        first, end = packed_range(chunk)
        yield memoryview(chunk.buffers()[2] or b"")[first:end]


def _view(array: npt.NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).view(np.uint8).data
