"""Numbers that name impressions, users and items: distinct, and in no order that tells anything.

Shape legend: N numbers.
"""

from math import gcd

import numpy as np
from numpy.typing import NDArray

from esmm_dist.simulation.streams import Integers, Purpose, stream

Words = NDArray[np.uint64]

# XXH64 (Collet, xxHash specification), of 8 bytes from seed 42, as Spark hashes a long.
PRIME_1, PRIME_2, PRIME_3, PRIME_4, PRIME_5 = (
    np.uint64(prime) for prime in (
        0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
SPARK_SEED = 42
NUM_SPARE_DIGITS = 10


def impression_ids(seed: int, number_N: Integers) -> Integers:
    """Distinct 63-bit ids of distinct numbers below 2^63."""
    salt = np.uint64(stream(seed, Purpose.IDS).integers(2**63))
    with np.errstate(over="ignore"):
        word_N = number_N.astype(np.uint64)
        # Each step is a bijection of the lower 63 bits.
        for prime in (PRIME_2, PRIME_3):
            word_N = (word_N * prime + salt) & np.uint64(2**63 - 1)
            word_N ^= word_N >> np.uint64(32)
    return word_N.astype(np.int64)


def scattered(seed: int, count: int, place: int) -> Integers:
    """Distinct numbers from 1 to about ten times `count`, in an order of the seed's, (count,)."""
    span = NUM_SPARE_DIGITS * count
    rng = stream(seed, Purpose.IDS, 1, place)
    step = int(rng.integers(span // 3, span)) | 1
    while gcd(step, span) != 1:
        step += 2
    return 1 + (int(rng.integers(span)) + np.arange(count, dtype=np.int64) * step) % span


def sample_ids(id_N: Integers) -> Integers:
    """What the samples call an impression: XXH64 of its id's 8 bytes, as Spark gives it."""
    with np.errstate(over="ignore"):
        start = np.uint64(SPARK_SEED) + PRIME_5 + np.uint64(8)
        lane_N = _rotated(id_N.view(np.uint64) * PRIME_2, 31) * PRIME_1
        hash_N = _rotated(start ^ lane_N, 27) * PRIME_1 + PRIME_4
        hash_N = (hash_N ^ hash_N >> np.uint64(33)) * PRIME_2
        hash_N = (hash_N ^ hash_N >> np.uint64(29)) * PRIME_3
        return (hash_N ^ hash_N >> np.uint64(32)).view(np.int64)


def _rotated(word_N: Words, num_bits: int) -> Words:
    return word_N << np.uint64(num_bits) | word_N >> np.uint64(64 - num_bits)
