"""A file that breaks a rule is told by that rule, and a whole one by none."""

import json
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from esmm_dist.contract.features import (
    CategoricalFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
    VocabularyEncoding,
)
from esmm_dist.contract.profile import DELAY_EDGES_S
from esmm_dist.contract.schema import column_types
from esmm_dist.labelling.content import CONTENT_HASH, content_hash
from esmm_dist.labelling.labels import mixed
from esmm_dist.labelling.sample_file import TALLY
from esmm_dist.samples.inspector import Inspector, Listed, Report

PATH, DAY, SEED, ROWS = "day=2026-03-01/build=b/00000.parquet", date(2026, 3, 1), 3, 64
FEATURES: tuple[Feature, ...] = (
    CategoricalFeature(name="item", group=Group.ITEM, encode=HashEncoding(hash_size=5)),
    CategoricalFeature(name="color", group=Group.ITEM, encode=VocabularyEncoding(min_count=1)),
    MultiValuedFeature(
        name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM, max_length=3, weights="w",
        encode=VocabularyEncoding(min_count=1),
    ),
)
NUM_IDS = {"item": 5, "color": 4, "tags": 6}
ARROW_TYPES = {
    "int64": pa.int64(), "int32": pa.int32(), "int8": pa.int8(), "float32": pa.float32(),
    "binary": pa.binary(),
}
TYPES = column_types(FEATURES, ["conversion_value"])
KINDS = {name: ARROW_TYPES[kind] for name, kind in TYPES.items()}
Column = list[Any]


def packed(*ids: int) -> bytes:
    return np.array(ids, "<i4").tobytes()


def columns() -> dict[str, Column]:
    ids = np.arange(ROWS, dtype=np.int64)
    return {
        "sample_id": ids[np.argsort(mixed(ids, SEED))].tolist(),
        "group_id": [n % 7 for n in range(ROWS)],
        "click": [int(n % 2 == 0) for n in range(ROWS)],
        "conversion": [int(n % 4 == 0) for n in range(ROWS)],
        "weight": [1.0] * ROWS,
        "click_delay_s": [60 if n % 2 == 0 else -1 for n in range(ROWS)],
        "conversion_delay_s": [n * 86_400 if n % 4 == 0 else -1 for n in range(ROWS)],
        "observed_s": [172_800] * ROWS,
        "mature": [1] * ROWS,
        "item": [n % 5 for n in range(ROWS)],
        "color": [n % 4 for n in range(ROWS)],
        "tags": [packed(*[1, 5, 2][: n % 4]) for n in range(ROWS)],
        "tags_weights": [np.ones(n % 4, "<f4").tobytes() for n in range(ROWS)],
        "conversion_value": [n * 1.5 if n % 4 == 0 else 0.0 for n in range(ROWS)],
    }


def file_of(
    found: dict[str, Column], types: dict[str, pa.DataType] = KINDS,
    counted: dict[str, int] | None = None, **options: Any,
) -> tuple[bytes, str]:
    """A file of these columns, and the hash of its values."""
    table = pa.table({name: pa.array(values, types[name]) for name, values in found.items()})
    written = content_hash(table) if not any(c.null_count for c in table.columns) else "none"
    tally = {"impressions_out": len(table), "samples_clicked": sum(found["click"]),
             "samples_converted": sum(found["conversion"])} | (counted or {})
    notes = {TALLY: json.dumps(tally), CONTENT_HASH: written}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(notes), sink, use_dictionary=False, **options)
    return sink.getvalue().to_pybytes(), written


def inspector_of(listed: Listed) -> Inspector:
    return Inspector(FEATURES, TYPES, NUM_IDS, SEED, {PATH: listed})


def look(file: bytes, written: str | None, rows_listed: int = ROWS) -> Report:
    """The report of a file that is listed with a hash of values."""
    inspector = inspector_of(Listed(DAY, rows_listed, written))
    return inspector.look(PATH, pa.py_buffer(file))[0]


