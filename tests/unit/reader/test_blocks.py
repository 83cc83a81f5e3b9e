"""Columns to shuffled blocks: every value where the order puts it, nothing wrong let through."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.schema import KEY_COLUMNS, LABEL_COLUMNS
from esmm_dist.reader import blocks
from esmm_dist.reader.blocks import Block, Layout, Memory
from tests.factories.numbered_samples import FEATURES, expected_row, expected_weights, sample_table

LAYOUT = Layout.of(FEATURES, (*LABEL_COLUMNS, *KEY_COLUMNS))
PATH = Path("day=2025-12-01/part-00000.parquet")


def block_of(table: pa.Table, order: list[int], layout: Layout = LAYOUT) -> Block:
    memory = Memory(table.num_rows, table.num_rows, len(layout.single_valued))
    return Block.of(table, layout, np.array(order, np.int64), memory, PATH)


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    field = table.schema.field(name)
    return table.set_column(table.column_names.index(name), name, pa.array(values, field.type))


def check_rows(block: Block, sample_ids: list[int]) -> None:
    assert block.scalars["sample_id"].tolist() == sample_ids
    rows = [expected_row(sample_id) for sample_id in sample_ids]
    assert block.ids_NF.tolist() == [list(row.ids) for row in rows]
    for name in ("click", "conversion", "weight", "group_id"):
        assert block.scalars[name].tolist() == [getattr(row, name) for row in rows]
    for place, bag in enumerate(block.bags):
        part = bag.rows(0, block.num_rows)
        assert part.num_ids_N.tolist() == [len(row.bags[place]) for row in rows]
        assert part.ids_V.tolist() == [i for row in rows for i in row.bags[place]]
        weights = None if part.weights_V is None else part.weights_V.tolist()
        assert weights == expected_weights(rows, place)


@given(st.integers(1, 30), st.data())
def test_a_block_holds_the_rows_of_its_order(num_rows: int, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(num_rows)))
    part = order[: data.draw(st.integers(0, num_rows))]
    check_rows(block_of(sample_table(range(num_rows)), part), part)


def test_rows_of_more_than_one_tile_are_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROWS_PER_TILE", 8)
    order = list(reversed(range(27)))
    check_rows(block_of(sample_table(range(27)), order), order)


def test_memory_is_used_again_once_it_is_released_and_not_before() -> None:
    memory = Memory(20, 20, 3)
    first, second = (
        Block.of(sample_table(range(num_rows)), LAYOUT, np.arange(num_rows), memory, PATH)
        for num_rows in (20, 15)
    )
    check_rows(first, list(range(20)))
    check_rows(second, list(range(15)))
    first.release()
    third = Block.of(sample_table(range(10)), LAYOUT, np.arange(9, -1, -1), memory, PATH)
    check_rows(second, list(range(15)))
    check_rows(third, list(reversed(range(10))))
    assert np.shares_memory(first.ids_NF, third.ids_NF)


def test_features_that_are_all_multi_valued_leave_an_empty_matrix() -> None:
    layout = Layout.of([FEATURES[1]], LABEL_COLUMNS)
    block = block_of(sample_table(range(5)).select(["tags", *LABEL_COLUMNS]), [4, 0], layout)
    assert block.ids_NF.shape == (2, 0)
    ids_V = block.bags[0].rows(0, 2).ids_V
    assert ids_V.tolist() == [*expected_row(4).bags[0], *expected_row(0).bags[0]]


def test_bags_that_are_all_empty_have_no_ids() -> None:
    table = with_column(sample_table(range(3)), "tags", [b"", b"", b""])
    ids_V, num_ids_N, weights_V = block_of(table, [2, 1, 0]).bags[0].rows(0, 3)
    assert (ids_V.tolist(), num_ids_N.tolist(), weights_V) == ([], [0, 0, 0], None)


def test_a_table_in_several_pieces_is_one_block() -> None:
    table = sample_table(range(20))
    pieces = pa.concat_tables([table.slice(0, 7), table.slice(7, 1), table.slice(8)])
    assert pieces.column("tags").num_chunks == 3
    order = list(range(19, -1, -1))
    check_rows(block_of(pieces, order), order)


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("item", [1, None, 3], "holds 1 nulls"),
        ("click", [None, 1, None], "holds 2 nulls"),
        ("tags", [b"", None, b"abcd"], "holds 1 nulls"),
        ("tags", [b"", b"abc", b"abcd"], "holds bytes that are no packed int32 ids"),
        ("tags", [b"a", b"abc", b"abcd"], "holds bytes that are no packed int32 ids"),
        ("words_weights", [b"abcd", b"abc", b""], "holds bytes that are no packed float32 weights"),
        ("words_weights", [b"", b"abcd", b""], "does not hold as many weights as 'words' has ids"),
    ],
)
def test_a_wrong_column_is_refused_by_file_and_name(
    name: str, values: list[Any], reason: str
) -> None:
    with pytest.raises(InputError, match=rf"part-00000.parquet: the column '{name}' {reason}"):
        block_of(with_column(sample_table(range(3)), name, values), [0, 1, 2])
