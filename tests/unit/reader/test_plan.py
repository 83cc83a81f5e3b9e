"""The plan against a brute-force reading of its rules, over many sizes and numbers of ranks."""

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import SampleFile
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.reader.plan import EvaluationPlan, Plan, TrainPlan
from tests.oracles.plan import (
    Counts,
    Row,
    batches_of_ranks,
    lanes_of_batches,
    rows_in_order,
)

FILE_SIZES = ((64,), (10, 10, 10), (1, 50, 3, 0, 22), (17,) * 5, (60, 1, 1, 1))
SMALL_SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=8)


def make_files(sizes: Sequence[int]) -> tuple[SampleFile, ...]:
    return tuple(
        SampleFile(path=f"{place}.parquet", num_rows=size, num_bytes=0)
        for place, size in enumerate(sizes)
    )


def train_plan(
    sizes: Sequence[int], batch_size: int, num_lanes: int = 8, num_ranks: int = 1,
    seed: int = 3, epoch: int = 0, counts: Counts | None = None,
) -> TrainPlan:
    multiplicity = Multiplicity() if counts is None else Multiplicity(times_converted=2)
    return TrainPlan.make(
        make_files(sizes), batch_size=batch_size, num_lanes=num_lanes, seed=seed, epoch=epoch,
        num_ranks=num_ranks, multiplicity=multiplicity,
        rows_of_file=None if counts is None else [sum(of_file) for of_file in counts],
    )


def batches_by_reads(
    plan: Plan, rank: int, first_step: int = 0, counts: Counts | None = None
) -> list[list[Row]]:
    """What the reads of a rank come to, step by step, each read opened when a lane runs dry."""
    all_reads = plan.reads(rank, first_step)
    reads = iter(all_reads)
    orders = {
        read.file: plan.row_order(
            read.file, None if counts is None else np.array(counts[read.file], int)
        ).tolist()
        for read in all_reads
    }
    rest: dict[int, list[Row]] = {lane: [] for lane in plan.lanes(rank)}
    left = Counter(read.lane for read in all_reads)
    batches = []
    for step in range(first_step, plan.num_steps):
        batch: list[Row] = []
        for lane in plan.lanes(rank):
            while len(rest[lane]) < plan.rows_per_step(lane) and left[lane]:
                read = next(reads)
                assert (read.lane, read.step) == (lane, step), "a read comes out of turn"
                assert read.num_rows > 0
                places = orders[read.file][read.first_row : read.end_row]
                rest[lane] += [(read.file, place) for place in places]
                left[lane] -= 1
            batch += rest[lane][: plan.rows_per_step(lane)]
            rest[lane] = rest[lane][plan.rows_per_step(lane) :]
        batches.append(batch)
    assert next(reads, None) is None and not any(rest.values())
    return batches


@pytest.mark.parametrize("num_ranks", range(1, 17))
def test_a_train_plan_equals_the_brute_force_reading(num_ranks: int) -> None:
    for sizes, batch_size, num_lanes in product(FILE_SIZES, (3, 7, 33), (1, 3, 8)):
        if sum(sizes) < batch_size:
            continue
        plan = train_plan(sizes, batch_size, num_lanes, num_ranks)
        by_reads = [batches_by_reads(plan, rank) for rank in range(num_ranks)]
        assert by_reads == batches_of_ranks(plan)


@pytest.mark.parametrize("num_ranks", range(1, 17))
def test_training_uses_a_row_at_most_once_and_drops_less_than_a_batch(num_ranks: int) -> None:
    for sizes, batch_size in product(FILE_SIZES, (3, 16, 33)):
        if sum(sizes) < batch_size:
            continue
        plan = train_plan(sizes, batch_size, 8, num_ranks)
        steps = [batches_by_reads(plan, rank) for rank in range(num_ranks)]
        assert {len(batches) for batches in steps} == {plan.num_steps}
        used = Counter(row for batches in steps for batch in batches for row in batch)
        assert set(used.values()) == {1}
        assert 0 <= sum(sizes) - len(used) < batch_size
        for batches in zip(*steps):
            assert sum(len(batch) for batch in batches) == batch_size


