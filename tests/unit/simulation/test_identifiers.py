"""Names of impressions, users and items."""

import numpy as np
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.simulation.identifiers import impression_ids, sample_ids, scattered


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_a_sample_id_is_the_hash_that_spark_makes_of_a_long(ids: list[int]) -> None:
    expected = [xxhash.xxh64_intdigest(i.to_bytes(8, "little", signed=True), 42) for i in ids]
    found = sample_ids(np.array(ids, np.int64)).view(np.uint64).tolist()
    assert found == expected


def test_impression_ids_are_distinct_and_not_negative() -> None:
    number = np.arange(2**19, dtype=np.int64)
    far = number + 740_000 * 2**40
    ids = impression_ids(1, np.concatenate([number, far]))
    assert len(np.unique(ids)) == 2**20 and ids.min() >= 0


def test_impression_ids_tell_nothing_of_their_order() -> None:
    ids = impression_ids(1, np.arange(50_000, dtype=np.int64)).astype(np.float64)
    assert abs(np.corrcoef(ids[1:], ids[:-1])[0, 1]) < 4 / np.sqrt(50_000)


def test_every_bit_of_a_number_moves_the_id() -> None:
    number = np.int64(1) << np.arange(63, dtype=np.int64)
    assert (impression_ids(1, number) != impression_ids(1, np.zeros(1, np.int64))).all()


def test_scattered_numbers_are_distinct_within_ten_times_their_count() -> None:
    for count in (1, 2, 10, 999, 100_000):
        numbers = scattered(3, count, 0)
        assert len(set(numbers.tolist())) == count
        assert 1 <= numbers.min() and numbers.max() <= 10 * count


def test_places_have_numbers_of_their_own() -> None:
    assert scattered(3, 100, 0).tolist() != scattered(3, 100, 1).tolist()
