"""Which file of its day each row goes to, and which of Spark's partitions makes that file.

A file is a range of a seeded hash of the impression id: it depends on nothing but the id, the seed
and the number of the day's files, whatever Spark's partitioning.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, count

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.labelling.wire import SAMPLE_ID
from esmm_dist.samples.filing import DAY

PARTITION_KEY = "partition_key"
PLACE_BITS = 31

_HASH_PARTITIONING_SEED = 42
_MASK = 0xFFFFFFFF


def num_files(num_rows: int, rows_per_file: int) -> int:
    """Files of a day, so that they hold about `rows_per_file` rows each."""
    return max(1, math.ceil(num_rows / rows_per_file))


@dataclass(frozen=True)
class Layout:
    """The files of the days that one job builds; partition n of the job makes the n-th of them."""

    num_files_of_day: Mapping[date, int]

    def file(self, partition: int) -> tuple[date, int]:
        """The day of a partition's file, and the file's place in it."""
        for day, first in self._first_partition().items():
            if partition < first + self.num_files_of_day[day]:
                return day, partition - first
        raise AssertionError(partition)

    @property
    def num_partitions(self) -> int:
        """Files of all days."""
        return sum(self.num_files_of_day.values())

    def _first_partition(self) -> dict[date, int]:
        numbers = accumulate(self.num_files_of_day.values(), initial=0)
        return dict(zip(self.num_files_of_day, numbers))

    def in_files(self, rows: DataFrame, seed: int) -> DataFrame:
        """Brings each file's rows into the partition that makes it, and takes `day` from them.

        Args:
            rows: rows of the wire, each with its day.
            seed: of the hash.
        """
        keys = F.array(*[F.lit(key) for key in keys_of_partitions(self.num_partitions)])
        upper = place_in_day(seed)
        firsts = self._first_partition()
        partition = F.coalesce(*[
            F.when(
                F.col(DAY) == F.lit(day),
                F.shiftright(upper * number, PLACE_BITS).cast("int") + firsts[day],
            )
            for day, number in self.num_files_of_day.items()
        ])
        return (
            rows.withColumn(PARTITION_KEY, F.get(keys, partition))
            .repartition(self.num_partitions, PARTITION_KEY)
            .drop(DAY, PARTITION_KEY)
        )


def place_in_day(seed: int) -> Column:
    """Where a sample lies in its day, as a whole number in [0, 2^31), by its id alone."""
    hashed = F.xxhash64(F.lit(seed).cast("bigint"), SAMPLE_ID)
    return F.shiftright(hashed, 64 - PLACE_BITS) + 2 ** (PLACE_BITS - 1)  # in its signed order


def are_parts_of_a_day(places: Mapping[int, tuple[int, int]]) -> bool:
    """Whether each file n holds the n-th of some number of equal parts of a day.

    Args:
        places: by the file's number the least and the greatest `place_in_day` of its rows.
    """
    least, most = 1, 2**PLACE_BITS
    for number, (low, high) in places.items():
        # floor(place * parts / 2^31) = number for both, solved for the number of parts
        least = max(least, -(-number * 2**PLACE_BITS // max(low, 1)))
        most = min(most, ((number + 1 << PLACE_BITS) - 1) // max(high, 1))
    return least <= most


def keys_of_partitions(num_partitions: int) -> tuple[int, ...]:
    """For each partition the least number that Spark's hash partitioning sends to it."""
    found: dict[int, int] = {}
    for key in count():
        found.setdefault(_murmur3(key) % num_partitions, key)
        if len(found) == num_partitions:
            break
    return tuple(found[partition] for partition in range(num_partitions))


def _murmur3(key: int) -> int:
    """Murmur3 (32 bits, signed) of a non-negative int, as Spark's HashPartitioning takes it."""
    mixed = _rotate(key * 0xCC9E2D51 & _MASK, 15) * 0x1B873593 & _MASK
    state = (_rotate(_HASH_PARTITIONING_SEED ^ mixed, 13) * 5 + 0xE6546B64) & _MASK
    state ^= 4
    state = (state ^ state >> 16) * 0x85EBCA6B & _MASK
    state = (state ^ state >> 13) * 0xC2B2AE35 & _MASK
    state ^= state >> 16
    return state - (1 << 32) if state >= 1 << 31 else state


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & _MASK
