"""One learner, one world: what a step and a curve's point mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import (
    CategoricalFeature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
)
from esmm_dist.contract.sections import Model, Optimizer
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.row_optimizers import row_optimizer
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.model.method import method_of
from esmm_dist.model.network import Network
from esmm_dist.training.finite import NonFiniteLoss
from esmm_dist.training.loop import Learner, Point, train
from esmm_dist.training.tower_optimizer import (
    load_towers,
    make_tower_optimizer,
    tower_tensors,
)

FEATURES = (
    CategoricalFeature(name="user", group=Group.USER, encode=HashEncoding(hash_size=30)),
    CategoricalFeature(name="item", group=Group.ITEM, encode=HashEncoding(hash_size=40)),
    MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM,
                       encode=HashEncoding(hash_size=9)),
)
SIZES = {"user": 30, "item": 40, "tags": 9}
BATCH_SIZE = 16


def learner(
    towers: Optimizer = Optimizer(), tables: Optimizer = Optimizer(),
    dtype: torch.dtype = torch.float64,
) -> Learner:
    """A small learner, always the same."""
    world = SoloWorld()
    model = Model(embedding_dim=4, hidden_units=(8,))
    method = method_of(model, seed=3)
    (spec,) = method.networks.values()
    network = Network(FEATURES, model, spec, 3, dtype)
    embedding = ShardedEmbedding(
        FEATURES, SIZES, 4, world, row_optimizer(tables), seed=3, dtype=dtype
    )
    return Learner(
        network, embedding, make_tower_optimizer(network, towers), method.stages[0], world,
        [feature.name for feature in FEATURES],
    )


def batch(seed: int, num_rows: int = BATCH_SIZE) -> Batch:
    """Random rows."""
    generator = torch.Generator().manual_seed(seed)

    def ids(size: int, num: int) -> torch.Tensor:
        return torch.randint(1, size, (num,), generator=generator, dtype=torch.int32)

    click_B = (torch.rand(num_rows, generator=generator) < 0.5).float()
    conversion_B = click_B * (torch.rand(num_rows, generator=generator) < 0.5).float()
    keys_B = torch.zeros(num_rows, dtype=torch.int64)
    return Batch(
        ids_BF=torch.stack([ids(30, num_rows), ids(40, num_rows)], dim=1),
        bags=(Bag(ids(9, 2 * num_rows), torch.arange(num_rows + 1) * 2),),
        click_B=click_B, conversion_B=conversion_B, weight_B=torch.ones(num_rows),
        sample_id_B=keys_B, group_id_B=keys_B,
    )


def batches(num_steps: int, first_step: int = 0) -> Iterator[Batch]:
    return (batch(step) for step in range(first_step, num_steps))


def run(num_steps: int, steps_per_point: int) -> tuple[list[Point], list[int]]:
    """The points and checkpoints of a short training."""
    points: list[Point] = []
    saved: list[int] = []
    train(
        learner(), batches(num_steps), first_step=0, num_steps=num_steps, batch_size=BATCH_SIZE,
        steps_per_point=steps_per_point, on_point=[points.append], steps_per_checkpoint=4,
        on_checkpoint=saved.append,
    )
    return points, saved


def test_points_and_checkpoints_come_at_their_interval_and_at_the_end() -> None:
    points, saved = run(num_steps=10, steps_per_point=3)
    assert [point.step for point in points] == [3, 6, 9, 10]
    assert [point.num_samples for point in points] == [48, 96, 144, 160]
    assert saved == [4, 8, 10]


def test_a_point_is_the_mean_of_its_steps() -> None:
    fine, _ = run(num_steps=6, steps_per_point=1)
    coarse, _ = run(num_steps=6, steps_per_point=3)
    for name in ("loss", "ctr_loss", "ctcvr_loss"):
        means = [sum(p.losses[name] for p in fine[start : start + 3]) / 3 for start in (0, 3)]
        assert [p.losses[name] for p in coarse] == pytest.approx(means, rel=1e-12)


class TracedTables:
    """Tables that note what they are asked, and of which batch."""

    def __init__(self, tables: Any) -> None:
        self._tables, self._routes, self.asked = tables, list[Any](), list[tuple[str, int]]()

    def begin_route(self, batch: Batch) -> "TracedTables":
        self._routes.append(self._tables.begin_route(batch).wait())
        self.asked.append(("route", len(self._routes) - 1))
        self._waiting = iter(self._routes[-1:])
        return self

    def wait(self) -> Any:
        return next(self._waiting)

    def __getattr__(self, name: str) -> Any:
        def ask(route: Any, *arguments: Any) -> Any:
            number = next(n for n, known in enumerate(self._routes) if known is route)
            self.asked.append((name, number))
            return getattr(self._tables, name)(route, *arguments)

        return ask


def test_the_next_batch_is_looked_up_while_this_ones_rows_are_on_their_way() -> None:
    traced = learner()
    tables = TracedTables(traced.tables)
    traced.tables = tables
    train(traced, batches(3), first_step=0, num_steps=3, batch_size=BATCH_SIZE, steps_per_point=3)
    assert tables.asked == [
        ("route", 0),
        ("begin_fetch", 0), ("route", 1), ("send", 0), ("apply", 0),
        ("begin_fetch", 1), ("route", 2), ("send", 1), ("apply", 1),
        ("begin_fetch", 2), ("send", 2), ("apply", 2),
    ]


class CountingWorld(SoloWorld):
    """A world whose sums cost a second and 100 bytes each."""

    def sum(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        self.traffic.waited_seconds += 1
        self.traffic.sent_bytes += 100
        return tensor


def test_a_point_tells_what_waiting_and_sending_its_steps_took() -> None:
    counted = learner()
    counted.world = CountingWorld()
    points: list[Point] = []
    train(counted, batches(4), first_step=0, num_steps=4, batch_size=BATCH_SIZE, steps_per_point=2,
          on_point=[points.append])
    assert [point.sent_bytes_per_step for point in points] == [100, 100]
    seconds = 2 * BATCH_SIZE / points[1].samples_per_second
    assert points[1].communication_wait_share == pytest.approx(2 / seconds)


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


def tables_of(trained: Learner) -> dict[str, torch.Tensor]:
    assert isinstance(trained.tables, ShardedEmbedding)
    return dict(trained.tables.state())


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


def with_stage(**changes: Any) -> Learner:
    """The learner, with a stage that is ESMM's but for what is given."""
    changed = learner()
    changed.stage = replace(changed.stage, **changes)
    return changed


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
