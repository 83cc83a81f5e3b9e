"""Trains a run again and again, killed at every moment at which it changes the disk.

    python -m tests.integration.training_killed CONFIG

Killed before the n-th change, resumed and killed before the n-th change of that, and resumed, for
n = 0, 1, …, until one gets through by itself. After each it tells how the first try went, and waits
for a line before it goes on.
"""

import os
import sys
from itertools import count

import torch

from esmm_dist.contract.config import load_config
from esmm_dist.contract.sections import Config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.train import train_run
from tests.integration.killing import kill_before


def ended_by_itself(config: Config, *, resume: bool, kill_at: int | None) -> bool:
    """Trains in a process of its own, forked so that each begins where the others did."""
    child = os.fork()
    if not child:
        if kill_at is not None:
            kill_before(kill_at)
        train_run(config, SoloWorld(), resume=resume)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"kill_at = {kill_at}: it failed")
    return not os.WIFSIGNALED(status)


def main(path: str) -> None:
    """Until one gets through."""
    config = load_config(path)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports for a second, once for all
    for number in count():
        is_through = ended_by_itself(config, resume=False, kill_at=number)
        ended_by_itself(config, resume=True, kill_at=number)
        ended_by_itself(config, resume=True, kill_at=None)
        print("through" if is_through else "killed", flush=True)
        if is_through:
            return
        sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1])
