"""Connects the ranks of a training: alone, or through Horovod where horovodrun started them.

The only module that imports Horovod, and only when it is needed. It knows no model and no table.

Shape legend: N rows; X whatever follows the first dimension.
"""

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from esmm_dist.contract.command_line import EXIT_BAD_INPUT
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.telling import tell, tell_failure
from esmm_dist.contract.world import Here, Pending, Traffic, World
from esmm_dist.distributed.heartbeats import Heartbeats
from esmm_dist.distributed.launcher import is_launched, store_of_launcher
from esmm_dist.distributed.padding import Padding
from esmm_dist.distributed.waiting import wait_until

# Only defaults: what the user exports, or horovodrun sets by its flags, stands.
HOROVOD_DEFAULTS = {
    # A collective that some rank has not reached: the ranks missing are named after the first time,
    # and after the second one the job ends.
    "HOROVOD_STALL_CHECK_TIME_SECONDS": "60",
    "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "600",
    # A machine or process that no longer answers at all. It also bounds how long ranks wait for
    # each other's start, where Horovod's own 30 s are short for many processes on few cores.
    "HOROVOD_GLOO_TIMEOUT_SECONDS": "120",
}

EXIT_FAILED = 1

# How long a rank whose input is bad waits to hear whether the others found the same.
SECONDS_TO_MEET = 3.0

# A rank that ends tells the others within moments. Who has waited longer than this before all was
# given up waited for one that had stopped; there is time to ask which.
SECONDS_OF_A_STALL = 5.0


class RankLostError(RuntimeError):
    """A collective was given up because another rank failed, ended or stalled."""


@contextmanager
def connect() -> Iterator[World]:
    """The world this process takes part in, for the length of a `with`.

    However the block ends, this rank leaves the others, so that none waits for it: their next
    collective fails, and they end with status 1 and one line. Among many, a rank that fails says
    why before it leaves, because horovodrun terminates all of them once the first has ended; what
    they all found alike is said once. Alone, an error goes its own way.
    """
    if not is_launched():
        yield SoloWorld()
        return
    hvd = connected_horovod()
    with heartbeats_of(hvd) as heartbeats:
        world = HorovodWorld(hvd, heartbeats)
        try:
            yield world
        except Exception as error:
            raise SystemExit(world.tell(error)) from None
        finally:
            hvd.shutdown()


def connected_horovod() -> Any:
    """The module horovod.torch, once this process has joined the others.

    Raises:
        InputError: there is no launcher.
    """
    store_of_launcher()
    for key, value in HOROVOD_DEFAULTS.items():
        os.environ.setdefault(key, value)
    import horovod.torch as hvd

    hvd.init()
    return hvd


def heartbeats_of(hvd: Any) -> Heartbeats:
    """This rank's, for the store of the launcher that started it."""
    return Heartbeats(store_of_launcher(), hvd.rank(), hvd.size())


class SoloWorld:
    """One process by itself. Tensors come back as they are, not as copies."""

    rank = 0
    num_ranks = 1
    local_rank = 0
    num_local_ranks = 1

    def __init__(self) -> None:
        self.traffic = Traffic()

    def sum(self, tensor: Tensor, name: str) -> Tensor:
        return tensor

    def begin_exchange(
        self, tensor_NX: Tensor, num_rows_to_rank: Sequence[int], name: str
    ) -> Pending[tuple[Tensor, list[int]]]:
        assert list(num_rows_to_rank) == [len(tensor_NX)], name
        return Here((tensor_NX, list(num_rows_to_rank)))

    def broadcast(self, tensor: Tensor, name: str) -> Tensor:
        return tensor

    def gather_objects(self, value: object, name: str) -> list[object]:
        return [_from_json(_to_json(value))]

    def barrier(self, name: str) -> None:
        return None

    def pause(self) -> None:
        return None


