"""Where each row goes: into which file of its day, in which order, with which columns.

The order inside a day is that of a seeded hash of the impression id, and files are equal ranges of
that hash: it depends on nothing but the day's own rows, whatever Spark's partitioning.
"""

import math
from collections.abc import Sequence
from itertools import count

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.encodings import NULL_ID
from esmm_dist.contract.features import Feature
from esmm_dist.contract.schema import (
    CLICK,
    CONVERSION,
    GROUP_ID,
    SAMPLE_ID,
    WEIGHT,
    column_types,
)
from esmm_dist.samples.encoding import group_id, id_of
from esmm_dist.samples.filing import DROPPED
from esmm_dist.samples.logs import EVENT_TIME, IMPRESSION_ID

ORDER_KEY = "order_key"
FILE_KEY = "file_key"
# What all rows of one impression share, in the order in which the samples are written.
CASE = (FILE_KEY, ORDER_KEY, IMPRESSION_ID)

SPARK_TYPES = {
    "int64": "bigint", "int32": "int", "int8": "tinyint", "float32": "float", "binary": "binary",
}
NO_GROUP = 0

_HASH_PARTITIONING_SEED = 42
_MASK = 0xFFFFFFFF


def num_files(num_rows: int, rows_per_file: int) -> int:
    """Files of a day, so that they hold about `rows_per_file` rows each."""
    return max(1, math.ceil(num_rows / rows_per_file))


def placed(rows: DataFrame, num_files: int, seed: int) -> DataFrame:
    """Adds `order_key`, the shuffle's hash, and `file_key`, which sends each file to a task of its
    own.

    A dropped row loses its id, and is spread over the files: it meets no impression, and a
    million rows without an id do not meet each other.
    """
    is_live = F.col(DROPPED).isNull()
    of_live = F.xxhash64(F.lit(seed).cast("bigint"), IMPRESSION_ID)
    of_dropped = F.xxhash64(F.lit(seed).cast("bigint"), IMPRESSION_ID, EVENT_TIME)
    order_key = F.when(is_live, of_live).otherwise(of_dropped)
    others = [c for c in rows.columns if c != IMPRESSION_ID]
    keys = F.array(*[F.lit(key) for key in keys_of_partitions(num_files)])
    file = F.shiftright(_upper_bits(F.col(ORDER_KEY)) * num_files, 31).cast("int")
    return rows.select(
        F.when(is_live, F.col(IMPRESSION_ID)).alias(IMPRESSION_ID),
        *others,
        order_key.alias(ORDER_KEY),
    ).select("*", F.get(keys, file).alias(FILE_KEY))


def _upper_bits(hash_of_row: Column) -> Column:
    """The hash in its own (signed) order, as 31 bits that begin at 0."""
    return F.shiftright(hash_of_row, 33) + 2**30


def in_files(rows: DataFrame, num_files: int) -> DataFrame:
    """Brings each file's rows into a partition of its own, in the order of the files."""
    return rows.repartition(num_files, FILE_KEY)


def sample_columns(samples: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """The columns of the contract, in order, none of which can hold a null.

    Args:
        samples: rows with impression_id, click, conversion and encoded values.
    """
    values = {
        SAMPLE_ID: F.xxhash64(IMPRESSION_ID),
        GROUP_ID: F.coalesce(group_id(), F.lit(NO_GROUP)),
        CLICK: F.coalesce(F.col(CLICK), F.lit(0)),
        CONVERSION: F.coalesce(F.col(CONVERSION), F.lit(0)),
        WEIGHT: F.lit(1.0),
    }
    types = column_types(features)
    empty = {"int32": F.lit(NULL_ID), "binary": F.lit(bytearray())}
    # Ids are not null where they come from; rows of events, which have none, hide that from Spark.
    values |= {f.name: F.coalesce(id_of(f), empty[types[f.name]]) for f in features}
    return samples.select(
        *[values[name].cast(SPARK_TYPES[kind]).alias(name) for name, kind in types.items()]
    )


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
