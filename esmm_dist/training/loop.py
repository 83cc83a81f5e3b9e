"""The training loop: batches in, steps taken, curves and checkpoints out.

It receives the model, the tables, the batches and the world; it knows no file, no Horovod and no
config. Every mean is over the global batch: ranks add their sums and weights in one allreduce, and
the division happens once, after it.

Shape legend: B rows of this rank; U distinct table rows its batch touches; D embedding dimension;
P parameters of the towers; S loss terms.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.world import Pending, World
from esmm_dist.training.feed import Feed
from esmm_dist.training.finite import Finding, NonFiniteLoss, find_culprits

if TYPE_CHECKING:
    from esmm_dist.contract.places import Places
    from esmm_dist.model.method import Heads, Stage


class Tables(Protocol):
    """The embedding tables as the loop sees them; rows may live on other ranks."""

    def begin_route(self, batch: Batch) -> Pending[Any]:
        """Begins to find the distinct rows of a batch and their owners; has `places` for the model,
        depends on no row."""

    def begin_fetch(self, route: Any) -> Pending[Tensor]:
        """The rows, (U, D), a leaf that collects gradients."""

    def send(self, route: Any, gradient_UD: Tensor) -> Pending[Tensor]:
        """Begins to send gradients to the owners."""

    def apply(self, route: Any, gradient_RD: Tensor, scale: float) -> None:
        """Takes what `send` brought: moves each row that some rank has seen once, by scale * its
        gradient's sum."""


@dataclass(frozen=True)
class Point:
    """One point of the curves: means over the rows since the point before."""

    step: int
    num_samples: int
    """Rows seen since the beginning, over all ranks."""
    losses: dict[str, float]
    """Mean over the rows' weights, by loss term, and their total under `loss`."""
    samples_per_second: float
    data_wait_share: float
    """Share of this rank's time spent waiting for the reader."""
    communication_wait_share: float
    """Share of this rank's time spent waiting for other ranks, and for what they sent."""
    sent_bytes_per_step: int
    """What this rank sends the others, checkpoints included."""


