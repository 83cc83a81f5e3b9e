"""Spark expressions that turn a value into the id that contract/encoder defines for it.

They equal `encoder` on any value; neither learns anything nor reads files. No Python runs per row.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from esmm_dist.contract.encoder import NO_WEIGHT, hash_encoder
from esmm_dist.contract.encodings import (
    FIRST_VOCABULARY_ID,
    NULL_ID,
    OUT_OF_VOCABULARY_ID,
    Encodings,
    boundaries_of,
)
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import (
    BucketEncoding,
    Feature,
    HashEncoding,
    MultiValuedFeature,
    VocabularyEncoding,
    table_of,
    weights_column,
)
from esmm_dist.samples.logs import feature_column

# A vocabulary up to this size travels inside the plan; a larger one is broadcast and joined.
MAX_LITERAL_KEYS = 1_000
# A list's values are looked up in place, hence always inside the plan, which has its limits.
MAX_LIST_KEYS = 1_000_000
KEYS_PER_BUCKET = 2

_TEXTS = (T.StringType,)
_FRACTIONS = (T.FloatType, T.DoubleType, T.DecimalType)


@dataclass(frozen=True)
class Canonical:
    """A value without accidents of type: an integer for a boolean or a whole float."""

    is_null: Column
    """True for null and NaN."""
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
        return Canonical(column.isNull(), column, F.lit(None).cast("double"), ((always, column),))
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
    """1 + (XXH64 >> 1) mod (hash_size - 1); 0 for null."""
    half = F.shiftrightunsigned(value.xxhash(encoding.seed), 1)
    number = (1 + half % (encoding.hash_size - 1)).cast("int")
    return F.when(value.is_null, F.lit(NULL_ID)).otherwise(_never_null(number))


def bucket_id(value: Canonical, boundaries: Sequence[float]) -> Column:
    """1 + the number of boundaries at or below the value; 0 for null and NaN."""
    below = _boundaries_below(value.number, boundaries, 0, len(boundaries))
    return F.when(value.is_null, F.lit(NULL_ID)).otherwise(_never_null(1 + below))


def _boundaries_below(number: Column, boundaries: Sequence[float], low: int, high: int) -> Column:
    """A binary search, unrolled: 10 comparisons for 1,024 boundaries."""
    if low == high:
        return F.lit(low)
    middle = (low + high) // 2
    return F.when(
        number < F.lit(boundaries[middle]), _boundaries_below(number, boundaries, low, middle)
    ).otherwise(_boundaries_below(number, boundaries, middle + 1, high))


def literal_vocabulary_id(value: Canonical, keys: Sequence[str]) -> Column:
    """The id of a value in a vocabulary that stands inside the plan."""
    found = _lookup(value.key, {key: FIRST_VOCABULARY_ID + i for i, key in enumerate(keys)}, "int")
    return _known_or(value, found)


def _known_or(value: Canonical, found: Column) -> Column:
    return F.when(value.is_null, F.lit(NULL_ID)).otherwise(
        F.coalesce(found, F.lit(OUT_OF_VOCABULARY_ID))
    )


def _lookup(key: Column, value_of_key: Mapping[str, int | str], kind: str) -> Column:
    """A hash table as one literal: Spark searches a map from end to end, hence small buckets."""
    buckets = HashEncoding(hash_size=1 + max(1, len(value_of_key) // KEYS_PER_BUCKET))
    place = hash_encoder(buckets)
    table: list[dict[str, int | str]] = [{} for _ in range(buckets.hash_size - 1)]
    for text, value in value_of_key.items():
        table[place(text) - 1][text] = value
    # Spark folds a literal's from_json into the table itself, once, when it plans.
    literal = F.from_json(F.lit(json.dumps(table)), f"array<map<string,{kind}>>")
    bucket = hash_id(canonical(key, T.StringType()), buckets) - 1
    return F.try_element_at(F.get(literal, bucket), key)


def encode(
    impressions: DataFrame,
    features: Sequence[Feature],
    encodings: Encodings,
    large_vocabularies: Mapping[str, DataFrame],
) -> DataFrame:
    """Puts ids, which are never null, in the place of the features' values.

    Args:
        impressions: rows with feature columns.
        large_vocabularies: frames (key, id) of the tables in `tables_to_join`.

    Returns:
        The same rows; a list's ids are packed, and `cut_column` says whether it was cut; its
        weights are a list of floats, and `unweighted_column` says whether one was missing.
    """
    kinds = {field.name: field.dataType for field in impressions.schema}
    ids: list[Column] = []
    for feature in features:
        name = feature_column(feature.name)
        if isinstance(feature, MultiValuedFeature):
            packed, was_cut = packed_ids(F.col(name), kinds[name], feature, encodings)
            ids += [packed.alias(name), was_cut.alias(cut_column(feature))]
            if feature.weights is not None:
                given = feature_column(weights_column(feature))
                weights, is_missing = list_weights(
                    F.col(name), F.col(given), kinds[name], feature
                )
                ids += [weights.alias(given), is_missing.alias(unweighted_column(feature))]
            continue
        value = canonical(F.col(name), kinds[name])
        table = table_of(feature)
        if table in large_vocabularies:
            found = f"id_{feature.name}"
            names = {"key": f"key_{feature.name}", "id": found}
            vocabulary = F.broadcast(large_vocabularies[table].withColumnsRenamed(names))
            is_same = value.key == F.col(names["key"])
            impressions = impressions.join(vocabulary, is_same, how="left")
            ids.append(_known_or(value, F.col(found)).alias(name))
        else:
            ids.append(scalar_id(value, feature, encodings).alias(name))
    others = [c for c in kinds if not c.startswith(feature_column(""))]
    return impressions.select(*others, *ids)


def cut_column(feature: Feature) -> str:
    """The column of an encoded row that says whether a list was longer than its max_length."""
    return f"cut_{feature.name}"


def unweighted_column(feature: Feature) -> str:
    """The column of an encoded row that says whether a value of a list had no weight."""
    return f"unweighted_{feature.name}"


def tables_to_join(features: Sequence[Feature], encodings: Encodings) -> tuple[str, ...]:
    """The vocabularies too large to travel inside the plan."""
    tables = {
        table_of(feature): None
        for feature in features
        if isinstance(feature.encode, VocabularyEncoding)
        and not isinstance(feature, MultiValuedFeature)
    }
    return tuple(t for t in tables if len(encodings.vocabularies[t]) > MAX_LITERAL_KEYS)


def scalar_id(value: Canonical, feature: Feature, encodings: Encodings) -> Column:
    """The id of one value; its vocabulary stands inside the plan."""
    match feature.encode:
        case HashEncoding():
            return hash_id(value, feature.encode)
        case BucketEncoding():
            return bucket_id(value, boundaries_of(feature, encodings))
    return literal_vocabulary_id(value, encodings.vocabularies[table_of(feature)])


def packed_ids(
    values: Column, kind: T.DataType, feature: MultiValuedFeature, encodings: Encodings
) -> tuple[Column, Column]:
    """A list's ids as packed little-endian int32, and whether max_length cut it.

    Raises:
        InputError: the vocabulary is too large to be looked up in place.
    """
    assert isinstance(kind, T.ArrayType)
    element = kind.elementType
    known = F.filter(values, lambda value: ~canonical(value, element).is_null)
    kept = F.slice(known, 1, feature.max_length)
    digits = F.transform(
        kept, lambda value: _hex_of_id(canonical(value, element), feature, encodings)
    )
    packed = F.coalesce(F.unhex(F.array_join(digits, "")), F.lit(bytearray()))
    return packed, F.coalesce(F.size(known) > feature.max_length, F.lit(False))


def list_weights(
    values: Column, weights: Column, kind: T.DataType, feature: MultiValuedFeature
) -> tuple[Column, Column]:
    """The weights of a list's ids as floats that are never null, and whether one was missing."""
    assert isinstance(kind, T.ArrayType)
    element = kind.elementType
    num_values, num_weights = (F.coalesce(F.array_size(c), F.lit(0)) for c in (values, weights))
    no_floats = F.array().cast("array<float>")
    given = F.when(num_values == num_weights, weights.cast("array<double>")).otherwise(no_floats)
    pairs = F.zip_with(  # the shorter list is filled up with nulls
        values, given, lambda value, weight: F.struct(
            canonical(value, element).is_null.alias("is_null"),
            _finite_float(weight).alias("weight"),
        ),
    )
    kept = F.slice(F.filter(pairs, lambda pair: ~pair.is_null), 1, feature.max_length)
    one = F.lit(NO_WEIGHT).cast("float")
    floats = F.transform(kept, lambda pair: F.coalesce(pair.weight, one))
    is_missing = F.exists(kept, lambda pair: pair.weight.isNull()) | (num_values != num_weights)
    return F.coalesce(floats, no_floats), F.coalesce(is_missing, F.lit(False))


