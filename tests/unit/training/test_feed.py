"""One batch ahead: whose route begins when, and what is never asked for."""

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.world import Pending
from esmm_dist.training.feed import Feed

SLOW_SECONDS = 0.02


def feed_of(num_batches: int, begun: list[int]) -> Feed:
    """A feed of numbers for batches; reading one too many is an error."""

    def numbers() -> Iterator[int]:
        for number in range(num_batches):
            time.sleep(SLOW_SECONDS)
            yield number
        pytest.fail("one batch too many was asked for")

    def begin_route(batch: Batch) -> Pending[Any]:
        begun.append(cast(int, batch))
        return cast(Pending[Any], f"route of {batch}")

    return Feed(cast(Iterator[Batch], numbers()), num_batches, begin_route)


def test_each_route_begins_one_batch_ahead_and_none_beyond_the_last() -> None:
    begun: list[int] = []
    feed = feed_of(3, begun)
    for number in range(3):
        assert begun == list(range(number + 1))
        taken: object = feed.take()
        assert taken == (number, f"route of {number}")
        feed.look_ahead()
        assert begun == list(range(min(number + 2, 3)))


def test_a_batch_is_not_taken_before_it_was_looked_for() -> None:
    feed = feed_of(2, [])
    feed.take()
    with pytest.raises(AssertionError, match="look_ahead"):
        feed.take()


def test_what_is_on_its_way_when_all_ends_is_waited_for() -> None:
    waited: list[int] = []

    class Route:
        def wait(self) -> None:
            waited.append(1)

    def begin_route(batch: Batch) -> Pending[Any]:
        return cast(Pending[Any], Route())

    feed = Feed(cast(Iterator[Batch], iter([1, 2])), 2, begin_route)
    feed.take()
    feed.settle()
    assert not waited
    feed.look_ahead()
    feed.settle()
    assert waited == [1]


def test_waiting_for_batches_is_counted() -> None:
    feed = feed_of(2, [])
    feed.take()
    feed.look_ahead()
    assert feed.waited_seconds >= 2 * SLOW_SECONDS
