"""Tables of networks that share nothing: one route, rows side by side, updates kept apart."""

import torch

from esmm_dist.contract.row_space import RowSpace
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.network_tables import NetworkTables
from esmm_dist.distributed.row_optimizers import RowAdam
from esmm_dist.distributed.world import SoloWorld
from tests.factories.random_batches import FEATURES, NUM_ROWS_OF_TABLE, random_batch

DIM = 3


def tables(seed: int = 1) -> NetworkTables:
    return NetworkTables({
        name: ShardedEmbedding(FEATURES, NUM_ROWS_OF_TABLE, DIM, SoloWorld(), RowAdam(0.1),
                               seed + place)
        for place, name in enumerate(("ctr", "cvr"))
    })


def copied(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def test_rows_come_side_by_side_in_the_order_asked_for() -> None:
    batch = random_batch(8, torch.Generator().manual_seed(1))
    both = tables()
    one, other = both.part(["ctr", "cvr"], ()), both.part(["cvr"], ["ctr"])
    route = one.route(batch)
    rows_UX, swapped_UX = one.fetch(route), other.fetch(route)
    assert rows_UX.shape == (len(route.slots_U), 2 * DIM) and rows_UX.is_leaf
    assert torch.equal(rows_UX[:, :DIM], swapped_UX[:, DIM:])
    assert not torch.equal(rows_UX[:, :DIM], rows_UX[:, DIM:]), "they begin differently"


def test_a_network_that_is_read_or_left_out_keeps_its_rows_and_its_optimizer() -> None:
    """Adam would move them by their momentum, though their gradient is zero."""
    batch = random_batch(8, torch.Generator().manual_seed(1))
    for read in ((), ("ctr",)):
        both = tables()
        first = both.part(["ctr", "cvr"], ())
        route = first.route(batch)
        first.apply(route, torch.ones(len(route.slots_U), 2 * DIM), 1.0)
        before = copied(both.state())
        part = both.part(["cvr"], read)
        width = DIM * (1 + len(read))
        sent = part.send(route, torch.ones(len(route.slots_U), width))
        part.apply(route, sent.wait(), 1.0)
        for name, tensor in both.state().items():
            assert torch.equal(tensor, before[name]) == name.startswith("ctr/"), name


def test_a_state_comes_back_by_network() -> None:
    saved = copied(tables(seed=7).state())
    both = tables()
    both.load_buckets(0, saved, RowSpace(NUM_ROWS_OF_TABLE))
    found = both.state()
    assert found.keys() == saved.keys()
    assert all(torch.equal(found[name], saved[name]) for name in saved)