class Learner:
    """A model, its tables and the optimizer of its towers: what one step changes."""

    def __init__(
        self,
        model: nn.Module,
        tables: Tables,
        tower_optimizer: torch.optim.Optimizer,
        stage: "Stage",
        world: World,
        field_names: Sequence[str],
        product_dtype: torch.dtype | None = None,
    ) -> None:
        """Takes the parts together.

        Args:
            model: what learns in this stage; the optimizer may know other parameters beside.
            stage: its loss terms, each summed over this rank's rows.
            field_names: of the features in order of declaration, to name them in errors.
            product_dtype: the networks' products are taken of numbers rounded to it; None: as they
                are.
        """
        self.model = model
        self.tables = tables
        self.tower_optimizer = tower_optimizer
        self.stage = stage
        self.world = world
        self.field_names = field_names
        self.product_dtype = product_dtype
        self._parameters = [p for p in model.parameters() if p.requires_grad]

    def step(
        self, batch: Batch, step: int, ahead: Pending[Any] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Takes one step on one global batch, of which `batch` is this rank's share.

        Args:
            ahead: the batch's route, where it was begun before.
            meanwhile: called while the rows are on their way.

        Returns:
            The loss terms' sums and the sum of weights, over all ranks.

        Raises:
            NonFiniteLoss: on every rank alike, before anything has changed.
            InputError: as well, when no row of the global batch has a weight.
        """
        route = (ahead or self.tables.begin_route(batch)).wait()
        fetching = self.tables.begin_fetch(route)
        meanwhile()
        rows_UD = fetching.wait()
        logits = self._logits(rows_UD, route.places)
        counted = self.stage.reweigh(logits, batch) if self.stage.reweigh else batch
        sums = self._weighed(self.stage.loss_sums(logits, counted), counted)
        total = torch.stack(list(sums.values())).sum()
        for parameter in self._parameters:
            parameter.grad = None
        total.backward()

        assert rows_UD.grad is not None
        # They travel beside the towers' sum; owners use them once all are known to be finite.
        sent = self.tables.send(route, rows_UD.grad)
        terms_S3 = torch.stack([
            *(s.detach() for s in sums.values()), rows_UD.grad.sum(), batch.weight_B.sum(),
            counted.weight_B.sum(),
        ])
        flat_P = self.world.sum(self._flat_gradients(terms_S3), name="towers")
        # A sum of finite numbers is finite unless they are huge: only then each has to be seen.
        if not (flat_P.sum().isfinite() or flat_P.isfinite().all()):
            finding = find_culprits(
                self.model, self.field_names, batch, rows_UD, route.places, sums
            )
            gathered = self.world.gather_objects(finding.model_dump(), name="culprits")
            sent.wait()  # whoever goes on with something else begins with nothing on its way
            raise NonFiniteLoss(step, [Finding.model_validate(found) for found in gathered])

        *totals, _, weight_of_rows, weight = flat_P[-len(terms_S3):].clone()
        if weight_of_rows <= 0:
            raise InputError(
                f"step {step}: the column weight sums to {weight_of_rows.item():g} over the global "
                "batch: no mean can be taken of it; give its rows weights, or raise "
                "train.batch_size"
            )
        if weight > 0:  # else the stage has kept none of the rows, and there is nothing to learn
            self._set_gradients(flat_P, 1 / weight)
            self.tower_optimizer.step()
        gradient_RD = sent.wait()
        if weight > 0:
            self.tables.apply(route, gradient_RD, 1 / weight.item())
        return dict(zip(sums, totals)), weight

    def _logits(self, rows_UD: Tensor, places: "Places") -> "Heads":
        """What the loss is taken of, in the precision of the rows."""
        if self.product_dtype is None:
            return self.model(rows_UD, places)
        with torch.autocast(rows_UD.device.type, self.product_dtype):
            heads: Heads = self.model(rows_UD, places)
        return {head: logit_B.to(rows_UD.dtype) for head, logit_B in heads.items()}

    def _weighed(self, sums: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """The loss terms times the factors that their global means call for, if the stage has any.
        """
        if self.stage.weigh_terms is None:
            return sums
        own_S1 = torch.stack([*(s.detach() for s in sums.values()), batch.weight_B.sum()])
        *totals, weight = self.world.sum(own_S1, name="terms").tolist()
        means = {name: total / weight if weight else 0.0 for name, total in zip(sums, totals)}
        factors = self.stage.weigh_terms(means)
        return {name: factors[name] * value for name, value in sums.items()}

    def _flat_gradients(self, terms_S3: Tensor) -> Tensor:
        """All that ranks add up in a step, end to end, so that one allreduce in one order does."""
        gradients = [
            (p.grad if p.grad is not None else torch.zeros_like(p)).reshape(-1)
            for p in self._parameters
        ]
        return torch.cat([*gradients, terms_S3.to(gradients[0].dtype)])

    def _set_gradients(self, flat_P: Tensor, scale: Tensor) -> None:
        flat_P *= scale
        start = 0
        for parameter in self._parameters:
            end = start + parameter.numel()
            parameter.grad = flat_P[start:end].view_as(parameter)
            start = end


def train(
    learner: Learner,
    batches: Iterator[Batch],
    *,
    first_step: int,
    num_steps: int,
    batch_size: int,
    steps_per_point: int,
    on_point: Sequence[Callable[[Point], None]] = (),
    steps_per_checkpoint: int | None = None,
    on_checkpoint: Callable[[int], None] = lambda step: None,
) -> None:
    """Takes the steps from first_step to num_steps.

    The last step draws its point and writes its checkpoint by the same path as any other.

    Args:
        batches: yields this rank's share of the global batches first_step, first_step + 1, …
        on_point: called on every rank with each point of the curves.
        on_checkpoint: called on every rank with the number of steps done.
    """
    feed = Feed(batches, num_steps - first_step, learner.tables.begin_route)
    meter = _Meter(feed, learner.world, batch_size, first_step)
    for step in range(first_step, num_steps):
        batch, ahead = feed.take()
        try:
            meter.count(*learner.step(batch, step, ahead, meanwhile=feed.look_ahead))
        except NonFiniteLoss:
            feed.settle()
            raise
        done = step + 1
        if done % steps_per_point == 0 or done == num_steps:
            point = meter.point(done)
            for callback in on_point:
                callback(point)
            meter = _Meter(feed, learner.world, batch_size, done)
        at_interval = steps_per_checkpoint is not None and done % steps_per_checkpoint == 0
        if at_interval or done == num_steps:
            on_checkpoint(done)


class _Meter:
    """What happens from one point of the curves to the next."""

    def __init__(self, feed: Feed, world: World, batch_size: int, first_step: int) -> None:
        self._feed, self._world = feed, world
        self._batch_size, self._first_step = batch_size, first_step
        self._begun, self._waited_seconds = time.perf_counter(), feed.waited_seconds
        self._traffic = replace(world.traffic)
        self._sums: dict[str, Tensor] = {}
        self._weight: Tensor | float = 0.0

    def count(self, sums: dict[str, Tensor], weight: Tensor) -> None:
        """Adds a step's loss sums and weight."""
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in sums.items()}
        self._weight = self._weight + weight

    def point(self, step: int) -> Point:
        """The point at the end of a step."""
        seconds = time.perf_counter() - self._begun
        num_steps = step - self._first_step
        traffic, before = self._world.traffic, self._traffic
        return Point(
            step=step,
            num_samples=step * self._batch_size,
            losses=_means(self._sums, self._weight),
            samples_per_second=num_steps * self._batch_size / seconds,
            data_wait_share=(self._feed.waited_seconds - self._waited_seconds) / seconds,
            communication_wait_share=(traffic.waited_seconds - before.waited_seconds) / seconds,
            sent_bytes_per_step=(traffic.sent_bytes - before.sent_bytes) // num_steps,
        )


def _means(sums: dict[str, Tensor], weight: Tensor | float) -> dict[str, float]:
    means = {name: float(value / weight) for name, value in sums.items()}
    return {"loss": sum(means.values()), **means}
