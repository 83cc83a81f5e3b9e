"""How a file of samples is laid out."""

import numpy as np
import pyarrow as pa

from esmm_dist.samples.sample_file import repeating


def test_a_dictionary_is_for_columns_whose_values_come_again() -> None:
    n = np.arange(50_000)
    table = pa.table({
        "constant": np.ones(len(n), np.int8), "thousand": n % 1_000, "many": n % 20_000,
        "all_different": n,
    })
    assert repeating(table) == ["constant", "thousand"]


def test_a_dictionary_for_few_rows_does_no_harm() -> None:
    assert repeating(pa.table({"value": pa.array([], pa.int32())})) == ["value"]
