"""Columns to shuffled blocks: every value where the order puts it, nothing wrong let through."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.schema import KEY_COLUMNS, LABEL_COLUMNS
from esmm_dist.reader import blocks
from esmm_dist.reader.blocks import Block, Columns, Layout, Memory
from tests.factories.numbered_samples import FEATURES, expected_row, sample_table

LAYOUT = Layout.of(FEATURES, LABEL_COLUMNS | KEY_COLUMNS)
PATH = Path("day=2025-12-01/part-00000.parquet")


def columns_of(num_rows: int) -> dict[str, NDArray[Any]]:
    table = sample_table(range(num_rows))
    return {name: table[name].to_pandas().to_numpy() for name in table.column_names}


def block_of(columns: Columns, order: list[int], layout: Layout = LAYOUT) -> Block:
    shape = (len(columns["click"]), len(layout.single_valued))
    memory = Memory(np.full(shape, -1, np.int32), np.full(shape, -1, np.int32))
    return Block.of(columns, layout, np.array(order, np.int64), memory, PATH)


def check_rows(block: Block, sample_ids: list[int]) -> None:
    assert block.scalars["sample_id"].tolist() == sample_ids
    rows = [expected_row(sample_id) for sample_id in sample_ids]
    assert block.ids_NF.tolist() == [list(row.ids) for row in rows]
    for name in ("click", "conversion", "weight", "group_id"):
        assert block.scalars[name].tolist() == [getattr(row, name) for row in rows]
    for place, bag in enumerate(block.bags):
        ids, lengths = bag.rows(0, block.num_rows)
        assert lengths.tolist() == [len(row.bags[place]) for row in rows]
        assert ids.tolist() == [i for row in rows for i in row.bags[place]]


@given(st.integers(1, 30), st.data())
def test_a_block_holds_the_rows_of_its_order(num_rows: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(num_rows)))
    part = order[: data.draw(st.integers(0, num_rows))]
    check_rows(block_of(columns_of(num_rows), part), part)


def test_rows_of_more_than_one_tile_are_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROWS_PER_TILE", 8)
    order = list(reversed(range(27)))
    check_rows(block_of(columns_of(27), order), order)


def test_memory_is_used_again_and_only_by_the_next_block() -> None:
    memory = Memory(np.empty((20, 3), np.int32), np.empty((20, 3), np.int32))
    first = Block.of(columns_of(20), LAYOUT, np.arange(20), memory, PATH)
    second = Block.of(columns_of(10), LAYOUT, np.arange(9, -1, -1), memory, PATH)
    check_rows(second, list(reversed(range(10))))
    assert np.shares_memory(first.ids_NF, second.ids_NF)


def test_features_that_are_all_multi_valued_leave_an_empty_matrix() -> None:
    layout = Layout.of([FEATURES[1]], LABEL_COLUMNS)
    block = block_of(columns_of(5), [4, 0], layout)
    assert block.ids_NF.shape == (2, 0)
    ids, _ = block.bags[0].rows(0, 2)
    assert ids.tolist() == [*expected_row(4).bags[0], *expected_row(0).bags[0]]


def test_bags_that_are_all_empty_have_no_ids() -> None:
    columns = columns_of(3) | {"tags": np.array([b"", b"", b""], object)}
    ids, lengths = block_of(columns, [2, 1, 0]).bags[0].rows(0, 3)
    assert (ids.tolist(), lengths.tolist()) == ([], [0, 0, 0])


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("item", np.array([1.0, np.nan, 3.0]), "holds nulls"),
        ("click", np.array([1.0, np.nan, 0.0]), "holds nulls"),
        ("tags", np.array([b"", None, b"abcd"], object), "holds nulls"),
        ("tags", np.array([b"", b"abc", b"abcd"], object), "no packed int32 ids"),
        ("tags", np.array([b"a", b"abc", b"abcd"], object), "no packed int32 ids"),
    ],
)
def test_a_wrong_column_is_refused_by_file_and_name(
    name: str, values: NDArray[Any], reason: str
) -> None:
    with pytest.raises(InputError, match=rf"part-00000.parquet: the column '{name}' .*{reason}"):
        block_of(columns_of(3) | {name: values}, [0, 1, 2])
