"""Spark expressions that pack a list: the ids of its values, and their weights beside them.

They equal contract/encoder on any list. No Python runs per row.
"""

import math
import struct

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from esmm_dist.contract.encoder import NO_WEIGHT
from esmm_dist.contract.encodings import FIRST_VOCABULARY_ID, OUT_OF_VOCABULARY_ID, Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import HashEncoding, MultiValuedFeature, table_of
from esmm_dist.samples.values import Canonical, canonical, hash_id, lookup

# A list's values are looked up in place, hence always inside the plan, which has its limits.
MAX_LIST_KEYS = 1_000_000


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
        number = hash_id(value, feature.encode)
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
    return F.coalesce(lookup(value.key, text_of_key, "string"), F.lit(_hex(OUT_OF_VOCABULARY_ID)))


def _hex(number: int) -> str:
    return struct.pack("<i", number).hex()
