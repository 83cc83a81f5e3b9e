"""How a file of samples is laid out."""

import numpy as np
import pyarrow as pa

from esmm_dist.labelling.sample_file import CONTENT, MAGIC, parquet_bytes, repeating, without_magic


def test_a_dictionary_is_for_columns_whose_values_come_again() -> None:
    n = np.arange(50_000)
    table = pa.table({
        "constant": np.ones(len(n), np.int8), "thousand": n % 1_000, "many": n % 20_000,
        "all_different": n,
    })
    assert repeating(table) == ["constant", "thousand"]


def test_a_dictionary_for_few_rows_does_no_harm() -> None:
    assert repeating(pa.table({"value": pa.array([], pa.int32())})) == ["value"]


def test_a_file_is_handed_over_without_its_end_and_then_forgotten() -> None:
    """A worker that kept each file it wrote would grow by as much as a day holds."""
    before = pa.total_allocated_bytes()
    file = parquet_bytes(pa.table({"value": np.arange(10_000)}), {"rows": 10_000})
    row = without_magic(file)
    assert row[CONTENT][0].as_py() == file.to_pybytes()[: -len(MAGIC)]
    assert file.to_pybytes().endswith(MAGIC)
    assert pa.total_allocated_bytes() > before
    del file, row
    assert pa.total_allocated_bytes() == before