class HorovodWorld:
    """The processes that horovodrun started. Every collective carries its caller's name."""

    def __init__(
        self, hvd: Any, heartbeats: Heartbeats, on_pause: Callable[[], None] | None = None
    ) -> None:
        """
        Args:
            hvd: the module horovod.torch, already initialised.
            on_pause: of an elastic job: raises what ends this run when its members are to change.
        """
        self._hvd = hvd
        self._heartbeats = heartbeats
        self._on_pause = on_pause
        self.rank: int = hvd.rank()
        self.num_ranks: int = hvd.size()
        self.local_rank: int = hvd.local_rank()
        self.num_local_ranks: int = hvd.local_size()
        self.traffic = Traffic()
        self._padding = Padding(self.rank)

    def sum(self, tensor: Tensor, name: str) -> Tensor:
        hvd = self._hvd
        self.traffic.sent_bytes += 2 * tensor.nbytes * (self.num_ranks - 1) // self.num_ranks
        return self._begin(
            name, lambda: hvd.allreduce_async(tensor.detach().contiguous(), op=hvd.Sum, name=name)
        ).wait()

    def begin_exchange(
        self, tensor_NX: Tensor, num_rows_to_rank: Sequence[int], name: str
    ) -> Pending[tuple[Tensor, list[int]]]:
        assert sum(num_rows_to_rank) == len(tensor_NX), name
        if len(tensor_NX):
            to_others = len(tensor_NX) - num_rows_to_rank[self.rank]
            self.traffic.sent_bytes += to_others * (tensor_NX.nbytes // len(tensor_NX))
        padded = self._padding.pad(tensor_NX.detach(), num_rows_to_rank, name)
        splits = torch.tensor(padded.num_rows_to_rank, dtype=torch.int32)
        return self._begin(
            name,
            lambda: self._hvd.alltoall_async(padded.rows_CX, splits=splits, name=name),
            lambda result: padded.without_padding(result[0], result[1].tolist()),
        )

    def broadcast(self, tensor: Tensor, name: str) -> Tensor:
        return self._begin(
            name, lambda: self._hvd.broadcast_async(tensor.detach().contiguous(), 0, name=name)
        ).wait()

    def gather_objects(self, value: object, name: str) -> list[object]:
        own = torch.frombuffer(bytearray(_to_json(value)), dtype=torch.uint8)
        size = torch.tensor([len(own)])
        hvd = self._hvd
        sizes = self._begin(name, lambda: hvd.allgather_async(size, name=f"{name}.sizes")).wait()
        gathered = self._begin(name, lambda: hvd.allgather_async(own, name=name)).wait()
        return [_from_json(part.numpy().tobytes()) for part in gathered.split(sizes.tolist())]

    def barrier(self, name: str) -> None:
        # Horovod's own barrier has no name for the stall inspector to report.
        self.sum(torch.zeros(1), name)

    def pause(self) -> None:
        if self._on_pause:
            self._on_pause()

    def tell(self, error: Exception) -> int:
        """Says on stderr why this rank ends; a line that several have is said by the first of them.

        Returns:
            The exit status.
        """
        if not isinstance(error, (InputError, RankLostError)):
            tell_failure(error)
            return EXIT_FAILED
        line = f"error: {error}"
        if isinstance(error, RankLostError):
            tell("error", line)
            return EXIT_FAILED
        line_of_rank = self._meet(line)
        if line_of_rank is None or line_of_rank.index(line_of_rank[self.rank]) == self.rank:
            tell("error", line)
        if line_of_rank is not None:
            self._meet("told")  # whoever leaves first, every line is out
        return EXIT_BAD_INPUT

    def _meet(self, line: str) -> list[bytes] | None:
        """The digests of all ranks' lines; None where some rank does not come in time."""
        digest_1X = torch.frombuffer(
            bytearray(hashlib.sha256(line.encode()).digest()), dtype=torch.uint8
        ).unsqueeze(0)
        try:
            handle = self._hvd.allgather_async(digest_1X, name="last words")
            if not wait_until(lambda: self._hvd.poll(handle), SECONDS_TO_MEET):
                return None
            return [digest_X.numpy().tobytes() for digest_X in self._hvd.synchronize(handle)]
        except self._hvd.HorovodInternalError:
            return None

    def _begin(
        self, name: str, begin: Callable[[], int],
        read: Callable[[Any], Any] = lambda result: result,
    ) -> "_OnItsWay":
        self._heartbeats.begin(name)
        with self._loss_told(name):
            return _OnItsWay(self, name, begin(), read)

    def result_of(self, handle: int, name: str) -> Any:
        """Waits for a collective's result."""
        begun = time.perf_counter()
        with self._loss_told(name):
            wait_until(lambda: self._hvd.poll(handle), math.inf)
            result = self._hvd.synchronize(handle)
        self.traffic.waited_seconds += time.perf_counter() - begun
        return result

    @contextmanager
    def _loss_told(self, name: str) -> Iterator[None]:
        """What Horovod says of a lost rank, in one line that names the collective and, after a long
        wait, the rank."""
        begun = time.monotonic()
        try:
            yield
        except self._hvd.HorovodInternalError as error:
            text = str(error)
            if text.startswith("Horovod has been shut down"):
                text = "another rank failed, ended or stalled: see what it wrote"
            waited_seconds = time.monotonic() - begun
            if waited_seconds > SECONDS_OF_A_STALL:
                text = f"waited {waited_seconds:.0f} s: {self._heartbeats.diagnosis()}"
            if self._on_pause:  # whoever runs an elastic job goes on without the rank
                tell("rank lost", f"rank {self.rank} gave up {name!r}: {text}")
                raise
            raise RankLostError(f"rank {self.rank} gave up {name!r}: {text}") from None


@dataclass(frozen=True)
class _OnItsWay:
    """A collective that Horovod works on in the background."""

    world: HorovodWorld
    name: str
    handle: int
    read: Callable[[Any], Any]

    def wait(self) -> Any:
        return self.read(self.world.result_of(self.handle, self.name))


def _to_json(value: object) -> bytes:
    return json.dumps(value).encode()


def _from_json(text: bytes) -> object:
    return json.loads(text)
