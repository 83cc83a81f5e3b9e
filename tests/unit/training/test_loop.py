"""The loop: when points and checkpoints come, what a point tells, what is asked of tables when."""

from typing import Any

import pytest
import torch

from esmm_dist.contract.batch import Batch
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.training.loop import Point, train
from tests.factories.small_learner import BATCH_SIZE, batches, learner


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
