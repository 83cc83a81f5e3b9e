"""The arithmetic of slots and buckets, by brute force."""

import pytest

from esmm_dist.contract.row_space import (
    NUM_BUCKETS,
    RowSpace,
    bucket_of,
    buckets_of_rank,
    rows_of_bucket,
)

ROWS = {"user": 3000, "tags": 3, "item": 1024, "shop": 1025}


def all_slots(space: RowSpace) -> dict[tuple[str, int], int]:
    return {
        (table, row): space.slot_of(table, row)
        for table, num_rows in space.num_rows_of_table.items()
        for row in range(num_rows)
    }


def test_every_row_has_a_slot_of_its_own_inside_the_space() -> None:
    space = RowSpace(ROWS)
    slots = all_slots(space)
    assert len(set(slots.values())) == sum(ROWS.values())
    assert min(slots.values()) >= 0 and max(slots.values()) < space.num_slots
    assert space.num_slots == 1024 * (3 + 1 + 1 + 2)


def test_a_row_lies_in_its_bucket_and_its_tables_stretch_of_it() -> None:
    space = RowSpace(ROWS)
    for (table, row), slot in all_slots(space).items():
        bucket, inside = divmod(slot, space.slots_per_bucket)
        assert bucket == bucket_of(row)
        assert inside in space.slots_of_table[table]


def test_a_grown_table_moves_no_row_within_its_stretch_and_none_to_another_bucket() -> None:
    before, after = RowSpace(ROWS), RowSpace({**ROWS, "tags": 5000})
    for table, num_rows in ROWS.items():
        for row in range(num_rows):
            places = []
            for space in (before, after):
                bucket, inside = divmod(space.slot_of(table, row), space.slots_per_bucket)
                places.append((bucket, inside - space.slots_of_table[table].start))
            assert places[0] == places[1]


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 8, 1000, NUM_BUCKETS])
def test_ranks_share_the_buckets_and_their_slots_without_gap_or_overlap(num_ranks: int) -> None:
    space = RowSpace(ROWS)
    dealt = [buckets_of_rank(rank, num_ranks) for rank in range(num_ranks)]
    assert [bucket for buckets in dealt for bucket in buckets] == list(range(NUM_BUCKETS))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    slots = [slot for buckets in dealt for slot in space.slots_of_buckets(buckets)]
    assert slots == list(range(space.num_slots))


@pytest.mark.parametrize("num_ranks", [2, 3, 8, 16, 64])
def test_the_first_ids_of_a_table_which_are_often_the_frequent_ones_fall_on_all_ranks_alike(
    num_ranks: int,
) -> None:
    dealt = [buckets_of_rank(rank, num_ranks) for rank in range(num_ranks)]
    owner_of_bucket = {bucket: rank for rank, buckets in enumerate(dealt) for bucket in buckets}
    counts = [0] * num_ranks
    for row in range(NUM_BUCKETS):
        counts[owner_of_bucket[bucket_of(row)]] += 1
        assert max(counts) - min(counts) <= 4


@pytest.mark.parametrize("num_rows", [0, 3, 1024, 1025, 3000])
def test_the_rows_of_a_bucket_are_those_that_lie_in_it_by_their_slots(num_rows: int) -> None:
    found: dict[int, list[int]] = {bucket: [] for bucket in range(NUM_BUCKETS)}
    for row in range(num_rows):
        found[bucket_of(row)].append(row)
    assert {b: list(rows_of_bucket(b, num_rows)) for b in range(NUM_BUCKETS)} == found