def findings(found: dict[str, Column], rows_listed: int = ROWS, **options: Any) -> list[str]:
    whats: list[str] = look(*file_of(found, **options), rows_listed)["findings"]
    return whats


def first(name: str, value: Any) -> dict[str, Column]:
    """The columns with another value in one's first row."""
    changed = columns()
    changed[name][0] = value
    if name == "tags":
        changed["tags_weights"][0] = bytes(len(value))
    return changed


def first_without_click() -> dict[str, Column]:
    return first("click", 0) | {"click_delay_s": [-1, *columns()["click_delay_s"][1:]]}


@pytest.mark.parametrize(
    ("unclicked", "clicked", "told"),
    [(4.0, 1.0, []), (1 / 0.3, 1.0, None), (1.0, 1.0, None), (4.0, 4.0, None)],
)
def test_weights_have_to_make_up_for_the_samples_that_were_left_out(
    unclicked: float, clicked: float, told: list[str] | None
) -> None:
    found = columns()
    found["weight"] = [clicked if click else unclicked for click in found["click"]]
    file, written = file_of(found)
    listed = Listed(DAY, ROWS, written, unclicked_rate=0.25)
    report, _ = inspector_of(listed).look(PATH, pa.py_buffer(file))
    if told is None:
        told = [f"{ROWS // 2} rows have a weight that does not make up for the 0.25 of the "
                "un-clicked that were kept"]
    assert report["findings"] == told


def second(name: str, value: Any) -> dict[str, Column]:
    changed = columns()
    changed[name][1] = value
    return changed


def test_nothing_is_found_in_a_whole_file_and_all_of_it_is_counted() -> None:
    report = look(*file_of(columns()))
    assert report["findings"] == []
    assert (report["num_rows"], report["num_clicks"], report["num_conversions"]) == (64, 32, 16)
    assert dict(zip(DELAY_EDGES_S, report["delays"]["click_delay_s"]))[60] == 32
    delays = report["delays"]["conversion_delay_s"]
    assert (delays[0], sum(delays), delays[-1]) == (1, 16, 8), "32 to 60 days lie beyond the last"
    assert report["columns"] == {
        "group_id": {"num_values": 64, "num_known": 54, "num_null_rows": 10, "num_unknown": 0},
        "item": {"num_values": 64, "num_known": 51, "num_null_rows": 13, "num_unknown": 0},
        "color": {"num_values": 64, "num_known": 32, "num_null_rows": 16, "num_unknown": 16},
        "tags": {"num_values": 96, "num_known": 48, "num_null_rows": 16, "num_unknown": 48},
    }


