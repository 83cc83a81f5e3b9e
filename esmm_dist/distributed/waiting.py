"""Waiting for something that another thread does, without keeping the processor from it."""

import time
from collections.abc import Callable

# The first pause is small beside the shortest collective, which takes about a millisecond; who
# waits for slower ones soon leaves the cores to them.
FIRST_PAUSE_SECONDS = 5e-5
PAUSE_GROWTH = 1.5
LONGEST_PAUSE_SECONDS = 1e-3


def wait_until(is_done: Callable[[], bool], seconds: float) -> bool:
    """Whether it is done within some seconds; looks at ever longer intervals.

    Horovod's own wait yields without rest: where ranks outnumber cores, those that wait keep the
    processor from those that work (8 ranks on 2 cores: over 10 s a step instead of .1).
    """
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(PAUSE_GROWTH * pause, LONGEST_PAUSE_SECONDS)
    return True
