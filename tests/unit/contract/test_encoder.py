"""The definition of ids: fixed values, edges, and the rules as properties.

That Spark's expressions equal this encoder is shown where Spark is at hand; the fixed values here
were computed by Spark 4.0.5 and hold both sides together without it.
"""

import math
import struct

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.encoder import (
    Value,
    bucket_encoder,
    canonical,
    cross_encoder,
    encode_values,
    encoder_of,
    hash_encoder,
    value_bytes,
    vocabulary_encoder,
    weights_of_values,
)
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import (
    BucketEncoding,
    CategoricalFeature,
    CrossFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
    NumericFeature,
    VocabularyEncoding,
)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(), st.text())


@pytest.mark.parametrize(
    ("seed", "value", "expected"),
    [
        (0, "abc", 542),
        (0, "", 0),
        (7, "Größe", 16),
        (0, 5, 954),
        (0, -1, 444),
        (3, 2**63 - 1, 597),
        (0, 1.5, 266),
    ],
)
def test_hashed_ids_are_those_that_spark_gives(seed: int, value: Value, expected: int) -> None:
    assert hash_encoder(HashEncoding(hash_size=1000, seed=seed))(value) == expected


@given(VALUES, st.integers(2, 2**31 - 1), st.integers(0, 2**63 - 1))
def test_a_hashed_id_fits_the_table_and_zero_is_null(value: Value, size: int, seed: int) -> None:
    encoded = hash_encoder(HashEncoding(hash_size=size, seed=seed))(value)
    assert (encoded == 0) == (canonical(value) is None)
    assert 0 <= encoded < size


@given(st.text(min_size=1))
def test_a_hash_follows_its_formula(text: str) -> None:
    seed = xxhash.xxh64_intdigest(struct.pack("<q", 5), 42)
    shifted = xxhash.xxh64_intdigest(text.encode(), seed) // 2
    assert hash_encoder(HashEncoding(hash_size=97, seed=5))(text) == 1 + shifted % 96


@given(st.integers(-(2**52), 2**52))
def test_what_a_missing_value_did_to_a_type_does_not_change_an_id(number: int) -> None:
    encode = hash_encoder(HashEncoding(hash_size=10**6))
    assert encode(number) == encode(float(number))
    keys = vocabulary_encoder([str(number)])
    assert keys(number) == keys(float(number)) == keys(str(number)) == 2


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None), (float("nan"), None), (True, 1), (False, 0), (2.0, 2), (-0.0, 0), (2.5, 2.5),
        (float("inf"), float("inf")), (2.0**63, 2.0**63), (-(2.0**63), -(2**63)), ("2", "2"),
        ("", None), (" ", " "),
    ],
)
def test_a_value_is_freed_of_accidents_of_type(value: Value, plain: Value) -> None:
    found = canonical(value)
    assert found == plain and type(found) is type(plain)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, b"bytes", [1]])
def test_values_of_no_column_are_refused(value: object) -> None:
    with pytest.raises(ValueError):
        canonical(value)  # type: ignore[arg-type]


def test_a_lone_surrogate_is_hashed_as_java_writes_it() -> None:
    encode = hash_encoder(HashEncoding(hash_size=1000))
    assert encode("a\ud800b") == encode("a?b")


def test_a_vocabulary_numbers_its_keys_from_two() -> None:
    encode = vocabulary_encoder(["red", "7", "blue"])
    assert [encode(v) for v in ("red", "7", 7, 7.0, "blue")] == [2, 3, 3, 3, 4]
    assert [encode(v) for v in ("green", "Red", " red", 8, 7.5, True)] == [1] * 6
    assert [encode(v) for v in (None, float("nan"), "")] == [0, 0, 0]
    assert vocabulary_encoder(["", "red"])("") == 0


def test_a_text_of_more_than_10_000_bytes_is_out_of_vocabulary_and_moves_no_other_key() -> None:
    longest, longer, wide = "x" * 10_000, "x" * 10_001, "é" * 5_001
    encode = vocabulary_encoder(["red", longer, longest, wide])
    assert [encode(v) for v in ("red", longer, longest, wide, None)] == [2, 1, 4, 1, 0]


def test_a_truth_value_is_found_by_its_number() -> None:
    encode = vocabulary_encoder(["1", "0"])
    assert [encode(True), encode(False)] == [2, 3]


@pytest.mark.parametrize(
    ("value", "bucket"),
    [(-1e300, 1), (17.9, 1), (18, 2), (18.0, 2), (29, 2), (30, 3), (31, 3), (45, 4),
     (float("inf"), 4), (float("-inf"), 1), (None, 0), (float("nan"), 0), (True, 1)],
)
def test_a_boundary_belongs_to_the_bucket_above_it(value: Value, bucket: int) -> None:
    assert bucket_encoder([18.0, 30.0, 45.0])(value) == bucket


@given(st.lists(st.floats(allow_nan=False), unique=True, min_size=1).map(sorted),
       st.floats(allow_nan=False))
def test_a_bucket_is_one_more_than_the_boundaries_at_or_below(
    boundaries: list[float], value: float
) -> None:
    assert bucket_encoder(boundaries)(value) == 1 + sum(b <= value for b in boundaries)


