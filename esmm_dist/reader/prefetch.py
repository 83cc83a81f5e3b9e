"""Items made ahead of time by one background thread, which ends with whoever takes them.

It knows nothing of what the items are.
"""

import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from queue import Empty, Queue
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Prefetched(Iterator[Item], Generic[Item]):
    """An iterator over items that are made while earlier ones are in use.

    The thread ends with the last item, with an error (which is raised here, in order), with
    close(), or when nobody holds the iterator any longer.
    """

    def __init__(
        self, generate: Callable[[], Generator[Item, None, None]], num_items_ahead: int
    ) -> None:
        """Starts the thread.

        Args:
            generate: called in the thread; what it returns is closed there too.
            num_items_ahead: items that may wait to be taken.
        """
        self._queue: Queue[Item | _End] = Queue(num_items_ahead)
        stopping = threading.Event()
        thread = threading.Thread(
            target=_produce, args=(generate, self._queue, stopping), name="prefetch", daemon=True
        )
        self._finalizer = weakref.finalize(self, _stop, thread, self._queue, stopping)
        thread.start()

    def __next__(self) -> Item:
        if not self._finalizer.alive:
            raise StopIteration
        item = self._queue.get()
        if not isinstance(item, _End):
            return item
        self.close()
        raise item.error or StopIteration

    def close(self) -> None:
        """Ends the thread and drops the items not taken; closing again does nothing."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _End:
    """The last thing in the queue: no more items, or the reason why."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _produce(
    generate: Callable[[], Generator[Item, None, None]],
    queue: "Queue[Item | _End]",
    stopping: threading.Event,
) -> None:
    error: BaseException | None = None
    try:
        with closing(generate()) as items:
            for item in items:
                queue.put(item)
                if stopping.is_set():
                    break
    except BaseException as caught:  # whatever it is, whoever waits for the next item must hear it
        error = caught
    queue.put(_End(error))


def _stop(
    thread: threading.Thread, queue: "Queue[Item | _End]", stopping: threading.Event
) -> None:
    stopping.set()
    while True:
        try:
            while True:  # makes room, should the thread wait for it
                queue.get_nowait()
        except Empty:
            pass
        # The garbage collector may run this in the thread itself, which will then see the event.
        if thread is threading.current_thread() or not thread.is_alive():
            return
        thread.join(timeout=0.01)
