"""Spark expressions that turn one value into the id that contract/encoder defines for it.

They equal `encoder` on any value; they know no row and no list. No Python runs per value.
"""

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.internal import InternalFunction

from esmm_dist.contract.encoder import hash_encoder
from esmm_dist.contract.encodings import (
    FIRST_VOCABULARY_ID,
    MAX_KEY_BYTES,
    NULL_ID,
    OUT_OF_VOCABULARY_ID,
    Encodings,
    boundaries_of,
    can_be_key,
)
from esmm_dist.contract.features import (
    BucketEncoding,
    Feature,
    HashEncoding,
    NumericFeature,
    table_of,
)

KEYS_PER_BUCKET = 2

_TEXTS = (T.StringType,)
_FRACTIONS = (T.FloatType, T.DoubleType, T.DecimalType)


@dataclass(frozen=True)
class Canonical:
    """A value without accidents of type: an integer for a boolean or a whole float."""

    is_null: Column
    """True for null, NaN and an empty text."""
    key: Column
    """The text by which a vocabulary knows it; null where no vocabulary can."""
    number: Column
    """As a double; null for a text."""
    _hashable: tuple[tuple[Column, Column], ...]
    """Conditions with the value that is hashed where they hold, the last one holding always."""

    def xxhash(self, seed: int) -> Column:
        """XXH64 of the value in a table's seed."""
        first = F.lit(seed).cast("bigint")
        *cases, (_, last) = self._hashable
        column = F.xxhash64(first, last)
        for condition, value in reversed(cases):
            column = F.when(condition, F.xxhash64(first, value)).otherwise(column)
        return column


def canonical(column: Column, kind: T.DataType) -> Canonical:
    """The canonical forms of a column of one of the types that `logs` lets through."""
    always = F.lit(True)
    if isinstance(kind, _TEXTS):
        key = F.when(F.octet_length(column).between(1, MAX_KEY_BYTES), column)
        is_null = column.isNull() | (column == "")
        return Canonical(is_null, key, F.lit(None).cast("double"), ((always, column),))
    if isinstance(kind, _FRACTIONS):
        number = column.cast("double")
        low, high = F.lit(-(2.0**63)), F.lit(2.0**63)
        is_whole = (F.rint(number) == number) & (number >= low) & (number < high)
        whole = number.try_cast("bigint")
        return Canonical(
            number.isNull() | F.isnan(number),
            F.when(is_whole, whole.cast("string")),
            number,
            ((is_whole, whole), (always, number)),
        )
    whole = column.cast("bigint")
    return Canonical(
        column.isNull(), whole.cast("string"), whole.cast("double"), ((always, whole),)
    )


def hash_id(value: Canonical, encoding: HashEncoding) -> Column:
    """1 + (XXH64 >> 1) mod (hash_size - 1), a long; 0 for null."""
    return _id_of_hash(value.xxhash(encoding.seed), value.is_null, encoding)


def cross_id(values: Sequence[Canonical], encoding: HashEncoding) -> Column:
    """The id of a combination, a long; 0 if one of its values is null."""
    hashes = [value.xxhash(encoding.seed) for value in values]
    hashed = F.xxhash64(F.lit(encoding.seed).cast("bigint"), *hashes)
    is_null = reduce(operator.or_, [value.is_null for value in values])
    return _id_of_hash(hashed, is_null, encoding)


def _id_of_hash(hashed: Column, is_null: Column, encoding: HashEncoding) -> Column:
    # Ids travel in halves of longs: a checked cast to int and back is a sixth of a day's code.
    number = 1 + F.shiftrightunsigned(hashed, 1) % (encoding.hash_size - 1)
    return F.when(is_null, F.lit(NULL_ID)).otherwise(_never_null(number))


def bucket_id(value: Canonical, boundaries: Sequence[float]) -> Column:
    """1 + the number of boundaries at or below the value; 0 for null and NaN."""
    # Comparisons of our own grow, at 66 bytes a boundary, beyond what HotSpot compiles.
    rising = F.array(*[F.lit(boundary) for boundary in boundaries]).cast("array<double>")
    found = InternalFunction.array_binary_search(rising, value.number)
    # Where it finds nothing it answers -1 - the number of boundaries below.
    next_id = F.when(found >= 0, found + 2).otherwise(-found)
    return F.when(value.is_null, F.lit(NULL_ID)).otherwise(_never_null(next_id))


def literal_vocabulary_id(value: Canonical, keys: Sequence[str]) -> Column:
    """The id of a value in a vocabulary that stands inside the plan."""
    found = lookup(value.key, {key: FIRST_VOCABULARY_ID + i for i, key in enumerate(keys)}, "int")
    return known_or(value, found)


def known_or(value: Canonical, found: Column) -> Column:
    """The id found in a vocabulary, or that of a null or an unknown value."""
    return F.when(value.is_null, F.lit(NULL_ID)).otherwise(
        F.coalesce(found, F.lit(OUT_OF_VOCABULARY_ID))
    )


def lookup(key: Column, value_of_key: Mapping[str, int | str], kind: str) -> Column:
    """What belongs to a key, null if nothing does.

    A hash table as one literal: Spark searches a map from end to end, hence small buckets.
    """
    buckets = HashEncoding(hash_size=1 + max(1, len(value_of_key) // KEYS_PER_BUCKET))
    place = hash_encoder(buckets)
    table: list[dict[str, int | str]] = [{} for _ in range(buckets.hash_size - 1)]
    for text, value in value_of_key.items():
        if can_be_key(text):  # one that is too long would make all of the literal null
            table[place(text) - 1][text] = value
    # Spark folds a literal's from_json into the table itself, once, when it plans.
    literal = F.from_json(F.lit(json.dumps(table)), f"array<map<string,{kind}>>")
    bucket = (hash_id(canonical(key, T.StringType()), buckets) - 1).cast("int")
    return F.try_element_at(F.get(literal, bucket), key)


def scalar_id(value: Canonical, feature: Feature, encodings: Encodings) -> Column:
    """The id of one value; its vocabulary stands inside the plan."""
    match feature.encode:
        case HashEncoding():
            return hash_id(value, feature.encode)
        case BucketEncoding():
            return bucket_id(value, boundaries_of(feature, encodings))
    return literal_vocabulary_id(value, encodings.vocabularies[table_of(feature)])


def part_of_cross(value: Canonical, feature: Feature, encodings: Encodings) -> Canonical:
    """What a feature's value is in a cross: itself, or its bucket."""
    if not isinstance(feature, NumericFeature):
        return value
    bucket = bucket_id(value, boundaries_of(feature, encodings))
    return replace(canonical(bucket, T.IntegerType()), is_null=value.is_null)


def _never_null(column: Column) -> Column:
    """Proves to Spark what we know, so that it writes a column that cannot hold a null."""
    return F.coalesce(column, F.lit(NULL_ID))
