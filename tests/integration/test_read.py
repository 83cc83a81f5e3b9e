"""Manifest and real files to batches, with all ranks of a job in one process."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader
from tests.factories.numbered_samples import write_samples
from tests.integration.epochs import (
    DAYS,
    FILE_SIZES_BY_DAY,
    NUM_ROWS,
    check_rows,
    open_reader,
    read_epoch,
    weights_of,
)
from tests.oracles.plan import batches_of_ranks

pytestmark = pytest.mark.usefixtures("no_thread_is_left_behind")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, FILE_SIZES_BY_DAY)
    return folder


def make_plan(
    reader: SampleReader, num_ranks: int = 1, num_lanes: int = 8, batch_size: int = 20,
    seed: int = 5, epoch: int = 0,
) -> TrainPlan:
    return TrainPlan.make(
        reader.files(DAYS), batch_size=batch_size, num_lanes=num_lanes, seed=seed, epoch=epoch,
        num_ranks=num_ranks,
    )


def joined(parts: Sequence[Batch]) -> Batch:
    """The global batch that ranks hold in parts."""
    bags = []
    for same_feature in zip(*(part.bags for part in parts)):
        lengths = torch.cat([bag.offsets_B1.diff() for bag in same_feature])
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        weights = [bag.weights_V for bag in same_feature if bag.weights_V is not None]
        bags.append(Bag(torch.cat([bag.ids_V for bag in same_feature]), offsets,
                        torch.cat(weights) if weights else None))
    tensors = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("ids_BF", "click_B", "conversion_B", "weight_B", "sample_id_B", "group_id_B")
    }
    num_padded = sum(part.num_padded for part in parts)
    return Batch(bags=tuple(bags), num_padded=num_padded, delays=None, **tensors)


def same(left: Batch, right: Batch) -> bool:
    names = ("ids_BF", "click_B", "conversion_B", "weight_B", "sample_id_B", "group_id_B")
    return all(torch.equal(getattr(left, name), getattr(right, name)) for name in names) and all(
        torch.equal(a.ids_V, b.ids_V) and torch.equal(a.offsets_B1, b.offsets_B1)
        and weights_of(a) == weights_of(b)
        for a, b in zip(left.bags, right.bags, strict=True)
    )


def test_a_batch_holds_contiguous_tensors_of_the_types_promised(samples: Path) -> None:
    reader = open_reader(samples)
    batch = read_epoch(reader, make_plan(reader), 0)[0]
    assert batch.ids_BF.shape == (20, 3) and batch.ids_BF.is_contiguous()
    assert batch.ids_BF.dtype == torch.int32
    assert {t.dtype for t in (batch.click_B, batch.conversion_B, batch.weight_B)} == {torch.float32}
    assert {t.dtype for t in (batch.sample_id_B, batch.group_id_B)} == {torch.int64}
    assert len(batch.bags) == 2
    assert {bag.ids_V.dtype for bag in batch.bags} == {torch.int32}
    assert {bag.offsets_B1.dtype for bag in batch.bags} == {torch.int64}
    check_rows(batch)


@pytest.mark.parametrize("num_ranks", range(1, 9))
def test_ranks_read_what_the_plan_says(samples: Path, num_ranks: int) -> None:
    reader = open_reader(samples)
    plan = make_plan(reader, num_ranks)
    first_id = [sum(file.num_rows for file in plan.files[:place]) for place in range(6)]
    for rank, expected in enumerate(batches_of_ranks(plan)):
        batches = read_epoch(reader, plan, rank)
        assert [batch.sample_id_B.tolist() for batch in batches] == [
            [first_id[file] + place for file, place in rows] for rows in expected
        ]
        for batch in batches:
            check_rows(batch)


@pytest.mark.parametrize(("num_ranks", "num_lanes"), [(2, 8), (4, 8), (8, 8), (3, 24), (6, 24)])
def test_global_batches_are_the_same_for_one_rank_and_many(
    samples: Path, num_ranks: int, num_lanes: int
) -> None:
    reader = open_reader(samples)
    alone = read_epoch(reader, make_plan(reader, 1, num_lanes), 0)
    plan = make_plan(reader, num_ranks, num_lanes)
    ranks = [read_epoch(reader, plan, rank) for rank in range(num_ranks)]
    together = [joined(parts) for parts in zip(*ranks, strict=True)]
    assert len(together) == len(alone) == NUM_ROWS // 20
    assert all(same(a, b) for a, b in zip(together, alone))


def test_a_seed_gives_the_same_batches_again_and_an_epoch_others(samples: Path) -> None:
    reader = open_reader(samples)
    first = read_epoch(reader, make_plan(reader), 0)
    again = read_epoch(open_reader(samples), make_plan(reader), 0)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    for other in (make_plan(reader, seed=6), make_plan(reader, epoch=1)):
        assert not any(same(a, b) for a, b in zip(first, read_epoch(reader, other, 0), strict=True))


def test_a_position_is_one_number(samples: Path) -> None:
    reader = open_reader(samples)
    for num_ranks, rank in ((1, 0), (3, 2)):
        plan = make_plan(reader, num_ranks)
        whole = read_epoch(reader, plan, rank)
        for step in range(plan.num_steps + 1):
            rest = read_epoch(reader, plan, rank, first_step=step)
            assert all(same(a, b) for a, b in zip(rest, whole[step:], strict=True))


@pytest.mark.parametrize(
    ("num_ranks", "batch_size"), list(product((1, 2, 3, 8), (1, 16, 64, 1000)))
)
def test_evaluation_reads_every_row_once_and_pads_the_rest(
    samples: Path, num_ranks: int, batch_size: int
) -> None:
    reader = open_reader(samples)
    seen: list[int] = []
    num_batches = set()
    for rank in range(num_ranks):
        with reader.evaluation_batches(DAYS, batch_size, num_ranks, rank) as stream:
            batches = list(stream)
        num_batches.add(len(batches))
        assert len({batch.num_rows for batch in batches}) == 1
        for batch in batches:
            num_real = batch.num_rows - batch.num_padded
            check_rows(batch, num_padding=batch.num_padded)
            seen += batch.sample_id_B[:num_real].tolist()
    assert seen == list(range(NUM_ROWS))
    assert num_batches == {-(-NUM_ROWS // batch_size)}


def test_evaluation_reads_only_the_days_asked_for(samples: Path) -> None:
    reader = open_reader(samples)
    with reader.evaluation_batches([DAYS[1]], 100, 1, 0) as batches:
        (batch,) = batches
    assert batch.num_padded == 35
    check_rows(batch, num_padding=35)
    assert batch.sample_id_B[:65].tolist() == list(range(93, 158))


def test_keys_are_zeros_unless_they_are_asked_for(samples: Path) -> None:
    reader = open_reader(samples, with_keys=False)
    keyless = read_epoch(reader, make_plan(reader), 0)
    keyed = read_epoch(open_reader(samples), make_plan(reader), 0)
    zeros = torch.zeros(20, dtype=torch.int64)
    for batch, other in zip(keyless, keyed, strict=True):
        assert same(batch, replace(other, sample_id_B=zeros, group_id_B=zeros))


def test_a_batch_stays_what_it_was_when_the_reader_goes_on(samples: Path) -> None:
    reader = open_reader(samples)
    plan = make_plan(reader, batch_size=5)
    with reader.train_batches(plan, 0) as batches:
        kept = list(batches)
    ids = [i for batch in kept for i in batch.sample_id_B.tolist()]
    assert len(set(ids)) == plan.num_steps * 5
    for batch in kept:
        check_rows(batch)


def test_leaving_early_leaves_no_thread(samples: Path) -> None:
    reader = open_reader(samples)
    with pytest.raises(RuntimeError, match="the trainer's own"):
        with reader.train_batches(make_plan(reader, batch_size=2), 0) as batches:
            assert batches.num_batches == 82
            next(batches)
            raise RuntimeError("the trainer's own")


def test_a_rank_without_rows_gets_empty_batches_in_step(samples: Path) -> None:
    reader = open_reader(samples)
    plan = make_plan(reader, num_ranks=8, batch_size=3)
    batches = read_epoch(reader, plan, 0)
    assert len(batches) == NUM_ROWS // 3
    assert {batch.num_rows for batch in batches} == {0}
    check_rows(batches[0])


def test_more_ranks_than_files_is_no_error(tmp_path: Path) -> None:
    write_samples(tmp_path, ((50,),))
    reader = open_reader(tmp_path)
    plan = TrainPlan.make(
        reader.files([DAYS[0]]), batch_size=20, num_lanes=8, seed=0, epoch=0, num_ranks=5
    )
    ids = [i for rank in range(5) for b in read_epoch(reader, plan, rank)
           for i in b.sample_id_B.tolist()]
    assert len(ids) == len(set(ids)) == 40
