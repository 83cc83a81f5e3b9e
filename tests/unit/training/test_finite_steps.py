"""A step whose loss or gradient is not finite says where it came from and changes nothing."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from esmm_dist.contract.batch import Batch
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.training.finite import NonFiniteLoss
from esmm_dist.training.loop import Learner
from tests.factories.small_learner import BATCH_SIZE, batch, learner


def spoil(victim: Learner, where: str) -> Batch:
    """Puts a NaN into one place; returns the batch that will meet it."""
    rows = batch(1)
    if where == "weight":
        return replace(rows, weight_B=torch.full((BATCH_SIZE,), float("nan")))
    if where == "towers":
        with torch.no_grad():
            next(victim.model.parameters()).fill_(float("nan"))
        return rows
    first_row_of(victim, rows, where).fill_(float("nan"))
    return rows


def first_row_of(victim: Learner, rows: Batch, field: str) -> torch.Tensor:
    """The table's row that a batch looks up first for a field."""
    route = victim.tables.begin_route(rows).wait()
    place = route.places.entry_offsets_P1[{"user": 0, "item": 1}[field]]
    slot = route.slots_U[route.places.row_of_entry_E[place]]
    assert isinstance(victim.tables, ShardedEmbedding)
    return victim.tables.state()["rows"].view(-1, 4)[slot]


@pytest.mark.parametrize(
    ("where", "named"),
    [("user", "field user"), ("item", "field item"), ("weight", "column weight"),
     ("towers", "weights body")],
)
def test_a_loss_that_is_not_finite_names_where_it_came_from(where: str, named: str) -> None:
    victim = learner()
    rows = spoil(victim, where)
    before = [p.clone() for p in victim.model.parameters()]
    names: Sequence[str] = victim.field_names
    with pytest.raises(NonFiniteLoss, match=f"step 12: .*rank 0: {named}") as error:
        victim.step(rows, 12)
    others = {f"field {name}" for name in names} - {named}
    assert not any(other in str(error.value) for other in others)
    torch.testing.assert_close(list(victim.model.parameters()), before, equal_nan=True)


def test_a_gradient_of_rows_that_is_not_finite_stops_though_loss_and_weights_are() -> None:
    victim = learner()
    with torch.no_grad():
        first = next(victim.model.parameters())
        first.copy_(first.sign() * 1e308)
    with pytest.raises(NonFiniteLoss, match="gradient of field user.*1.0e.308 in weights body"):
        victim.step(batch(1), 12)


class EqualRanks(SoloWorld):
    """Very many ranks that all hold the same rows, seen by the first."""

    def sum(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        return tensor * 1e10


def test_a_sum_over_ranks_that_alone_is_not_finite_names_the_field_of_the_largest_rows() -> None:
    victim = learner()
    rows = batch(1)
    first_row_of(victim, rows, "item").fill_(-1e300)
    victim.world = EqualRanks()
    with pytest.raises(
        NonFiniteLoss, match=r"step 12: .*only in the sum over ranks.* is 1.0e\+300 in field item\)"
    ):
        victim.step(rows, 12)