def test_ids_are_counted_where_they_are_neither_null_nor_unknown() -> None:
    content = pa.array([file_of(columns())[0]])
    batch = pa.RecordBatch.from_arrays([pa.array([f"file:/x/{PATH}"]), content],
                                       ["path", "content"])
    inspector = inspector_of(Listed(DAY, ROWS, None))
    rows = pa.Table.from_batches(inspector([batch])).to_pylist()
    counts = {
        (inspector.counted[row["place"]], row["id"]): row["num_values"]
        for row in rows if row["report"] is None
    }
    assert {id_: n for (name, id_), n in counts.items() if name == "item"} == {
        1: 13, 2: 13, 3: 13, 4: 12}
    assert {id_: n for (name, id_), n in counts.items() if name == "color"} == {2: 16, 3: 16}
    assert {id_: n for (name, id_), n in counts.items() if name == "tags"} == {5: 32, 2: 16}
    assert {row["day"] for row in rows if row["report"] is None} == {DAY.toordinal()}


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (first("item", 5), "1 ids of item lie outside its table of 5"),
        (first("item", -1), "1 ids of item lie outside its table of 5"),
        (first("tags", packed(6)), "1 ids in lists of tags lie outside 1 and 6"),
        (first("tags", packed(0)), "1 ids in lists of tags lie outside 1 and 6"),
        (first("tags", packed(1, 1, 1, 1)), "1 lists of tags are longer than max_length 3"),
        (first("tags", b"abc"), "1 lists of tags are no whole number of ids"),
        (second("click", 2), "1 rows have a click that is not 0 or 1"),
        (second("conversion", -1), "1 rows have a conversion that is not 0 or 1"),
        (first_without_click(), "1 rows have a conversion without a click"),
        (first("weight", 0.0), "1 rows have a weight that is not above 0"),
        (first("weight", float("nan")), "1 rows have a weight that is not above 0"),
        (first("weight", float("inf")), "1 rows have a weight that is not above 0"),
        (first("mature", 2), "1 rows have a mature that is not 0 or 1"),
        (first("observed_s", -1), "1 rows have observed_s below 0"),
        (first("click_delay_s", -2), "1 rows have a click_delay_s that no click explains"),
        (second("click_delay_s", 5), "1 rows have a click_delay_s that no click explains"),
        (second("conversion_delay_s", 5),
         "1 rows have a conversion_delay_s that no conversion explains"),
        (second("conversion_value", 5.0),
         "1 rows have a conversion_value that no conversion explains"),
        (first("conversion_value", float("nan")),
         "1 rows have a conversion_value that no conversion explains"),
        (first("tags_weights", b"\0\0\0\0"), "1 lists of tags_weights are not as long as tags"),
        (second("tags_weights", np.array([np.nan], "<f4").tobytes()),
         "1 values of tags_weights are no finite numbers"),
        (first("item", None), "the column 'item' holds 1 nulls"),
    ],
)
def test_a_value_that_no_reader_expects_is_found(spoilt: dict[str, Column], words: str) -> None:
    assert findings(spoilt) == [words]


def test_rows_in_another_order_and_rows_that_stand_twice_are_found() -> None:
    exchanged = {name: [v[1], v[0], *v[2:]] for name, v in columns().items()}
    assert findings(exchanged) == ["1 rows do not follow in the seeded order"]
    twice = {name: [v[0], *v] for name, v in columns().items()}
    assert findings(twice, rows_listed=65) == ["1 rows do not follow in the seeded order"]


def test_another_shape_is_found_before_any_value_is_looked_at() -> None:
    assert findings(columns(), rows_listed=65) == ["holds 64 rows, the manifest says 65"]
    assert findings(columns(), row_group_size=40) == ["holds 2 row groups instead of one"]
    (what,) = findings(columns(), types=KINDS | {"item": pa.int64()})
    assert what.startswith("its columns are ") and "item int64" in what
    without = columns()
    del without["color"]
    (what,) = findings(without)
    assert "the manifest says" in what and "color int32" in what


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_flipped_bit_that_changes_a_value_never_passes(compression: str) -> None:
    """Pages carry no checksums: most flips decode to other values without an error."""
    whole, written = file_of(columns(), compression=compression)
    rows = pq.read_table(pa.BufferReader(whole))
    num_found = 0
    for place in range(4, len(whole) - 8, 29):
        spoilt = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:]
        if look(spoilt, written)["findings"]:
            num_found += 1
        else:
            assert pq.read_table(pa.BufferReader(spoilt)).equals(rows), place
    assert num_found > 40


@pytest.mark.parametrize("name", ["impressions_out", "samples_clicked", "samples_converted"])
def test_a_footer_that_counts_other_rows_is_told(name: str) -> None:
    (what,) = findings(columns(), counted={name: 7})
    assert what.startswith(f"its footer counts {name} 7, its rows are ")


def test_a_footer_whose_counts_cannot_be_read_is_told() -> None:
    whole, written = file_of(columns())
    spoilt = whole.replace(b'{"impressions_out": 64', b'{"impressions_out":!64')
    assert look(spoilt, written)["findings"] == ["its footer holds no counts that can be read"]


def test_bytes_without_meaning_are_told_as_such() -> None:
    (what,) = look(b"PAR1" + bytes(2000) + b"PAR1", None)["findings"]
    assert what.startswith("cannot be decoded (")
