"""One step of one learner: what weights, stages and precision mean to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Optimizer
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.training.tower_optimizer import load_towers, tower_tensors
from tests.factories.small_learner import BATCH_SIZE, batch, learner, tables_of, with_stage


def test_a_row_of_weight_zero_changes_nothing() -> None:
    rows, padding = batch(1), batch(2, num_rows=5)
    padded = Batch(
        ids_BF=torch.cat([rows.ids_BF, padding.ids_BF]),
        bags=(Bag(torch.cat([rows.bags[0].ids_V, padding.bags[0].ids_V]),
                  torch.arange(BATCH_SIZE + 6) * 2),),
        weight_B=torch.cat([rows.weight_B, torch.zeros(5)]), num_padded=5, delays=None,
        **{name: torch.cat([getattr(rows, name), getattr(padding, name)])
           for name in ("click_B", "conversion_B", "sample_id_B", "group_id_B")},
    )
    alone, together = learner(), learner()
    sums, weight = alone.step(rows, 0)
    padded_sums, padded_weight = together.step(padded, 0)
    assert weight == padded_weight == BATCH_SIZE
    for name, value in sums.items():
        torch.testing.assert_close(padded_sums[name], value, rtol=1e-12, atol=0)
    for before, after in zip(alone.model.parameters(), together.model.parameters()):
        torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-12)


def test_a_step_on_rows_without_weight_is_refused_before_anything_changes() -> None:
    victim = learner()
    rows = replace(batch(1), weight_B=torch.zeros(BATCH_SIZE))
    before = [p.clone() for p in victim.model.parameters()]
    assert isinstance(victim.tables, ShardedEmbedding)
    tables_before = {name: t.clone() for name, t in victim.tables.state().items()}
    with pytest.raises(InputError, match="^step 7: the column weight sums to 0 "):
        victim.step(rows, 7)
    torch.testing.assert_close(list(victim.model.parameters()), before, rtol=0, atol=0)
    torch.testing.assert_close(dict(victim.tables.state()), tables_before, rtol=0, atol=0)


def test_a_row_of_weight_three_teaches_as_three_such_rows_do() -> None:
    rows = batch(1)
    times_B = torch.arange(BATCH_SIZE) % 3 + 1
    copies = torch.repeat_interleave(torch.arange(BATCH_SIZE), times_B)
    (bag,) = rows.bags
    repeated = Batch(
        ids_BF=rows.ids_BF[copies],
        bags=(Bag(bag.ids_V.view(-1, 2)[copies].flatten(), torch.arange(len(copies) + 1) * 2),),
        **{name: getattr(rows, name)[copies] for name in
           ("click_B", "conversion_B", "weight_B", "sample_id_B", "group_id_B")},
    )
    weighted, plain = learner(), learner()
    sums, weight = weighted.step(replace(rows, weight_B=times_B.float()), 0)
    plain_sums, plain_weight = plain.step(repeated, 0)
    assert weight == plain_weight == len(copies)
    for name, total in sums.items():
        torch.testing.assert_close(total, plain_sums[name], rtol=1e-12, atol=0)
    for one, other in zip(weighted.model.parameters(), plain.model.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_twice_the_weight_is_twice_the_row() -> None:
    """A mean over the weights: scaling them all alike changes no parameter."""
    plain, scaled = learner(), learner()
    plain.step(batch(1), 0)
    scaled.step(replace(batch(1), weight_B=torch.full((BATCH_SIZE,), 7.0)), 0)
    for one, other in zip(plain.model.parameters(), scaled.model.parameters()):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)


def twice(rows: Batch) -> Batch:
    """The same rows once more."""
    (bag,) = rows.bags
    return replace(
        rows, ids_BF=torch.cat([rows.ids_BF] * 2),
        bags=(Bag(torch.cat([bag.ids_V] * 2), torch.arange(2 * rows.num_rows + 1) * 2),),
        click_B=torch.cat([rows.click_B] * 2), conversion_B=torch.cat([rows.conversion_B] * 2),
        weight_B=torch.cat([rows.weight_B] * 2), sample_id_B=torch.cat([rows.sample_id_B] * 2),
        group_id_B=torch.cat([rows.group_id_B] * 2),
    )


def test_the_same_rows_twice_are_the_same_step() -> None:
    """Of a summed loss they would be twice the step: its learning rate depends on the batch."""
    rule = Optimizer.model_validate({"name": "sgd", "learning_rate": 0.5})
    once, doubled = learner(rule, rule), learner(rule, rule)
    once.step(batch(1), 0)
    doubled.step(twice(batch(1)), 0)
    for one, other in zip(once.model.parameters(), doubled.model.parameters()):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(tables_of(doubled), tables_of(once), rtol=1e-12, atol=1e-15)


class Wrapped(torch.nn.Module):
    """A model inside of another, as libraries for parallel training hand it back."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.module = model

    def forward(self, *inputs: Any) -> Any:
        return self.module(*inputs)


