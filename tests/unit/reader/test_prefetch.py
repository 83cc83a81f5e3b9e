"""Background items: all of them, in order, and no thread left behind whatever happens."""

import gc
import threading
import time
from collections.abc import Callable, Generator

import pytest

from esmm_dist.reader.prefetch import Prefetched


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def no_thread_outlives_its_iterator() -> Generator[None, None, None]:
    assert prefetch_threads() == []
    yield
    gc.collect()
    assert prefetch_threads() == []


class Source:
    """Numbers, with a record of how far it got and whether it was closed, and where."""

    def __init__(self, num_items: int, error_at: int | None = None) -> None:
        self.num_items, self.error_at = num_items, error_at
        self.num_made = 0
        self.closed_in: threading.Thread | None = None

    def __call__(self) -> Generator[int, None, None]:
        try:
            for number in range(self.num_items):
                if number == self.error_at:
                    raise ValueError(f"no item {number}")
                self.num_made += 1
                yield number
        finally:
            self.closed_in = threading.current_thread()


def prefetched(source: Callable[[], Generator[int, None, None]], ahead: int = 3) -> Prefetched[int]:
    return Prefetched(source, num_items_ahead=ahead)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_items_come_in_order_and_end() -> None:
    items = prefetched(Source(10))
    assert list(items) == list(range(10))
    assert next(items, None) is None


def test_the_thread_runs_ahead_only_as_far_as_it_may() -> None:
    source = Source(100)
    with prefetched(source, ahead=3) as items:
        assert next(items) == 0
        wait_until(lambda: source.num_made == 5)  # one taken, three waiting, one in hand
        time.sleep(0.02)
        assert source.num_made == 5


def test_an_error_is_raised_in_its_place() -> None:
    items = prefetched(Source(10, error_at=2))
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="no item 2"):
        next(items)
    assert prefetch_threads() == []
    assert next(items, None) is None


def test_closing_early_closes_the_source_in_its_own_thread() -> None:
    source = Source(1000)
    with prefetched(source) as items:
        next(items)
        (thread,) = prefetch_threads()
    assert source.closed_in is thread
    assert source.num_made < 10
    assert next(items, None) is None
    items.close()


def test_an_error_of_the_user_ends_the_thread() -> None:
    with pytest.raises(KeyError):
        with prefetched(Source(1000)) as items:
            next(items)
            raise KeyError("user")
    assert prefetch_threads() == []


def test_an_iterator_that_is_dropped_ends_its_thread() -> None:
    source = Source(1000)
    items = prefetched(source)
    next(items)
    del items
    gc.collect()
    assert prefetch_threads() == []
    assert source.closed_in is not None


def test_a_source_that_cannot_start_is_an_error_of_the_first_item() -> None:
    def broken() -> Generator[int, None, None]:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        next(prefetched(broken))