@pytest.mark.parametrize("num_lanes", [8, 12, 16])
def test_global_batches_do_not_depend_on_ranks_that_divide_the_lanes(num_lanes: int) -> None:
    sizes, batch_size = (31, 5, 40, 8, 77), 13
    expected = batches_by_reads(train_plan(sizes, batch_size, num_lanes, 1), 0)
    for num_ranks in (n for n in range(1, 17) if num_lanes % n == 0):
        plan = train_plan(sizes, batch_size, num_lanes, num_ranks)
        ranks = [batches_by_reads(plan, rank) for rank in range(num_ranks)]
        joined = [[row for batch in batches for row in batch] for batches in zip(*ranks)]
        assert joined == expected
        assert plan.notice is None


@pytest.mark.parametrize(
    ("num_lanes", "num_ranks", "raised"), [(8, 3, 9), (8, 16, 16), (1, 5, 5), (8, 5, 10)]
)
def test_lanes_are_raised_with_a_notice_where_ranks_do_not_divide_them(
    num_lanes: int, num_ranks: int, raised: int
) -> None:
    plan = train_plan((100,), 20, num_lanes, num_ranks)
    assert plan.num_lanes == raised
    assert plan.notice is not None
    assert f"num_lanes = {num_lanes} is no multiple of {num_ranks} ranks" in plan.notice
    assert f"raised to {raised}" in plan.notice


def test_a_rank_reads_only_files_its_rows_lie_in_and_each_once_a_lane() -> None:
    plan = train_plan((17,) * 12, 24, 8, 4)
    for rank, batches in enumerate(batches_of_ranks(plan)):
        needed = {file for batch in batches for file, _ in batch}
        reads = plan.reads(rank)
        assert {read.file for read in reads} == needed
        assert max(Counter((read.lane, read.file) for read in reads).values()) == 1
        assert sum(read.num_rows for read in reads) == plan.num_steps * 6


def test_two_lanes_that_share_a_file_agree_on_its_order_and_take_different_rows() -> None:
    plan = train_plan((64,), 8, 8, 8)
    parts = [batches_by_reads(plan, rank) for rank in range(8)]
    rows = [row for batches in parts for batch in batches for row in batch]
    assert sorted(rows) == [(0, place) for place in range(64)]


@given(SMALL_SIZES, st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.data())
def test_starting_at_a_step_equals_skipping_what_lies_before(
    sizes: list[int], batch_size: int, num_lanes: int, num_ranks: int, data: st.DataObject
) -> None:
    if sum(sizes) < batch_size:
        return
    plan = train_plan(sizes, batch_size, num_lanes, num_ranks)
    rank = data.draw(st.integers(0, num_ranks - 1))
    step = data.draw(st.integers(0, plan.num_steps))
    assert batches_by_reads(plan, rank, step) == batches_by_reads(plan, rank)[step:]


@given(SMALL_SIZES, st.integers(1, 40), st.integers(1, 16))
def test_evaluation_takes_every_row_once_in_equal_steps(
    sizes: list[int], batch_size: int, num_ranks: int
) -> None:
    if not sum(sizes):
        return
    plan = EvaluationPlan.make(make_files(sizes), batch_size=batch_size, num_ranks=num_ranks)
    steps = [batches_by_reads(plan, rank) for rank in range(num_ranks)]
    assert {len(batches) for batches in steps} == {plan.num_steps}
    rows = [row for batches in steps for batch in batches for row in batch]
    assert rows == [(file, place) for file, size in enumerate(sizes) for place in range(size)]
    for rank, batches in enumerate(steps):
        assert all(len(batch) <= plan.rows_per_step(rank) for batch in batches)


@given(SMALL_SIZES, st.integers(0, 2**63 - 1), st.integers(0, 5))
def test_the_order_of_an_epoch_is_a_permutation_of_all_rows(
    sizes: list[int], seed: int, epoch: int
) -> None:
    if not sum(sizes):
        return
    plan = train_plan(sizes, 1, seed=seed, epoch=epoch)
    assert sorted(rows_in_order(plan)) == [
        (file, place) for file, size in enumerate(sizes) for place in range(size)
    ]