def test_a_text_is_no_number() -> None:
    with pytest.raises(ValueError, match="the text '5' stands in a numeric feature"):
        bucket_encoder([1.0])("5")


def test_a_feature_is_encoded_by_what_it_declares_and_what_was_learned() -> None:
    encodings = Encodings(vocabularies={"places": ("b", "a")}, boundaries={"price": (1.0, 2.0)})
    features: tuple[tuple[Feature, Value, int], ...] = (
        (CategoricalFeature(name="city", group=Group.USER, encode=VocabularyEncoding(min_count=1),
                            table="places"), "a", 3),
        (NumericFeature(name="price", kind=Kind.NUMERIC, group=Group.ITEM,
                        encode=BucketEncoding(num_quantiles=3)), 1.5, 2),
        (NumericFeature(name="age", kind=Kind.NUMERIC, group=Group.USER,
                        encode=BucketEncoding(boundaries=(0.0,))), 1.5, 2),
        (CategoricalFeature(name="u", group=Group.USER, encode=HashEncoding(hash_size=1000)),
         "abc", 542),
    )
    for feature, value, expected in features:
        assert encoder_of(feature, encodings)(value) == expected


def test_a_list_keeps_its_first_values_that_are_not_null() -> None:
    tags = MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM,
                              encode=VocabularyEncoding(min_count=1), max_length=3)
    encode = vocabulary_encoder(["a", "b"])
    assert encode_values(tags, encode, ["a", None, "", "x", "b", "a"]) == (2, 1, 3)
    assert encode_values(tags, encode, []) == encode_values(tags, encode, None) == ()


PARTS: tuple[Feature, ...] = (
    CategoricalFeature(name="a", group=Group.USER, encode=HashEncoding(hash_size=9)),
    CategoricalFeature(name="b", group=Group.ITEM, encode=VocabularyEncoding(min_count=1)),
    NumericFeature(name="c", kind=Kind.NUMERIC, group=Group.ITEM,
                   encode=BucketEncoding(num_quantiles=3)),
)


@given(VALUES, VALUES, st.one_of(st.none(), st.floats()), st.integers(2, 10**9), st.integers(0, 9))
def test_a_cross_follows_its_formula(
    a: Value, b: Value, c: float | None, size: int, seed: int
) -> None:
    cross = CrossFeature(name="x", kind=Kind.CROSS, of=("c", "a", "b"),
                         encode=HashEncoding(hash_size=size, seed=seed))
    known = Encodings(boundaries={"c": (0.0, 1.0)})
    found = cross_encoder(cross, PARTS, known)([c, a, b])
    plain = [canonical(value) for value in (c, a, b)]
    if None in plain:
        assert found == 0
        return
    parts = [1 + (float(plain[0] or 0) >= 0) + (float(plain[0] or 0) >= 1), plain[1], plain[2]]
    state = start = xxhash.xxh64_intdigest(struct.pack("<q", seed), 42)
    for part in parts:
        of_part = xxhash.xxh64_intdigest(value_bytes(part or 0), start)
        state = xxhash.xxh64_intdigest(of_part.to_bytes(8, "little"), state)
    assert found == 1 + (state // 2) % (size - 1)


def test_the_order_of_a_cross_and_the_bounds_of_its_values_matter() -> None:
    of = {"ab": ("a", "b"), "ba": ("b", "a")}
    ab, ba = (
        cross_encoder(CrossFeature(name=name, kind=Kind.CROSS, of=parts,
                                   encode=HashEncoding(hash_size=10**9)), PARTS, Encodings())
        for name, parts in of.items()
    )
    assert ab(["u", "v"]) != ab(["v", "u"]) == ba(["v", "u"])
    assert ab(["u", "vw"]) != ab(["uv", "w"])


def test_a_cross_is_encoded_by_no_single_value() -> None:
    cross = CrossFeature(name="x", kind=Kind.CROSS, of=("a", "b"),
                         encode=HashEncoding(hash_size=9))
    with pytest.raises(AssertionError):
        encoder_of(cross, Encodings())


WEIGHTED = MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM, weights="w",
                              encode=VocabularyEncoding(min_count=1), max_length=3)


@pytest.mark.parametrize(
    ("values", "weights", "kept"),
    [
        (["a", None, "x", "b", "a"], [1, 2, 0.1, -4, 5], (1, float(np.float32(0.1)), -4)),
        (["a", "b", "c"], [None, math.nan, 0.0], (1, 1, 0)),
        (["a", "b", "c"], [math.inf, -math.inf, 1e39], (1, 1, 1)),
        (["", "b"], [2.0, 3.0], (3.0,)),
        (["a", "b", math.nan], [2.0, 3.0], (1, 1)),
        (["a", "b"], None, (1, 1)),
        (["a"], [], (1,)),
        ([], [2.0], ()),
        (None, None, ()),
    ],
)
def test_a_value_without_a_finite_weight_of_its_own_counts_one(
    values: list[Value] | None, weights: list[float | None] | None, kept: tuple[float, ...]
) -> None:
    assert weights_of_values(WEIGHTED, values, weights) == kept
