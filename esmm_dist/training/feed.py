"""Batches with their routes, each route begun while the batch before it is being computed.

It knows no model; what a route is, the tables know.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.world import Pending


class Feed:
    """One batch ahead of the trainer."""

    def __init__(
        self, batches: Iterator[Batch], num_batches: int,
        begin_route: Callable[[Batch], Pending[Any]],
    ) -> None:
        """Begins the first batch's route.

        Args:
            num_batches: taken of `batches`; no more is asked for.
        """
        self.waited_seconds = 0.0
        """Spent waiting for batches."""
        self._batches, self._num_left, self._begin_route = batches, num_batches, begin_route
        self._next: tuple[Batch, Pending[Any]] | None = None
        self.look_ahead()

    def take(self) -> tuple[Batch, Pending[Any]]:
        """The next batch and its route; then `look_ahead` is to be called, once the route is
        there, for two of them may not travel at a time."""
        assert self._next is not None, "look_ahead was not called"
        taken, self._next = self._next, None
        return taken

    def look_ahead(self) -> None:
        """Begins the route of the batch after the one taken, if there is one."""
        if self._num_left == 0:
            return
        self._num_left -= 1
        asked = time.perf_counter()
        batch = next(self._batches)
        self.waited_seconds += time.perf_counter() - asked
        self._next = batch, self._begin_route(batch)

    def settle(self) -> None:
        """Waits for what is still on its way, of which nobody will ask any more."""
        if self._next is not None:
            self._next[1].wait()
