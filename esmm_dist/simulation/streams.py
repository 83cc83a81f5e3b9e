"""Random numbers by name: a generator for every purpose and place, whoever draws and in whatever
order.

Philox is a function from a key and a counter to random bits (Salmon et al., SC 2011), so a stream
needs no state that workers would have to share.
"""

from enum import IntEnum

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SmallFloats = NDArray[np.float32]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Purpose(IntEnum):
    """What a stream is for. A number once given stays: it is part of what a seed means."""

    USER_FACTORS = 1
    ITEM_FACTORS = 2
    USER_FIELDS = 3
    ITEM_FIELDS = 4
    CONTEXT_FIELDS = 5
    CROSS_FIELDS = 6
    DELAYS = 7
    DIRECTIONS = 8
    CALIBRATION = 9
    IMPRESSIONS = 10
    EVENTS = 11
    IDS = 12
    HISTORIES = 13
    DUPLICATES = 20
    CONFLICTS = 21
    ORPHANS = 22
    LATE = 23
    SKEWED = 24
    BOTS = 25
    NULLS = 26
    STRAYS = 27


def stream(seed: int, purpose: Purpose, first: int = 0, second: int = 0) -> Generator:
    """The generator of a purpose at a place, such as the day and the block of a row.

    Streams of different arguments never meet: each has 2^128 numbers of its own.
    """
    key = np.array([seed, purpose], np.uint64)
    counter = np.array([0, 0, first, second], np.uint64)
    return Generator(Philox(key=key, counter=counter))
