"""The hash of a file's values depends on all of them and on nothing else."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from esmm_dist.labelling.content import content_hash

ROWS = 1000


def table(**changed: object) -> pa.Table:
    columns = {
        "id": pa.array(np.arange(ROWS), pa.int64()),
        "click": pa.array(np.arange(ROWS) % 2, pa.int8()),
        "tags": pa.array([np.arange(n % 3, dtype="<i4").tobytes() for n in range(ROWS)]),
    }
    return pa.table(columns | changed)


def test_it_is_xxh64_of_the_bytes_that_the_docstring_names() -> None:
    rows = pa.table({"n": pa.array([1, -1], pa.int32()), "p": pa.array([b"ab", b"", b"c"][:2])})
    said = b"\x01\0\0\0" + b"\xff\xff\xff\xff" + b"\x02\0\0\0\0\0\0\0" + b"ab"
    assert content_hash(rows) == xxhash.xxh64_hexdigest(said)


def test_chunks_slices_and_parquet_change_nothing() -> None:
    whole = table()
    expected = content_hash(whole)
    parts = pa.concat_tables([whole.slice(0, 300), whole.slice(300, 1), whole.slice(301)])
    assert parts["tags"].num_chunks == 3
    assert content_hash(parts) == expected
    sink = pa.BufferOutputStream()
    pq.write_table(whole, sink, compression="zstd", row_group_size=77)
    assert content_hash(pq.read_table(pa.BufferReader(sink.getvalue()))) == expected
    assert content_hash(whole.slice(0, 0)) == xxhash.xxh64_hexdigest(b"")


def test_any_change_of_a_value_changes_it() -> None:
    found = {content_hash(table())}
    ids = np.arange(ROWS)
    ids[500] ^= 1 << 40
    found.add(content_hash(table(id=pa.array(ids))))
    lists = table()["tags"].to_pylist()
    found.add(content_hash(table(tags=pa.array([*lists[:-1], lists[-1] + b"x"]))))
    # The same bytes, parted otherwise: row 1 holds four bytes, row 2 eight.
    moved = [lists[0], lists[1] + lists[2][:4], lists[2][4:], *lists[3:]]
    assert b"".join(moved) == b"".join(lists)
    found.add(content_hash(table(tags=pa.array(moved))))
    assert len(found) == 4
