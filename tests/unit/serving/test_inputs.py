"""The model's inputs out of batches and of Arrow's columns, against loops over rows."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from esmm_dist.contract.exported import inputs_of
from esmm_dist.serving.inputs import of_arrow, of_batch, padded
from tests.factories.random_batches import FEATURES
from tests.factories.served_models import batch_of_values

ROWS: dict[str, list[Any]] = {
    "user": [3, 4, 0, 1],
    "tags": [[1, 2], [], [2, 1, 2], [1]],
    "history": [[], [7, 9], [8], []],
    "history_weights": [[], [0.5, -2.0], [1.0], []],
    "item": [1, 2, 3, 4],
    "last_item": [0, 0, 1, 1],
}


def arrow_rows() -> pa.RecordBatch:
    """As Spark's expressions leave them: ids packed, weights as lists."""
    def packed(rows: list[list[int]]) -> pa.Array:
        return pa.array([np.array(row, "<i4").tobytes() for row in rows], pa.binary())

    return pa.RecordBatch.from_pydict({
        "user": pa.array(ROWS["user"], pa.int32()),
        "tags": packed(ROWS["tags"]),
        "history": packed(ROWS["history"]),
        "history_weights": pa.array(ROWS["history_weights"], pa.list_(pa.float32())),
        "item": pa.array(ROWS["item"], pa.int32()),
        "last_item": pa.array(ROWS["last_item"], pa.int32()),
    })


@pytest.mark.parametrize(("first", "num_rows"), [(0, 4), (1, 2), (3, 1), (1, 1)])
def test_arrows_columns_become_rows_that_end_in_zeros(first: int, num_rows: int) -> None:
    """A slice shares its buffers with the rows around it."""
    found = of_arrow(arrow_rows().slice(first, num_rows), inputs_of(FEATURES))
    for name, rows in ROWS.items():
        rows = rows[first : first + num_rows]
        lists = [row if isinstance(row, list) else [row] for row in rows]
        length = max(map(len, lists))
        assert found[name].tolist() == [[*row, *[0] * (length - len(row))] for row in lists], name
        assert found[name].shape == (num_rows, length)
        assert found[name].dtype == (np.float32 if name == "history_weights" else np.int32)


def test_no_rows_have_every_input_all_the_same() -> None:
    found = of_arrow(arrow_rows().slice(2, 0), inputs_of(FEATURES))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(ROWS, 0)


def test_a_batch_of_the_reader_becomes_the_same_rows() -> None:
    batch = batch_of_values(7)
    found = of_batch(batch, FEATURES)
    assert list(found) == [one.name for one in inputs_of(FEATURES)]
    assert np.column_stack([found[n] for n in ("user", "item", "last_item")]).tolist() == (
        batch.ids_BF.tolist()
    )
    for bag, name in zip(batch.bags, ("tags", "history")):
        bounds = list(zip(bag.offsets_B1[:-1].tolist(), bag.offsets_B1[1:].tolist()))
        for row, (start, end) in zip(found[name], bounds):
            assert row[: end - start].tolist() == bag.ids_V[start:end].tolist()
            assert not row[end - start :].any()
    weights_V = batch.bags[1].weights_V
    assert weights_V is not None
    given = found["history_weights"][found["history"] > 0]
    assert given.tolist() == weights_V.tolist()


def test_lists_without_any_value_are_of_length_zero() -> None:
    assert padded(np.zeros(3, np.int64), np.empty(0, np.int32)).shape == (3, 0)
