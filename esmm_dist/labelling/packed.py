"""Lists packed into one binary column, as Arrow holds them; four bytes a value, whatever its type.

Shape legend: N rows; V values of their lists.
"""

import numpy as np
import pyarrow as pa

from esmm_dist.labelling.wire import Array

VALUE_BYTES = 4


def packed_range(chunk: pa.BinaryArray) -> tuple[int, int]:
    """Where the bytes of an array's rows begin and end in its buffer of values."""
    offsets = np.frombuffer(chunk.buffers()[1] or bytes(4), np.int32)
    return int(offsets[chunk.offset]), int(offsets[chunk.offset + len(chunk)])


def lengths(column: pa.ChunkedArray) -> Array:
    """Bytes of each row, (N,) int32."""
    parts = [np.empty(0, np.int32)]
    for chunk in column.chunks:
        offsets = np.frombuffer(chunk.buffers()[1] or bytes(4), np.int32)
        parts.append(np.diff(offsets[chunk.offset : chunk.offset + len(chunk) + 1]))
    return np.concatenate(parts)


def packed_values(column: pa.ChunkedArray, kind: str) -> Array:
    """All values one after another, (V,), of a NumPy type of four bytes; bytes beyond the last
    whole value are left out."""
    parts = [np.empty(0, kind)]
    for chunk in column.chunks:
        first, end = packed_range(chunk)
        values = memoryview(chunk.buffers()[2] or b"")[first:end]
        parts.append(np.frombuffer(values[: len(values) // VALUE_BYTES * VALUE_BYTES], kind))
    return np.concatenate(parts)
