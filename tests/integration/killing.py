"""Kills a process by no clock: before the n-th time that it changes the disk."""

import os
import signal
import sys
from itertools import count
from typing import Any

CHANGES = ("os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir")


def kill_before(number: int) -> None:
    """Lets this process die before it changes the disk for that time, counted from 0."""
    numbers = count()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in CHANGES) and next(numbers) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
