"""From a raw value to an id, in pure Python: the definition that Spark's expressions must equal.

The rules, for a value v of any column:
* null, NaN, a text of no characters: id 0; formats of text write a null as such a text;
* a boolean counts as 0 or 1, a whole float (2.0) as the integer: what a missing value did to a
  column's type does not change its ids;
* hash: 1 + (XXH64(v) >> 1) mod (hash_size - 1), the shift filling with 0, so that engines whose
  integers carry a sign need no second remainder; XXH64 is seeded by XXH64(seed, 42) and runs over
  the 8 little-endian bytes of an integer, the UTF-8 bytes of a text, the IEEE 754 bytes of another
  float;
* vocabulary: 2 + its place, the key of an integer being its decimal text; 1 for any other value,
  and for every text of more than 10,000 bytes in UTF-8, which no vocabulary learns;
* buckets: 1 + the number of boundaries <= v;
* a cross of v_1 … v_n: id 0 if one of them is null; else as for a hash, of the chain
  XXH64(h_1 … h_n): h_i is the seeded hash of v_i (of a numeric feature: of its bucket), its 8
  little-endian bytes are hashed in the state that those before it left, and the first state is
  XXH64(seed, 42).

`docs/encoding_vectors.json` holds test vectors for other implementations.
"""

import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

import xxhash

from esmm_dist.contract.encodings import (
    FIRST_VOCABULARY_ID,
    NULL_ID,
    OUT_OF_VOCABULARY_ID,
    Encodings,
    boundaries_of,
    can_be_key,
)
from esmm_dist.contract.features import (
    BucketEncoding,
    CrossFeature,
    Feature,
    HashEncoding,
    MultiValuedFeature,
    NumericFeature,
    VocabularyEncoding,
    parts_of,
    table_of,
)

# Spark's xxhash64 starts every chain of arguments from this seed.
SPARK_SEED = 42

NO_WEIGHT = 1.0

Value = str | int | float | bool | None
Encode = Callable[[Value], int]


def hash_seed(seed: int) -> int:
    """The state that Spark's xxhash64(seed, v) hands to its second argument."""
    return xxhash.xxh64_intdigest(struct.pack("<q", seed), SPARK_SEED)


def canonical(value: Value) -> str | int | float | None:
    """A value without accidents of type: null for NaN and for an empty text, an integer for a
    boolean or a whole float.

    Raises:
        ValueError: an integer outside the range of a 64-bit column, or an unknown type.
    """
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        whole = value.is_integer() and -(2.0**63) <= value < 2.0**63
        return int(value) if whole else value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"the integer {value} does not fit 64 bits")
        return int(value)
    raise ValueError(f"a value of type {type(value).__name__} is not text, number or boolean")


def value_bytes(value: str | int | float) -> bytes:
    """The bytes of a canonical value that are hashed."""
    if isinstance(value, str):
        # Java writes a lone surrogate as a question mark; so do we.
        return value.encode("utf-8", errors="replace")
    return struct.pack("<q", value) if isinstance(value, int) else struct.pack("<d", value)


def hash_encoder(encoding: HashEncoding) -> Encode:
    """value -> id in [1, hash_size), 0 for null."""
    seed, num_ids = hash_seed(encoding.seed), encoding.hash_size - 1

    def encode(value: Value) -> int:
        plain = canonical(value)
        if plain is None:
            return NULL_ID
        return 1 + (xxhash.xxh64_intdigest(value_bytes(plain), seed) >> 1) % num_ids

    return encode


def vocabulary_encoder(keys: Sequence[str]) -> Encode:
    """value -> 2 + its place in `keys`, 1 if it has none, 0 for null."""
    id_of_key = {
        key: FIRST_VOCABULARY_ID + place for place, key in enumerate(keys) if can_be_key(key)
    }

    def encode(value: Value) -> int:
        plain = canonical(value)
        if plain is None:
            return NULL_ID
        # A fraction stands in no vocabulary: texts of floats differ between languages.
        key = None if isinstance(plain, float) else str(plain)
        return OUT_OF_VOCABULARY_ID if key is None else id_of_key.get(key, OUT_OF_VOCABULARY_ID)

    return encode


def bucket_encoder(boundaries: Sequence[float]) -> Encode:
    """number -> 1 + the number of boundaries at or below it, 0 for null or NaN."""

    def encode(value: Value) -> int:
        plain = canonical(value)
        if plain is None:
            return NULL_ID
        if isinstance(plain, str):
            raise ValueError(f"the text {plain!r} stands in a numeric feature")
        return 1 + bisect_right(boundaries, float(plain))

    return encode


def cross_encoder(
    cross: CrossFeature, features: Sequence[Feature], encodings: Encodings
) -> Callable[[Sequence[Value]], int]:
    """values of the features that the cross names -> id in [1, hash_size), 0 if one is null."""
    first_state, num_ids = hash_seed(cross.encode.seed), cross.encode.hash_size - 1
    bucket_of = [
        bucket_encoder(boundaries_of(part, encodings)) if isinstance(part, NumericFeature) else None
        for part in parts_of(cross, features)
    ]

    def encode(values: Sequence[Value]) -> int:
        state = first_state
        for value, bucket in zip(values, bucket_of, strict=True):
            plain = canonical(value)
            if plain is None:
                return NULL_ID
            part = plain if bucket is None else bucket(plain)
            hashed = xxhash.xxh64_intdigest(value_bytes(part), first_state)
            state = xxhash.xxh64_intdigest(struct.pack("<Q", hashed), state)
        return 1 + (state >> 1) % num_ids

    return encode


def encoder_of(feature: Feature, encodings: Encodings) -> Encode:
    """The encoder of one value of a feature (of a multi-valued feature: of one element)."""
    assert not isinstance(feature, CrossFeature), "a cross has several values: cross_encoder"
    match feature.encode:
        case HashEncoding():
            return hash_encoder(feature.encode)
        case VocabularyEncoding():
            return vocabulary_encoder(encodings.vocabularies[table_of(feature)])
        case BucketEncoding():
            return bucket_encoder(boundaries_of(feature, encodings))
    raise AssertionError(feature.encode)


def encode_values(
    feature: MultiValuedFeature, encode: Encode, values: Iterable[Value] | None
) -> tuple[int, ...]:
    """The ids of a multi-valued feature: its first `max_length` values that are not null."""
    ids = [encode(value) for value in values or ()]
    return tuple([i for i in ids if i != NULL_ID][: feature.max_length])


def weights_of_values(
    feature: MultiValuedFeature, values: Sequence[Value] | None,
    weights: Sequence[float | None] | None,
) -> tuple[float, ...]:
    """What each id that `encode_values` gives counts, as a float32.

    A value counts 1 where it has no weight: a null or NaN, one that is infinite as a float32, and
    all values of a row whose two lists differ in length, since no weight has a place there.
    """
    values, weights = values or (), weights or ()
    if len(values) != len(weights):
        weights = [None] * len(values)
    known = [weight for value, weight in zip(values, weights) if canonical(value) is not None]
    return tuple(
        NO_WEIGHT if weight is None else as_float32(weight)
        for weight in known[: feature.max_length]
    )


def as_float32(weight: float) -> float:
    """The nearest float32; 1 for what has none that is finite."""
    try:
        (rounded,) = struct.unpack("<f", struct.pack("<f", weight))
    except OverflowError:
        return NO_WEIGHT
    return rounded if math.isfinite(rounded) else NO_WEIGHT
