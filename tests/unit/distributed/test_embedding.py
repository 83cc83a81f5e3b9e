"""Tables of one process against plain ones, and shards against the ranks that wrote them."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.row_space import RowSpace, bucket_of
from esmm_dist.contract.world import Here, Pending
from esmm_dist.distributed.admission import Admission
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.routing import Router
from esmm_dist.distributed.row_optimizers import RowAdagrad, RowAdam, RowOptimizer, RowSgd
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.model.fields import field_vectors
from tests.factories.random_batches import (
    FEATURES,
    NUM_ROWS_OF_TABLE,
    batches_of_rank,
    random_batch,
)
from tests.factories.seats import Seat
from tests.oracles.tables import PlainTables, rows_by_table

DIM = 5


def make(
    world: SoloWorld | None = None, optimizer: RowOptimizer | None = None, seed: int = 1,
    num_rows_of_table: dict[str, int] = NUM_ROWS_OF_TABLE, is_replicated: bool = False,
) -> ShardedEmbedding:
    return ShardedEmbedding(
        FEATURES, num_rows_of_table, DIM, world or SoloWorld(), optimizer, seed, torch.float64,
        is_replicated=is_replicated,
    )


def table_rows(tables: ShardedEmbedding, name: str = "rows") -> dict[str, Tensor]:
    return rows_by_table(tables.state()[name], tables.space)


def train(tables: ShardedEmbedding, num_steps: int) -> None:
    for batch in batches_of_rank(0, num_steps):
        route = tables.route(batch)
        rows_UD = tables.fetch(route)
        field_vectors(rows_UD, route.places).square().sum().backward()
        assert rows_UD.grad is not None
        tables.apply(route, tables.send(route, rows_UD.grad).wait(), 0.5)


@pytest.mark.parametrize(
    "rule, optimizer",
    [("sgd", RowSgd(0.05, 0.1)), ("adagrad", RowAdagrad(0.05, 0.1)), ("adam", RowAdam(0.05, 0.1))],
)
def test_one_process_trains_as_plain_tables_do(rule: str, optimizer: RowOptimizer) -> None:
    tables = make(optimizer=optimizer)
    plain = PlainTables(FEATURES, table_rows(tables), rule, 0.05, 0.1)
    for batch in batches_of_rank(0, 25):
        route = tables.route(batch)
        rows_UD = tables.fetch(route)
        vectors_BFD = field_vectors(rows_UD, route.places)
        plain_BFD = plain.vectors(batch)
        torch.testing.assert_close(vectors_BFD, plain_BFD, rtol=1e-12, atol=1e-15)
        vectors_BFD.sin().sum().backward()
        assert rows_UD.grad is not None
        tables.apply(route, tables.send(route, rows_UD.grad).wait(), 0.5)
        if batch.num_rows:
            plain_BFD.sin().sum().backward()
        plain.step([batch], 0.5)
    for table, rows in table_rows(tables).items():
        expected = plain.tables[table].weight.detach()
        torch.testing.assert_close(rows, expected, rtol=1e-12, atol=1e-15)


def test_a_route_may_be_made_before_the_batch_ahead_of_it_is_applied() -> None:
    in_turn, ahead = make(optimizer=RowAdam(0.1)), make(optimizer=RowAdam(0.1))
    train(in_turn, 6)
    routes = [ahead.route(batch) for batch in batches_of_rank(0, 6)]
    for route in routes:
        rows_UD = ahead.fetch(route)
        field_vectors(rows_UD, route.places).square().sum().backward()
        assert rows_UD.grad is not None
        ahead.apply(route, ahead.send(route, rows_UD.grad).wait(), 0.5)
    assert torch.equal(in_turn.state()["rows"], ahead.state()["rows"])


def test_rows_fetched_without_gradient_are_plain_values() -> None:
    tables = make()
    batch = random_batch(3, torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert not tables.fetch(tables.route(batch)).requires_grad
    assert tables.fetch(tables.route(batch)).requires_grad


@pytest.mark.parametrize("num_writers, num_readers", [(1, 1), (3, 1), (1, 2), (3, 4)])
def test_shards_of_any_number_of_ranks_are_read_by_any_other(
    num_writers: int, num_readers: int
) -> None:
    trained = make(optimizer=RowAdam(0.1))
    train(trained, 4)
    shards = []
    for rank in range(num_writers):
        writer = make(Seat(rank, num_writers), RowAdam(0.1), seed=2)
        writer.load_buckets(0, trained.state(), trained.space)
        shards.append((writer.buckets.start, {n: t.clone() for n, t in writer.state().items()}))
    readers = [make(Seat(rank, num_readers), RowAdam(0.1), seed=3) for rank in range(num_readers)]
    for reader in readers:
        for first_bucket, tensors in shards:
            reader.load_buckets(first_bucket, tensors, trained.space)
    for name, tensor in trained.state().items():
        assert torch.equal(torch.cat([reader.state()[name] for reader in readers]), tensor)


def test_a_table_grows_on_load_and_no_other_row_moves() -> None:
    small = make(optimizer=RowAdagrad(0.1))
    train(small, 4)
    sizes = {**NUM_ROWS_OF_TABLE, "tags": 4000}
    grown, fresh = (make(optimizer=RowAdagrad(0.1), seed=2, num_rows_of_table=sizes)
                    for _ in range(2))
    grown.load_buckets(0, small.state(), small.space)
    for name in ("rows", "adagrad_sum"):
        for table, rows in table_rows(small, name).items():
            assert torch.equal(table_rows(grown, name)[table][: len(rows)], rows)
    # A bucket is taken over whole; past it the rows are new.
    assert torch.equal(table_rows(grown)["tags"][1024:], table_rows(fresh)["tags"][1024:])
    assert not table_rows(grown, "adagrad_sum")["tags"][3:].any()


def test_tables_that_shrank_or_went_away_are_refused() -> None:
    tables = make(num_rows_of_table={**NUM_ROWS_OF_TABLE, "item": 1499})
    whole = make()
    with pytest.raises(InputError, match="'item': the checkpoint holds 1,500 rows, .* give 1,499"):
        tables.load_buckets(0, whole.state(), whole.space)
    with pytest.raises(InputError, match="'shop': the checkpoint holds 9 rows, .* give 0"):
        whole.load_buckets(0, whole.state(), RowSpace({"shop": 9}))


def test_another_optimizers_state_is_refused_and_none_is_needed_to_predict() -> None:
    adagrad = make(optimizer=RowAdagrad(0.1))
    with pytest.raises(InputError, match="holds no 'adam_mean' .*it has adagrad_sum, rows"):
        make(optimizer=RowAdam(0.1)).load_buckets(0, adagrad.state(), adagrad.space)
    predictor = make(seed=2)
    predictor.load_buckets(0, adagrad.state(), adagrad.space)
    assert torch.equal(predictor.state()["rows"], adagrad.state()["rows"])
    assert list(predictor.state()) == ["rows"]


def test_weights_alone_leave_the_optimizer_as_it_began_but_not_who_was_admitted() -> None:
    trained = make(optimizer=Admission(RowAdagrad(0.1), 2))
    train(trained, 4)
    fresh = make(optimizer=Admission(RowAdagrad(0.1), 2), seed=2)
    fresh.load_buckets(0, trained.state(), trained.space, weights_only=True)
    for name in ("rows", "sightings"):
        assert torch.equal(fresh.state()[name], trained.state()[name])
    assert trained.state()["adagrad_sum"].any() and not fresh.state()["adagrad_sum"].any()
    plain = make(optimizer=RowAdam(0.1))
    plain.load_buckets(0, trained.state(), trained.space, weights_only=True)
    assert torch.equal(plain.state()["rows"], trained.state()["rows"])


@pytest.mark.parametrize("num_ranks", [1, 3])
def test_replicated_tables_are_held_whole_and_written_once(num_ranks: int) -> None:
    whole = make()
    copies = [make(Seat(rank, num_ranks), is_replicated=True) for rank in range(num_ranks)]
    written = torch.cat([copy.state()["rows"] for copy in copies])
    assert torch.equal(written, whole.state()["rows"])
    trained = make(seed=5)
    for copy in copies:
        copy.load_buckets(0, trained.state(), trained.space)
    written = torch.cat([copy.state()["rows"] for copy in copies])
    assert torch.equal(written, trained.state()["rows"])


class Mirror(Seat):
    """Two ranks that send each other the same, seen by the first."""

    def begin_exchange(
        self, tensor_NX: Tensor, num_rows_to_rank: Sequence[int], name: str
    ) -> Pending[tuple[Tensor, list[int]]]:
        return Here((tensor_NX, list(num_rows_to_rank)))


def test_on_the_way_as_float16_a_large_gradient_is_bounded_and_a_large_row_is_seen() -> None:
    world = Mirror(0, 2)
    router = Router(FEATURES, RowSpace(NUM_ROWS_OF_TABLE), world, torch.device("cpu"),
                    torch.float16, is_replicated=False)
    sent = torch.tensor([[1e30, -1e30, 0.1]])
    route: Any = SimpleNamespace(num_rows_to_rank=[1, 0], num_rows_from_rank=[1, 0])
    gradient, row = router.to_owners(sent, route).wait(), router.to_askers(sent, route).wait()
    assert gradient.tolist() == [[65_504, -65_504, 0.0999755859375]]
    assert row.tolist() == [[torch.inf, -torch.inf, 0.0999755859375]]


def test_a_rank_holds_only_its_buckets() -> None:
    shards = [make(Seat(rank, 4)) for rank in range(4)]
    whole = make()
    assert torch.equal(torch.cat([s.state()["rows"] for s in shards]), whole.state()["rows"])
    slot = whole.space.slot_of("user", 4321)
    owner = next(s for s in shards if bucket_of(4321) in s.buckets)
    inside = slot - owner.space.slots_of_buckets(owner.buckets).start
    row = owner.state()["rows"].flatten(0, 1)[inside]
    assert torch.equal(row, whole.state()["rows"].flatten(0, 1)[slot])
