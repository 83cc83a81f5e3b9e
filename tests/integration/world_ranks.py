"""What each rank of test_world.py does: world_ranks.py speak FOLDER | refuse | raise | die | stop |
loiter."""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.world import World
from esmm_dist.distributed.heartbeats import SECONDS_PER_BEAT
from esmm_dist.distributed.world import connect


def speak(world: World, folder: Path) -> None:
    """Uses every collective and writes down what came back."""
    rank, num_ranks = world.rank, world.num_ranks
    generator = torch.Generator().manual_seed(rank)
    heard = {
        "place": [rank, num_ranks, world.local_rank, world.num_local_ranks],
        "sum": world.sum(torch.tensor([[1.0, rank]], dtype=torch.float64), "sum").tolist(),
        "sum_of_scalar": world.sum(torch.tensor(rank), "scalar").tolist(),
        "sum_of_nothing": world.sum(torch.zeros(0), "nothing").tolist(),
        "sum_of_many": world.sum(torch.randn(100_003, generator=generator), "many").tolist(),
        "broadcast": world.broadcast(torch.tensor([rank + 7, 2**60]), "broadcast").tolist(),
        "objects": world.gather_objects({"rank": rank, "text": "ü" * rank, "none": None}, "o"),
        # To each rank as many rows as its number plus mine.
        "uneven": exchange(world, [rank + to for to in range(num_ranks)], "uneven"),
        "silent_rank": exchange(world, [0 if rank == 1 else 2] * num_ranks, "silent"),
        "silence": exchange(world, [0] * num_ranks, "silence"),
        # Of one name: more, fewer and no rows, on each rank other ones.
        "changing": [
            exchange(world, [step * (rank + to) for to in range(num_ranks)], "changing")
            for step in (2, 3, 1, 0, 2)
        ],
        "only_to_last": exchange(world, [0] * (num_ranks - 1) + [3], "last"),
        "waits_of_an_idle_second": waits_of_an_idle_second(),
    }
    world.barrier("end")
    (folder / f"{rank}.json").write_text(json.dumps(heard))


def waits_of_an_idle_second() -> int:
    """How often this process's threads go to sleep while nobody has anything to say."""
    before = num_waits()
    time.sleep(1)
    return num_waits() - before


def num_waits() -> int:
    """Since the threads began."""
    lines = [line for status in Path("/proc/self/task").glob("*/status")
             for line in status.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def exchange(
    world: World, num_rows_to_rank: list[int], name: str
) -> tuple[list[object], list[int]]:
    """Rows that say who sent them to whom and the how many-th they are."""
    rows = [
        [world.rank * 2**60, to, n] for to, count in enumerate(num_rows_to_rank)
        for n in range(count)
    ]
    sent: Tensor = torch.tensor(rows, dtype=torch.int64).view(-1, 3)
    received, num_rows_from_rank = world.begin_exchange(sent, num_rows_to_rank, name).wait()
    return received.tolist(), num_rows_from_rank


def fail(world: World, how: str) -> None:
    """Rank 1 ends in the middle of a training, the others wait for it."""
    for step in range(20):
        if step == 10 and world.rank == 1:
            if how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "stop":
                time.sleep(3 * SECONDS_PER_BEAT)  # heard since its last collective
                os.kill(os.getpid(), signal.SIGSTOP)
            if how == "loiter":
                time.sleep(120)
            raise InputError("samples/day=7: truncated: rebuild the day")
        world.sum(torch.ones(2), "towers")


def refuse(world: World) -> None:
    """Ranks 0 and 2 find the same mistake, rank 1 another one, all of them in their own time."""
    time.sleep(0.3 * world.rank)
    raise InputError("day 8: empty" if world.rank == 1 else "train.batch_size: too large")


def main(argv: Sequence[str]) -> None:
    """The part named on the command line."""
    with connect() as world:
        if argv[0] == "speak":
            speak(world, Path(argv[1]))
        elif argv[0] == "refuse":
            refuse(world)
        else:
            fail(world, argv[0])


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
