"""What vocabularies and quantiles are made of counted values; no Spark."""

import random

import pytest

from esmm_dist.contract.features import (
    BucketEncoding,
    CategoricalFeature,
    Group,
    HashEncoding,
    Kind,
    NumericFeature,
    VocabularyEncoding,
    is_learned,
)
from esmm_dist.samples.fitting import Sighting, fitted, quantiles

COLOR = CategoricalFeature(
    name="color", group=Group.ITEM, encode=VocabularyEncoding(min_count=1), table="colors"
)
PRICE = NumericFeature(
    name="price", kind=Kind.NUMERIC, group=Group.ITEM, encode=BucketEncoding(num_quantiles=2)
)
USER = CategoricalFeature(name="user", group=Group.USER, encode=HashEncoding(hash_size=9))


def test_keys_stand_by_falling_count_and_then_by_their_text_whatever_came_first() -> None:
    seen = [Sighting("colors", key, None, n) for key, n in (("b", 5), ("c", 9), ("a", 5), ("Z", 5))]
    for _ in range(5):
        random.shuffle(seen)
        assert fitted(seen, [COLOR]).vocabularies == {"colors": ("c", "Z", "a", "b")}


def test_what_was_never_seen_has_an_empty_vocabulary_and_no_boundaries() -> None:
    encodings = fitted([], [COLOR, PRICE, USER])
    assert encodings.vocabularies == {"colors": ()}
    assert encodings.boundaries == {"price": ()}


def test_only_vocabularies_and_quantiles_are_learned() -> None:
    fixed = PRICE.model_copy(update={"encode": BucketEncoding(boundaries=(1.0,))})
    assert [is_learned(feature) for feature in (COLOR, PRICE, USER, fixed)] == [
        True, True, False, False,
    ]


@pytest.mark.parametrize(
    ("counted", "num_quantiles", "boundaries"),
    [
        ([(float(n), 1) for n in range(8)], 4, (2.0, 4.0, 6.0)),
        ([(0.0, 90), (1.0, 10)], 2, (1.0,)),
        ([(0.0, 90), (1.0, 10)], 32, (1.0,)),
        ([(5.0, 100)], 4, ()),
        ([], 4, ()),
        ([(1.0, 1), (2.0, 98), (3.0, 1)], 2, (3.0,)),
    ],
    ids=["equal", "two values", "more buckets than values", "constant", "nothing", "one heavy"],
)
def test_boundaries_begin_buckets_of_about_equal_size(
    counted: list[tuple[float, int]], num_quantiles: int, boundaries: tuple[float, ...]
) -> None:
    assert quantiles(counted, num_quantiles) == boundaries
    assert quantiles(reversed(counted), num_quantiles) == boundaries


def test_no_bucket_of_many_different_values_is_much_larger_than_another() -> None:
    rng = random.Random(3)
    values = [rng.lognormvariate(0, 2) for _ in range(5_000)]
    boundaries = quantiles([(value, 1) for value in values], 32)
    assert len(boundaries) == 31 and list(boundaries) == sorted(set(boundaries))
    bucket_of = [sum(b <= value for b in boundaries) for value in values]
    sizes = [bucket_of.count(bucket) for bucket in range(32)]
    assert max(sizes) - min(sizes) <= 2