def _finite_float(weight: Column) -> Column:
    number = weight.cast("float")
    return F.when(F.abs(number) < F.lit(math.inf).cast("float"), number)  # nor NaN, which is larger


def _hex_of_id(value: Canonical, feature: MultiValuedFeature, encodings: Encodings) -> Column:
    """The four bytes of an id, the least significant first, as eight hexadecimal digits."""
    if isinstance(feature.encode, HashEncoding):
        number = hash_id(value, feature.encode).cast("bigint")
        low, second = number.bitwiseAND(0xFF), number.bitwiseAND(0xFF00)
        third, high = F.shiftright(number, 8).bitwiseAND(0xFF00), F.shiftright(number, 24)
        swapped = F.shiftleft(low, 24) + F.shiftleft(second, 8) + third + high
        return F.lpad(F.hex(swapped), 8, "0")
    keys = encodings.vocabularies[table_of(feature)]
    if len(keys) > MAX_LIST_KEYS:
        raise InputError(
            f"features.{feature.name}: a vocabulary of {len(keys):,} keys is too large for lists "
            f"(at most {MAX_LIST_KEYS:,}): raise encode.min_count, or give it a hash_size"
        )
    text_of_key = {key: _hex(FIRST_VOCABULARY_ID + place) for place, key in enumerate(keys)}
    return F.coalesce(_lookup(value.key, text_of_key, "string"), F.lit(_hex(OUT_OF_VOCABULARY_ID)))


def _hex(number: int) -> str:
    return struct.pack("<i", number).hex()


def _never_null(column: Column) -> Column:
    """Proves to Spark what we know, so that it writes a column that cannot hold a null."""
    return F.coalesce(column, F.lit(NULL_ID))
