"""Rows that no sample of the last days holds begin anew; all others stay as they were learned."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.distributed.admission import Admission
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.expiry import new_days, note_days
from esmm_dist.distributed.row_optimizers import RowAdam
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.model.fields import field_vectors
from tests.factories.random_batches import FEATURES, NUM_ROWS_OF_TABLE, random_batch
from tests.factories.seats import Seat
from tests.oracles.last_days import last_days
from tests.oracles.tables import rows_by_table

DAYS = (7, 8, 9, 10)
RULE = Admission(RowAdam(0.1), 2)


def make(
    seed: int = 1, world: SoloWorld | None = None, *, is_replicated: bool = False,
    notes_days: bool = True,
) -> ShardedEmbedding:
    return ShardedEmbedding(
        FEATURES, NUM_ROWS_OF_TABLE, 3, world or SoloWorld(), RULE, seed, torch.float64,
        is_replicated=is_replicated, notes_days=notes_days,
    )


def dated_batches(seed: int, num_steps: int = 8) -> list[Batch]:
    """Of rows of any day, in no order of days, as shuffling makes them."""
    generator = torch.Generator().manual_seed(seed)
    batches = [random_batch(9, generator) for _ in range(num_steps)]
    days = torch.tensor(DAYS, dtype=torch.int32)
    return [replace(batch, day_B=days[torch.randint(len(DAYS), (9,), generator=generator)])
            for batch in batches]


def train(tables: ShardedEmbedding, batches: list[Batch]) -> None:
    for batch in batches:
        route = tables.route(batch)
        rows_UD = tables.fetch(route)
        field_vectors(rows_UD, route.places).square().sum().backward()
        assert rows_UD.grad is not None
        tables.apply(route, tables.send(route, rows_UD.grad).wait(), 0.5)


def by_table(tables: ShardedEmbedding) -> dict[str, dict[str, Tensor]]:
    return {name: rows_by_table(tensor, tables.space) for name, tensor in tables.state().items()}


@given(seed=st.integers(0, 10**6), before_day=st.sampled_from([*DAYS, DAYS[-1] + 1]))
@settings(max_examples=6)
def test_rows_last_seen_before_a_day_begin_anew(seed: int, before_day: int) -> None:
    batches = dated_batches(seed)
    tables, kept, fresh = make(), make(), make()
    for trained in (tables, kept):
        train(trained, batches)
    counts = tables.expire(before_day).tolist()

    last_day = last_days(FEATURES, batches)
    old = {key for key, day in last_day.items() if day < before_day}
    assert counts == [len(old), len(last_day) - len(old)]
    found, learned, began = by_table(tables), by_table(kept), by_table(fresh)
    for name, of_tables in found.items():
        for table, rows in of_tables.items():
            is_old = torch.tensor([(table, row) in old for row in range(len(rows))])
            assert torch.equal(rows[is_old], began[name][table][is_old]), name
            assert torch.equal(rows[~is_old], learned[name][table][~is_old]), name
    for table, days in learned["last_seen"].items():
        assert days.tolist() == [last_day.get((table, row), 0) for row in range(len(days))]


def test_an_expired_row_learns_again_as_if_it_had_never_been_seen() -> None:
    old, new = dated_batches(1), dated_batches(2)
    new = [replace(batch, day_B=torch.full_like(batch.ids_BF[:, 0], 30)) for batch in new]
    tables, fresh = make(), make()
    train(tables, old)
    tables.expire(DAYS[-1] + 1)
    for either in (tables, fresh):
        train(either, new)
    for name, tensor in fresh.state().items():
        assert torch.equal(tables.state()[name], tensor), name


@pytest.mark.parametrize("is_replicated", [False, True])
def test_shards_expire_as_the_whole_does(is_replicated: bool) -> None:
    whole = make()
    train(whole, dated_batches(3))
    state = {name: tensor.clone() for name, tensor in whole.state().items()}
    shards = [make(1, Seat(rank, 3), is_replicated=is_replicated) for rank in range(3)]
    for shard in shards:
        shard.load_buckets(0, state, whole.space)
    counts = whole.expire(DAYS[2])
    of_shards = torch.stack([shard.expire(DAYS[2]) for shard in shards])
    assert torch.equal(of_shards.sum(0), counts)
    for name, tensor in whole.state().items():
        assert torch.equal(torch.cat([shard.state()[name] for shard in shards]), tensor), name


def test_days_come_with_weights_alone_too_and_none_are_asked_of_older_tables() -> None:
    noted, plain = make(), make(notes_days=False)
    for tables in (noted, plain):
        train(tables, dated_batches(4))
    assert "last_seen" not in plain.state()
    for weights_only in (False, True):
        taken = make(seed=2)
        taken.load_buckets(0, noted.state(), noted.space, weights_only)
        assert torch.equal(taken.state()["last_seen"], noted.state()["last_seen"])
        taken = make(seed=2)
        taken.load_buckets(0, plain.state(), plain.space, weights_only)
        assert not taken.state()["last_seen"].any()
        taken.count_as_seen(DAYS[0])
        assert taken.state()["last_seen"].eq(DAYS[0]).all()


def test_the_latest_day_is_kept_whatever_comes_first() -> None:
    days_S = new_days(torch.zeros(3, 2))
    for day in (9, 12, 10):
        note_days(days_S, torch.tensor([1]), torch.tensor([day], dtype=torch.int32))
    assert days_S.tolist() == [0, 12, 0]
