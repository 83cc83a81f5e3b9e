"""Files of a day, and the partitions that make them."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.samples.layout import PLACE_BITS, Layout, are_parts_of_a_day, num_files


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


@given(num_parts=st.integers(1, 300), data=st.data())
def test_equal_parts_of_a_day_are_known_as_such(num_parts: int, data: st.DataObject) -> None:
    hashed = data.draw(st.lists(st.integers(0, 2**PLACE_BITS - 1), min_size=1))
    places: dict[int, tuple[int, int]] = {}
    for place in hashed:
        number = place * num_parts >> PLACE_BITS
        low, high = places.get(number, (place, place))
        places[number] = min(low, place), max(high, place)
    assert are_parts_of_a_day(places)


def test_a_place_in_a_file_that_cannot_hold_it_is_noticed() -> None:
    half = 2 ** (PLACE_BITS - 1)
    assert are_parts_of_a_day({0: (0, half - 1), 1: (half, 2 * half - 1)})
    assert not are_parts_of_a_day({0: (0, half), 1: (half, 2 * half - 1)})
    assert not are_parts_of_a_day({1: (0, 10)})
    assert not are_parts_of_a_day({0: (half, 2 * half - 1), 1: (0, half - 1)})
