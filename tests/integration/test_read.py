"""Manifest and real files to batches, with all ranks of a job in one process."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.draws import NUM_DRAWS, draws_of_samples
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.contract.multiplicity import CLICKED_ROWS, EVERY_ROW, Multiplicity
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader
from tests.factories.numbered_samples import (
    FEATURES,
    FIRST_DAY,
    expected_row,
    expected_weights,
    write_samples,
)
from tests.oracles.plan import batches_of_ranks

FILE_SIZES_BY_DAY = ((40, 40, 13), (40, 25), (7,))
DAYS = [FIRST_DAY.replace(day=number) for number in (1, 2, 3)]
NUM_ROWS = 165

pytestmark = pytest.mark.usefixtures("no_thread_is_left_behind")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, FILE_SIZES_BY_DAY)
    return folder


def open_reader(samples: Path, with_keys: bool = True) -> SampleReader:
    return SampleReader(samples, read_manifest(samples), FEATURES, with_keys=with_keys)


def make_plan(
    reader: SampleReader, num_ranks: int = 1, num_lanes: int = 8, batch_size: int = 20,
    seed: int = 5, epoch: int = 0,
) -> TrainPlan:
    return TrainPlan.make(
        reader.files(DAYS), batch_size=batch_size, num_lanes=num_lanes, seed=seed, epoch=epoch,
        num_ranks=num_ranks,
    )


def read_epoch(
    reader: SampleReader, plan: TrainPlan, rank: int, first_step: int = 0
) -> list[Batch]:
    with reader.train_batches(plan, rank, first_step) as batches:
        return list(batches)


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
        and _weights(a) == _weights(b)
        for a, b in zip(left.bags, right.bags, strict=True)
    )


def _weights(bag: Bag) -> list[float] | None:
    return None if bag.weights_V is None else bag.weights_V.tolist()


def check_rows(batch: Batch, num_padding: int = 0) -> None:
    """Everything in a batch follows from its sample ids; padding is zero throughout."""
    num_real = batch.num_rows - num_padding
    rows = [expected_row(sample_id) for sample_id in batch.sample_id_B[:num_real].tolist()]
    assert batch.ids_BF[:num_real].tolist() == [list(row.ids) for row in rows]
    assert batch.click_B[:num_real].tolist() == [row.click for row in rows]
    assert batch.conversion_B[:num_real].tolist() == [row.conversion for row in rows]
    assert batch.weight_B[:num_real].tolist() == [row.weight for row in rows]
    assert batch.group_id_B[:num_real].tolist() == [row.group_id for row in rows]
    for place, bag in enumerate(batch.bags):
        ids = [i for row in rows for i in row.bags[place]]
        ends = torch.tensor([len(row.bags[place]) for row in rows]).cumsum(0).tolist()
        assert bag.ids_V.tolist() == ids
        assert _weights(bag) == expected_weights(rows, place)
        assert bag.offsets_B1.tolist() == [0, *ends, *[len(ids)] * num_padding]
    for tensor in (batch.ids_BF, batch.click_B, batch.conversion_B, batch.weight_B,
                   batch.sample_id_B, batch.group_id_B):
        assert not tensor[num_real:].any()


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


@pytest.mark.parametrize("num_ranks", [1, 2, 8])
def test_rows_left_out_and_repeated_come_as_they_were_counted(
    samples: Path, num_ranks: int
) -> None:
    reader = open_reader(samples, with_keys=True)
    files = reader.files(DAYS)
    multiplicity = Multiplicity(share_of_unclicked=0.5, times_clicked=2, times_converted=3)
    drawn = draws_of_samples(np.arange(NUM_ROWS), 5, 1) < 0.5 * NUM_DRAWS
    expected = Counter({
        n: 3 if n % 6 == 0 else 2 if n % 3 == 0 else int(drawn[n]) for n in range(NUM_ROWS)
    })
    plan = TrainPlan.make(
        files, batch_size=1, num_lanes=8, seed=5, epoch=1, num_ranks=num_ranks,
        multiplicity=multiplicity,
        rows_of_file=reader.count_rows(files, multiplicity, seed=5, epoch=1),
    )
    batches = [b for rank in range(num_ranks) for b in read_epoch(reader, plan, rank)]
    for batch in batches:
        check_rows(batch)
    assert Counter(i for b in batches for i in b.sample_id_B.tolist()) == +expected


def test_a_file_that_was_replaced_after_the_count_is_refused(samples: Path) -> None:
    reader = open_reader(samples)
    files = reader.files(DAYS)
    counted = reader.count_rows(files, CLICKED_ROWS, seed=5, epoch=0)
    plan = TrainPlan.make(
        files, batch_size=20, num_lanes=8, seed=5, epoch=0, num_ranks=1,
        multiplicity=CLICKED_ROWS, rows_of_file=[num - 1 for num in counted],
    )
    with pytest.raises(InputError, match=r"\.parquet: 1\d of its rows take part, 1\d were"):
        read_epoch(reader, plan, 0)


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


def test_fake_negatives_are_read_only_by_who_asks_for_them(samples: Path) -> None:
    """The last row of every file is one."""
    manifest = read_manifest(samples)
    days = tuple(
        day.model_copy(update={"files": tuple(
            file.model_copy(update={"num_fake_negatives": 1}) for file in day.files
        )})
        for day in manifest.days
    )
    reader = SampleReader(
        samples, manifest.model_copy(update={"days": days}), FEATURES, with_keys=True
    )
    files = reader.files(DAYS)
    ends = np.cumsum([file.num_rows for file in files]).tolist()
    fakes = {end - 1 for end in ends}
    with reader.evaluation_batches(DAYS, batch_size=20, num_ranks=1, rank=0) as batches:
        real = [batch.sample_id_B[: batch.num_rows - batch.num_padded] for batch in batches]
    evaluated = torch.cat(real).tolist()
    assert evaluated == [number for number in range(ends[-1]) if number not in fakes]

    def trained(multiplicity: Multiplicity) -> list[int]:
        rows = None if multiplicity.is_trivial else reader.count_rows(files, multiplicity, 5, 0)
        plan = TrainPlan.make(
            files, batch_size=1, num_lanes=1, seed=5, epoch=0, num_ranks=1,
            multiplicity=multiplicity, rows_of_file=rows,
        )
        return sorted(i for b in read_epoch(reader, plan, 0) for i in b.sample_id_B.tolist())

    assert trained(EVERY_ROW) == evaluated
    assert trained(Multiplicity(fake_negatives=True)) == list(range(ends[-1]))
    clicked = [number for number in range(ends[-1]) if number % 3 == 0]
    assert trained(CLICKED_ROWS) == [number for number in clicked if number not in fakes]
    assert trained(replace(CLICKED_ROWS, fake_negatives=True)) == clicked
