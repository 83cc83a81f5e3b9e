"""The model's inputs out of what holds ids: rows, batches of the reader, and Arrow's columns.

It encodes nothing: ids come in, and go out in the shapes of `contract.exported`.

Shape legend: B rows; L ids of a row; V values of all rows of one list.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.exported import ModelInput
from esmm_dist.contract.features import Feature, MultiValuedFeature, weights_column

Row = Sequence[int] | Sequence[float]
"""The ids, or the weights, that one row has for one input."""
Arrays = Mapping[str, NDArray[Any]]

DTYPES: Mapping[str, Any] = {"int32": np.int32, "float32": np.float32}


def padded(lengths_B: NDArray[Any], values_V: NDArray[Any]) -> NDArray[Any]:
    """Lists that lie one after another as rows that end in zeros, (B, L) with L the longest."""
    length = int(lengths_B.max(initial=0))
    rows_BL = np.zeros((len(lengths_B), length), values_V.dtype)
    rows_BL[np.arange(length) < lengths_B[:, None]] = values_V
    return rows_BL


def of_rows(one: ModelInput, rows: Sequence[Row]) -> NDArray[Any]:
    """One input from what each row has for it."""
    if one.max_length is None:
        return np.array(rows, DTYPES[one.type]).reshape(-1, 1)
    lengths_B = np.array([len(row) for row in rows], np.int64)
    values_V = np.array([value for row in rows for value in row], DTYPES[one.type])
    return padded(lengths_B, values_V)


def of_batch(batch: Batch, features: Sequence[Feature]) -> dict[str, NDArray[Any]]:
    """The inputs that stand for a batch of the reader, its padded rows among them."""
    inputs: dict[str, NDArray[Any]] = {}
    columns, bags = iter(batch.ids_BF.T), iter(batch.bags)
    for feature in features:
        if not isinstance(feature, MultiValuedFeature):
            inputs[feature.name] = _single(next(columns).numpy())
            continue
        bag = next(bags)
        lengths_B = bag.offsets_B1.diff().numpy()
        inputs[feature.name] = padded(lengths_B, bag.ids_V.numpy().astype(np.int32, copy=False))
        if feature.weights is not None:
            assert bag.weights_V is not None
            inputs[weights_column(feature)] = padded(lengths_B, bag.weights_V.numpy())
    return inputs


def of_arrow(rows: pa.RecordBatch, inputs: Sequence[ModelInput]) -> dict[str, NDArray[Any]]:
    """The inputs that columns of ids stand for, without a loop over rows.

    Args:
        rows: a column for each input, without nulls: int32, or for a list binary that packs four
            bytes a value, or a list of floats.
    """
    return {
        one.name: (
            _list(rows.column(one.name), DTYPES[one.type]) if one.max_length
            else _single(rows.column(one.name).to_numpy(zero_copy_only=False))
        )
        for one in inputs
    }


def _single(ids_B: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(ids_B, np.int32).reshape(-1, 1)


def _list(column: pa.Array, dtype: Any) -> NDArray[Any]:
    """Packed values, or Arrow's own lists of them, which lie in memory alike."""
    if not len(column):
        return np.zeros((0, 0), dtype)
    is_packed = pa.types.is_binary(column.type)
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
    if is_packed:
        ends = ends // np.dtype(dtype).itemsize
        values_V = np.frombuffer(column.buffers()[2] or b"", dtype)
    else:
        values_V = column.values.to_numpy(zero_copy_only=False)
    return padded(np.diff(ends), values_V[ends[0] : ends[-1]])