def test_a_wrapped_model_is_trained_by_the_same_loss() -> None:
    """The loss is the stage's, whatever class the model is of."""
    plain, wrapped = learner(), learner()
    wrapped.model = Wrapped(wrapped.model)
    sums, _ = plain.step(batch(1), 0)
    sums_of_wrapped, _ = wrapped.step(batch(1), 0)
    assert list(sums_of_wrapped) == ["ctr_loss", "ctcvr_loss"]
    torch.testing.assert_close(sums_of_wrapped, sums, rtol=0, atol=0)


def test_rows_that_a_stage_gives_no_weight_are_as_if_they_were_not_there() -> None:
    def keep_clicked(logits: Any, rows: Batch) -> Batch:
        return replace(rows, weight_B=rows.weight_B * rows.click_B)

    picky, plain = with_stage(reweigh=keep_clicked), learner()
    sums, weight = picky.step(batch(1), 0)
    clicked = replace(batch(1), weight_B=batch(1).click_B)
    plain_sums, plain_weight = plain.step(clicked, 0)
    assert weight == plain_weight == batch(1).click_B.sum()
    torch.testing.assert_close(sums, plain_sums, rtol=1e-12, atol=0)
    for one, other in zip(picky.model.parameters(), plain.model.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


def test_a_step_of_which_a_stage_keeps_no_row_changes_nothing() -> None:
    def keep_none(logits: Any, rows: Batch) -> Batch:
        return replace(rows, weight_B=torch.zeros_like(rows.weight_B))

    victim = with_stage(reweigh=keep_none)
    before = [p.clone() for p in victim.model.parameters()]
    _, weight = victim.step(batch(1), 0)
    assert weight == 0
    torch.testing.assert_close(list(victim.model.parameters()), before, rtol=0, atol=0)


class TwoRanks(SoloWorld):
    """Two ranks, of which the other one's loss terms sum to 5 and 7, and its weights to 3."""

    def sum(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        return tensor + torch.tensor([5.0, 7.0, 3.0]) if name == "terms" else tensor


def test_factors_of_terms_follow_from_means_over_all_ranks_and_have_no_gradient() -> None:
    met: list[dict[str, float]] = []

    def weigh(means: Mapping[str, float]) -> dict[str, float]:
        met.append(dict(means))
        return {"ctr_loss": 1.0, "ctcvr_loss": 0.25}

    weighed, plain = with_stage(weigh_terms=weigh), learner()
    weighed.world = TwoRanks()
    sums, weight = weighed.step(batch(1), 0)
    plain_sums, _ = plain.step(batch(1), 0)
    assert met == [{name: pytest.approx(((plain_sums[name] + others) / (weight + 3)).item())
                    for name, others in (("ctr_loss", 5.0), ("ctcvr_loss", 7.0))}]
    torch.testing.assert_close(sums["ctr_loss"], plain_sums["ctr_loss"])
    torch.testing.assert_close(sums["ctcvr_loss"], plain_sums["ctcvr_loss"] / 4)


@pytest.mark.parametrize("name", ["adam", "adagrad", "sgd"])
def test_a_tower_optimizer_goes_on_where_it_was_saved(name: str) -> None:
    rule = Optimizer.model_validate({"name": name})
    unbroken = learner(towers=rule)
    for step in range(3):
        unbroken.step(batch(step), step)
    saved = {k: t.clone() for k, t in
             tower_tensors(unbroken.model, unbroken.tower_optimizer).items()}
    resumed = learner(towers=rule)
    load_towers(resumed.model, saved, resumed.tower_optimizer)
    resumed.tables = unbroken.tables
    torch.testing.assert_close(
        dict(tower_tensors(resumed.model, resumed.tower_optimizer)), saved, rtol=0, atol=0
    )
    gradient = [torch.ones_like(p) for p in unbroken.model.parameters()]
    for each in (unbroken, resumed):
        for parameter, value in zip(each.model.parameters(), gradient):
            parameter.grad = value.clone()
        each.tower_optimizer.step()
    for one, other in zip(unbroken.model.parameters(), resumed.model.parameters()):
        assert torch.equal(one, other)


def test_rounded_products_move_the_loss_a_little_and_keep_nothing_rounded() -> None:
    exact, rounded = learner(dtype=torch.float32), learner(dtype=torch.float32)
    rounded.product_dtype = torch.bfloat16
    found = [one.step(batch(0), 0) for one in (exact, rounded)]
    for name, expected in found[0][0].items():
        loss = found[1][0][name]
        assert loss.dtype == torch.float32 and loss != expected
        torch.testing.assert_close(loss, expected, rtol=1e-2, atol=0)
    assert isinstance(rounded.tables, ShardedEmbedding)
    kept = [*rounded.model.parameters(), *rounded.tables.state().values()]
    assert {tensor.dtype for tensor in kept} == {torch.float32, torch.int32}, "counts too"
    route = rounded.tables.route(batch(1))
    rows_UD = rounded.tables.fetch(route)
    heads = rounded.model(rows_UD, route.places)
    assert all(logit_B.dtype == torch.float32 for logit_B in heads.values())
