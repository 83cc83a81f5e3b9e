"""A request is encoded value by value as the definition says, or refused by its feature."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.encoder import (
    cross_encoder,
    encode_values,
    encoder_of,
    weights_of_values,
)
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
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
from esmm_dist.contract.value_kinds import ValueKind
from esmm_dist.serving.requests import RequestEncoder

USER = CategoricalFeature(name="user", group=Group.USER, encode=HashEncoding(hash_size=997))
CITY = CategoricalFeature(name="city", group=Group.USER, encode=VocabularyEncoding(min_count=1))
PRICE = NumericFeature(name="price", kind=Kind.NUMERIC, group=Group.ITEM,
                       encode=BucketEncoding(num_quantiles=3))
TAGS = MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM, max_length=3,
                          encode=VocabularyEncoding(min_count=1), weights="counts")
PAIR = CrossFeature(name="pair", kind=Kind.CROSS, of=("user", "price"),
                    encode=HashEncoding(hash_size=10**6))
FEATURES: tuple[Feature, ...] = (USER, CITY, PRICE, TAGS, PAIR)
ENCODINGS = Encodings(vocabularies={"city": ("rome", "7"), "tags": ("a", "b", "1")},
                      boundaries={"price": (1.0, 9.5)})
ENCODER = RequestEncoder(FEATURES, ENCODINGS)
REQUEST: dict[str, Any] = {
    "user": 7, "city": "rome", "price": 3.5, "tags": ["b", None, "x"], "counts": [2.0, 9.0, 0.25],
}

NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats())
VALUES = st.one_of(NUMBERS, st.text())
LISTS = st.one_of(st.none(), st.lists(VALUES, max_size=6))
REQUESTS = st.fixed_dictionaries({
    "user": VALUES, "city": VALUES, "price": NUMBERS, "tags": LISTS,
    "counts": st.one_of(st.none(), st.lists(NUMBERS, max_size=6)),
})


@given(st.lists(REQUESTS, min_size=1, max_size=5))
def test_every_value_gets_the_id_of_the_definition(requests: list[dict[str, Any]]) -> None:
    found = ENCODER.encode(requests)
    encoders = {feature.name: encoder_of(feature, ENCODINGS) for feature in FEATURES[:4]}
    crossed = cross_encoder(PAIR, FEATURES, ENCODINGS)
    for place, request in enumerate(requests):
        ids = {name: encoders[name](request[name]) for name in ("user", "city", "price")}
        ids["pair"] = crossed([request["user"], request["price"]])
        assert {name: found[name][place].tolist() for name in ids} == {
            name: [number] for name, number in ids.items()
        }
        tags = encode_values(TAGS, encoders["tags"], request["tags"])
        weights = weights_of_values(TAGS, request["tags"], request["counts"])
        rest = [0] * (found["tags"].shape[1] - len(tags))
        assert found["tags"][place].tolist() == [*tags, *rest]
        assert found["tags_weights"][place].tolist() == [*weights, *rest]
        assert ENCODER.ids(request) == {**{n: (i,) for n, i in ids.items()}, "tags": tags,
                                        "tags_weights": weights}


def test_inputs_have_the_types_and_shapes_that_the_model_takes() -> None:
    found = ENCODER.encode([REQUEST, REQUEST | {"tags": []}])
    assert {name: (str(values.dtype), values.shape) for name, values in found.items()} == {
        "user": ("int32", (2, 1)), "city": ("int32", (2, 1)), "price": ("int32", (2, 1)),
        "tags": ("int32", (2, 2)), "tags_weights": ("float32", (2, 2)), "pair": ("int32", (2, 1)),
    }
    assert found["tags"].tolist() == [[3, 1], [0, 0]]
    assert found["tags_weights"].tolist() == [[2.0, 0.25], [0.0, 0.0]]


def test_numbers_of_numpy_are_numbers() -> None:
    of_numpy = {"user": np.int64(7), "price": np.float32(3.5), "city": np.str_("rome"),
                "tags": np.array(["b", None, "x"], object), "counts": np.array([2, 9, 0.25])}
    assert ENCODER.ids(of_numpy) == ENCODER.ids(REQUEST)


def test_null_and_unknown_values_have_ids() -> None:
    ids = ENCODER.ids({"user": None, "city": "nowhere", "price": math.nan, "tags": None,
                       "counts": None})
    assert ids == {"user": (0,), "city": (1,), "price": (0,), "tags": (), "tags_weights": (),
                   "pair": (0,)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": "3.5"}, "request 1: 'price': the text '3.5' stands in a numeric feature"),
        ({"user": 2**63}, f"request 1: 'user': the integer {2**63} does not fit 64 bits"),
        ({"city": b"rome"},
         "request 1: 'city': a value of type bytes is not text, number or boolean"),
        ({"city": ["rome"]},
         "request 1: 'city': a value of type list is not text, number or boolean"),
        ({"tags": "ab"}, "request 1: 'tags': 'ab' is no list"),
        ({"tags": [["a"]]},
         "request 1: 'tags': a value of type list is not text, number or boolean"),
        ({"counts": ["1"]},
         "request 1: 'counts': the weight '1' is a text, a number is wanted"),
        ({"counts": 1.0}, "request 1: 'counts': 1.0 is no list"),
        ({"tags": np.array("a")}, "request 1: 'tags': array('a', dtype='<U1') is no list"),
        ({"tags": {"a"}}, "request 1: 'tags': {'a'} is no list"),
    ],
)
def test_what_no_log_could_hold_is_refused_by_its_feature(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        ENCODER.encode([REQUEST, REQUEST | change])
    assert str(caught.value) == message


def test_requests_that_come_one_by_one_are_those_of_a_list() -> None:
    listed = [REQUEST, REQUEST | {"user": 8, "tags": ["a"], "counts": None}]
    found, expected = ENCODER.encode(iter(listed)), ENCODER.encode(listed)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(found[name], values), name


@pytest.mark.parametrize(("requests", "kind"), [
    (REQUEST, "str"), ([None], "NoneType"), ([[1]], "list"), ("ab", "str"), ([7], "int"),
])
def test_what_is_no_list_of_dicts_is_refused(requests: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"^request 0: 'user': {kind} is no dict of raw values"):
        ENCODER.encode(requests)


@pytest.mark.parametrize("name", ["user", "price", "tags", "counts"])
def test_a_feature_that_is_left_out_is_no_null(name: str) -> None:
    request = {key: value for key, value in REQUEST.items() if key != name}
    with pytest.raises(InputError, match=f"^request 0: it has no '{name}': give its value"):
        ENCODER.encode([request])


def test_a_value_may_be_written_otherwise_than_it_is_logged() -> None:
    kinds: dict[str, ValueKind] = {
        "user": "number", "city": "text", "price": "number", "tags": "text",
    }
    encoder = RequestEncoder(FEATURES, ENCODINGS, kinds)
    for tag in ("1", 1, 1.0):
        written = {"user": "7", "city": 7, "price": "3", "tags": ["b", None, tag]}
        logged = {"user": 7, "city": "7", "price": 3.0, "tags": ["b", None, "1"]}
        assert encoder.ids(REQUEST | written) == ENCODER.ids(REQUEST | logged)
    assert ENCODER.ids(REQUEST | {"user": "7"}) != ENCODER.ids(REQUEST), "of which nobody noted it"


@pytest.mark.parametrize(("change", "message"), [
    ({"user": "7a"}, "request 0: 'user': the text '7a' is no whole number: the log has numbers"),
    ({"price": "3.5"},
     "request 0: 'price': the text '3.5' is no whole number: the log has numbers"),
    ({"tags": [0.5]},
     "request 0: 'tags': 0.5 stands for no text: the log has texts: write it as it does"),
])
def test_what_has_no_one_writing_in_the_log_is_refused_by_its_feature(
    change: dict[str, Any], message: str
) -> None:
    encoder = RequestEncoder(
        FEATURES, ENCODINGS, {"user": "number", "price": "number", "tags": "text"}
    )
    with pytest.raises(InputError) as caught:
        encoder.encode([REQUEST | change])
    assert str(caught.value) == message


def test_keys_that_are_no_features_are_not_looked_at() -> None:
    assert ENCODER.ids(REQUEST | {"impression_id": object()}) == ENCODER.ids(REQUEST)
