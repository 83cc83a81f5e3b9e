"""Files against the manifest, before a row is decoded."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import SampleFile
from esmm_dist.contract.schema import column_types
from esmm_dist.reader.footers import check_file
from tests.factories.numbered_samples import FEATURES, sample_table, write_file

TYPES = column_types(FEATURES)
TABLE = sample_table(range(20))


def refusal(folder: Path, file: SampleFile) -> str:
    with pytest.raises(InputError) as caught:
        check_file(folder / file.path, file, TYPES)
    message = str(caught.value)
    assert message.startswith(f"{folder / file.path}: ") and "\n" not in message
    assert message.endswith("rebuild the samples of its day")
    return message


def with_column(name: str, values: list[Any], type_: pa.DataType) -> pa.Table:
    return TABLE.set_column(TABLE.column_names.index(name), name, pa.array(values, type_))


def test_a_sound_file_passes(tmp_path: Path) -> None:
    file = write_file(tmp_path, "a.parquet", TABLE)
    check_file(tmp_path / "a.parquet", file, TYPES)


def test_columns_beyond_those_wanted_are_none_of_our_business(tmp_path: Path) -> None:
    table = TABLE.append_column("extra", pa.array([None] * 20, pa.uint64()))
    check_file(tmp_path / "a.parquet", write_file(tmp_path, "a.parquet", table), TYPES)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = SampleFile(path="gone.parquet", num_rows=1, num_bytes=1)
    assert "no such file" in refusal(tmp_path, file)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    """Petastorm would look into it, and unpickle what its metadata holds."""
    (tmp_path / "a.parquet").mkdir()
    assert "no such file" in refusal(
        tmp_path, SampleFile(path="a.parquet", num_rows=1, num_bytes=4096)
    )


@pytest.mark.parametrize("num_bytes_left", [0, 3, 1000])
def test_a_truncated_file_is_told_by_its_size(tmp_path: Path, num_bytes_left: int) -> None:
    file = write_file(tmp_path, "a.parquet", TABLE)
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[:num_bytes_left])
    message = refusal(tmp_path, file)
    assert f"holds {num_bytes_left:,} bytes, the manifest says {len(content):,}" in message


def test_a_file_of_the_right_size_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    file = write_file(tmp_path, "a.parquet", TABLE)
    (tmp_path / "a.parquet").write_bytes(b"x" * file.num_bytes)
    assert "no readable Parquet file" in refusal(tmp_path, file)


def test_an_empty_parquet_file_is_refused_with_both_counts(tmp_path: Path) -> None:
    file = write_file(tmp_path, "a.parquet", TABLE.slice(0, 0))
    listed = file.model_copy(update={"num_rows": 20})
    assert "holds 0 rows, the manifest says 20" in refusal(tmp_path, listed)


def test_another_number_of_rows_is_refused_with_both_counts(tmp_path: Path) -> None:
    file = write_file(tmp_path, "a.parquet", TABLE).model_copy(update={"num_rows": 21})
    assert "holds 20 rows, the manifest says 21" in refusal(tmp_path, file)


def test_more_than_one_row_group_is_refused(tmp_path: Path) -> None:
    file = write_file(tmp_path, "a.parquet", TABLE, row_group_size=6)
    assert "4 row groups instead of one" in refusal(tmp_path, file)


@pytest.mark.parametrize("name", ["item", "tags", "click", "group_id"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    file = write_file(tmp_path, "a.parquet", TABLE.drop_columns([name]))
    assert f"the column '{name}' is missing" in refusal(tmp_path, file)


@pytest.mark.parametrize(
    ("name", "value", "type_", "found"),
    [
        ("item", 0, pa.int64(), "int64"),
        ("item", 0.0, pa.float32(), "float"),
        ("click", 0, pa.int32(), "int32"),
        ("weight", 0.0, pa.float64(), "double"),
        ("sample_id", 0, pa.uint64(), "uint64"),
        ("tags", "a", pa.string(), "string"),
        ("tags", [1], pa.list_(pa.int32()), "list"),
    ],
)
def test_a_wrong_type_is_named_with_the_right_one(
    tmp_path: Path, name: str, value: Any, type_: pa.DataType, found: str
) -> None:
    file = write_file(tmp_path, "a.parquet", with_column(name, [value] * 20, type_))
    message = refusal(tmp_path, file)
    assert f"the column '{name}' is {found}" in message
    assert f"instead of {TYPES[name]}" in message


@pytest.mark.parametrize("name", ["item", "click", "weight", "sample_id", "tags"])
def test_nulls_are_counted_by_column(tmp_path: Path, name: str) -> None:
    values = TABLE[name].to_pylist()
    values[3] = values[7] = None
    table = with_column(name, values, TABLE.schema.field(name).type)
    file = write_file(tmp_path, "a.parquet", table)
    assert f"the column '{name}' holds 2 nulls" in refusal(tmp_path, file)


def test_a_pickled_schema_is_refused(tmp_path: Path) -> None:
    table = TABLE.replace_schema_metadata({b"dataset-toolkit.unischema.v1": b"pickle"})
    assert "holds pickled code" in refusal(tmp_path, write_file(tmp_path, "a.parquet", table))
