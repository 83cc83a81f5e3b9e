"""Signs of life, by which a rank that has stopped can be named by those that wait for it.

Each rank tells the launcher's key-value store, a few times a minute, that it lives and which
collective it was last in. Horovod itself says only that some collective failed. It knows no tensor.
"""

import json
import threading
import time
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

SCOPE = "esmm_dist.heartbeats"
SECONDS_PER_BEAT = 2.0
SECONDS_PER_REQUEST = 2.0
# The store is one Python process: it hears so many beats a second at most.
MAX_BEATS_PER_SECOND = 100


class Heartbeats:
    """This rank's, and a look at those of the others. Use it in a `with` statement."""

    def __init__(self, store: str, rank: int, num_ranks: int) -> None:
        """
        Args:
            store: host:port of the launcher's key-value store.
        """
        self._collective, self._num_begun = "none", 0
        self._url = f"http://{store}/{SCOPE}"
        self._rank, self._num_ranks = rank, num_ranks
        self._seconds_per_beat = max(SECONDS_PER_BEAT, num_ranks / MAX_BEATS_PER_SECOND)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeats")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()

    def begin(self, collective: str) -> None:
        """Notes that this rank has come to a collective; all come to the same ones in one order."""
        self._collective = collective
        self._num_begun += 1

    def diagnosis(self) -> str:
        """Which ranks do not answer, and where the others are; takes two beats."""
        try:
            before = self._read_all()
            time.sleep(2.5 * self._seconds_per_beat)
            after = self._read_all()
        except OSError:
            return "the launcher no longer answers either: look at the machine it runs on"
        silent, behind = [], []
        for rank, (then, now) in enumerate(zip(before, after)):
            if rank == self._rank:
                continue
            if now is None:
                silent.append(f"rank {rank} has never been heard of")
            elif then == now:
                silent.append(f"rank {rank} no longer answers (last in {now['collective']!r})")
            elif now["num_begun"] < self._num_begun:
                behind.append(f"rank {rank} lives, but has not gone on from {now['collective']!r}")
        return "; ".join(silent or behind) or "all ranks answer"

    def _beat(self) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            beat = {"number": number, "collective": self._collective,
                    "num_begun": self._num_begun}
            request = Request(f"{self._url}/{self._rank}", json.dumps(beat).encode(), method="PUT")
            try:
                urlopen(request, timeout=SECONDS_PER_REQUEST).close()
            except OSError:
                pass  # a beat may be missed; who hears none at all will say so
            self._ending.wait(self._seconds_per_beat)

    def _read_all(self) -> list[dict[str, Any] | None]:
        """The last beat of every rank; gives up at once where the store does not answer, for each
        rank asked in vain takes its time."""
        return [self._read(rank) for rank in range(self._num_ranks)]

    def _read(self, rank: int) -> dict[str, Any] | None:
        try:
            with urlopen(f"{self._url}/{rank}", timeout=SECONDS_PER_REQUEST) as answer:
                beat: dict[str, Any] = json.loads(answer.read())
                return beat
        except (HTTPError, ValueError):  # the store has none of it
            return None
