"""Files of a day, and the partitions that make them."""

from datetime import date

import pytest

from esmm_dist.samples.layout import Layout, num_files


@pytest.mark.parametrize(
    ("num_rows", "files"), [(0, 1), (1, 1), (4096, 1), (4097, 2), (40_960, 10)]
)
def test_a_day_has_as_many_files_as_its_rows_fill(num_rows: int, files: int) -> None:
    assert num_files(num_rows, 4096) == files


def test_partitions_are_the_files_of_the_days_one_after_the_other() -> None:
    first, second = date(2026, 3, 1), date(2026, 3, 2)
    layout = Layout({first: 2, second: 3})
    assert layout.num_partitions == 5
    assert [layout.file(partition) for partition in range(5)] == [
        (first, 0), (first, 1), (second, 0), (second, 1), (second, 2),
    ]