def test_seed_and_epoch_change_the_order_and_nothing_else_does() -> None:
    orders = {
        (seed, epoch): tuple(rows_in_order(train_plan((20,) * 10, 7, seed=seed, epoch=epoch)))
        for seed, epoch in product((1, 2), (0, 1))
    }
    assert len(set(orders.values())) == 4
    again = train_plan((20,) * 10, 19, num_lanes=3, num_ranks=5, seed=1, epoch=0)
    assert tuple(rows_in_order(again)) == orders[1, 0]


def test_the_order_is_pinned_so_that_a_checkpoint_resumes_under_another_numpy() -> None:
    plan = train_plan((6,) * 6, 4, seed=1, epoch=2)
    assert plan.file_order == (0, 3, 1, 2, 5, 4)
    assert plan.row_order(4).tolist() == [1, 4, 2, 3, 0, 5]


def test_files_of_two_epochs_share_no_order_by_the_shape_of_their_seeds() -> None:
    """Seed, epoch and file must not run into each other: 2**32 is (0, 1) in 32-bit words."""
    first = train_plan((50,), 4, seed=2**32, epoch=0).row_order(0)
    second = train_plan((50,), 4, seed=0, epoch=1).row_order(0)
    assert first.tolist() != second.tolist()


def test_less_than_one_global_batch_is_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match=r"batch_size = 1,024: .* hold only 1,000 rows"):
        train_plan((600, 400), 1024)


COUNTS = st.lists(st.lists(st.integers(0, 3), max_size=20), min_size=1, max_size=6)


@given(COUNTS, st.integers(1, 20), st.integers(1, 9), st.integers(1, 9))
def test_rows_take_part_as_often_as_they_were_counted(
    counts: list[list[int]], batch_size: int, num_lanes: int, num_ranks: int
) -> None:
    num_rows = sum(map(sum, counts))
    if num_rows < batch_size:
        return
    plan = train_plan([len(c) for c in counts], batch_size, num_lanes, num_ranks, counts=counts)
    steps = [batches_by_reads(plan, rank, counts=counts) for rank in range(num_ranks)]
    assert steps == batches_of_ranks(plan, counts)
    assert {len(batches) for batches in steps} == {plan.num_steps} == {num_rows // batch_size}
    used = Counter(row for batches in steps for batch in batches for row in batch)
    allowed = Counter({(file, place): count for file, of_file in enumerate(counts)
                       for place, count in enumerate(of_file)})
    assert used <= allowed
    assert allowed.total() - used.total() == num_rows % batch_size


def test_counts_of_one_change_no_batch() -> None:
    sizes, ones = (31, 5, 40), [[1] * size for size in (31, 5, 40)]
    counted = train_plan(sizes, 13, counts=ones)
    assert rows_in_order(counted, ones) == rows_in_order(train_plan(sizes, 13))


def test_a_file_whose_rows_all_stay_out_is_never_read() -> None:
    counts = [[0] * 20, [1] * 20, [0] * 20]
    plan = train_plan((20, 20, 20), 10, counts=counts)
    assert {read.file for read in plan.reads(0)} == {1}


def test_too_few_rows_that_take_part_are_refused_with_all_numbers() -> None:
    with pytest.raises(InputError, match=r"= 8: .* hold only 7 rows of 40 that take part"):
        train_plan((20, 20), 8, counts=[[1] * 7, []])


def test_an_evaluation_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="evaluate.days"):
        EvaluationPlan.make(make_files((0, 0)), batch_size=4, num_ranks=2)


def test_batches_smaller_than_the_ranks_leave_some_ranks_without_rows() -> None:
    plan = train_plan((20,), 3, 8, 8)
    assert [plan.rows_per_step(lane) for lane in range(8)] == [0, 0, 1, 0, 0, 1, 0, 1]
    assert plan.reads(0) == ()


def test_the_oracle_deals_lanes_as_the_words_say() -> None:
    rows = [(0, place) for place in range(11)]
    assert lanes_of_batches(rows, batch_size=5, num_lanes=2, num_steps=2) == [
        [[(0, 0), (0, 1)], [(0, 4), (0, 5), (0, 6)]],
        [[(0, 2), (0, 3)], [(0, 7), (0, 8), (0, 9)]],
    ]
