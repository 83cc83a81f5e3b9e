"""Declarations of features: what they refuse together, and what their identity depends on."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter

from esmm_dist.contract.declaration import check_features
from esmm_dist.contract.features import (
    Feature,
    MultiValuedFeature,
    fingerprint,
    table_of,
)
from esmm_dist.contract.schema import column_types

HASHED = {"hash_size": 100}
ADAPTER: TypeAdapter[Feature] = TypeAdapter(Feature)


def declare(name: str, encode: dict[str, Any] = HASHED, **others: Any) -> Feature:
    declared = {"name": name, "group": "user", "kind": "categorical", "encode": encode, **others}
    return ADAPTER.validate_python(declared)


def refusal(*features: Feature) -> str:
    with pytest.raises(ValueError) as caught:
        check_features(features)
    return str(caught.value)


@pytest.mark.parametrize("name", ["user_id", "f2", "_x", "class", "größe", "用户"])
def test_plain_names_are_accepted(name: str) -> None:
    check_features([declare(name)])


@pytest.mark.parametrize("name", ["", "user id", "user-id", "user.id", "2nd", "a+"])
def test_names_that_need_quoting_are_refused(name: str) -> None:
    message = refusal(declare(name))
    assert message.startswith(f"the feature name {name!r} is no plain name")
    assert message.endswith("under logs.impressions.columns")


@pytest.mark.parametrize("name", ["click", "Conversion", "sample_id", "group_id", "weight", "day"])
def test_names_of_our_own_columns_are_refused(name: str) -> None:
    assert f"the feature name {name!r} is reserved" in refusal(declare(name))


def test_a_name_stands_once_whatever_its_case() -> None:
    assert "'a' is declared twice" in refusal(declare("a"), declare("a"))
    assert "'USER' is declared twice" in refusal(declare("user"), declare("USER"))


def test_the_column_of_a_lists_weights_is_taken_too() -> None:
    weighted = declare("tags", kind="multi_valued", weights="counts")
    for others in ([weighted, declare("Tags_weights")], [declare("tags_weights"), weighted]):
        assert "ags_weights' is declared twice" in refusal(*others)
    check_features([weighted, declare("counts")])


def test_a_table_is_shared_by_features_that_encode_alike() -> None:
    clicked = declare("clicked", table="item", kind="multi_valued", max_length=5)
    check_features([declare("item"), clicked])
    assert table_of(clicked) == "item"
    other = declare("clicked", {"hash_size": 101}, table="item")
    assert "'item' and 'clicked' share the table 'item' but encode differently" in refusal(
        declare("item"), other
    )


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (["user", "itme"], "the cross 'x' is of 'itme', which is no feature: did you mean item?"),
        (["user", "zz"], "the cross 'x' is of 'zz', which is no feature: declare it as one"),
        (["user", "tags"], "is of 'tags', which is multi_valued: only categorical and numeric"),
        (["user", "x"], "is of 'x', which is cross: only categorical and numeric features can be"),
        (["user", "user"], "the cross 'x' names a feature twice: user, user"),
    ],
)
def test_a_cross_of_what_cannot_be_crossed_is_refused(of: list[str], reason: str) -> None:
    others = [declare("user"), declare("item"), declare("tags", kind="multi_valued")]
    cross = declare("x", kind="cross", of=of, group="cross")
    assert reason in refusal(cross, *others)


def test_a_cross_is_of_two_to_four_features_and_is_hashed() -> None:
    with pytest.raises(ValueError, match="at least 2 items"):
        declare("x", kind="cross", of=["user"])
    with pytest.raises(ValueError, match="at most 4 items"):
        declare("x", kind="cross", of=["a", "b", "c", "d", "e"])
    with pytest.raises(ValueError, match="hash_size"):
        declare("x", {"min_count": 2}, kind="cross", of=["a", "b"])
    cross = declare("x", kind="cross", of=["user", "age"])
    check_features([cross, *BASE])
    assert column_types([cross])["x"] == "int32"


@pytest.mark.parametrize(
    ("encode", "reason"),
    [
        ({}, "exactly one of num_quantiles and boundaries"),
        ({"num_quantiles": 4, "boundaries": [1.0]}, "exactly one of"),
        ({"boundaries": []}, "strictly increasing and not empty"),
        ({"boundaries": [1.0, 1.0]}, "strictly increasing"),
        ({"boundaries": [2.0, 1.0]}, "strictly increasing"),
        ({"boundaries": [float("nan")]}, "finite"),
        ({"num_quantiles": 1}, "greater than or equal to 2"),
    ],
)
def test_buckets_are_quantiles_or_rising_boundaries(encode: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        declare("age", encode, kind="numeric")


BASE = [declare("user"), declare("age", {"boundaries": [1.0, 2.0]}, kind="numeric")]
OTHERS = [
    [declare("user")],
    [*reversed(BASE)],
    [declare("user2"), BASE[1]],
    [declare("user", kind="multi_valued"), BASE[1]],
    [declare("user", kind="multi_valued", weights="w"), BASE[1]],
    [declare("user", {"hash_size": 101}), BASE[1]],
    [declare("user", {"hash_size": 100, "seed": 1}), BASE[1]],
    [declare("user", {"min_count": 100}), BASE[1]],
    [declare("user", table="shared"), BASE[1]],
    [declare("user", source="users"), BASE[1]],
    [BASE[0], declare("age", {"boundaries": [1.0, 2.5]}, kind="numeric")],
]


@pytest.mark.parametrize("features", OTHERS)
def test_the_fingerprint_changes_with_anything_that_changes_an_id(
    features: Sequence[Feature],
) -> None:
    assert fingerprint(features) != fingerprint(BASE)


def test_what_a_field_is_summed_with_and_when_a_value_came_to_be_change_no_id() -> None:
    timed = declare("user", group="item", time="seen_at")
    assert fingerprint([timed, BASE[1]]) == fingerprint(BASE)


def test_the_fingerprint_does_not_depend_on_how_a_default_is_written() -> None:
    explicit = declare("user", {"hash_size": 100, "seed": 0}, table=None)
    assert fingerprint([explicit, BASE[1]]) == fingerprint(BASE)


def test_the_fingerprint_is_pinned_because_samples_and_checkpoints_carry_it() -> None:
    assert fingerprint(BASE) == (
        "7e16d20af1a9d3a589e37397202691c2046363e8efe71b8d8776ef93ca4ddcf5"
    )


def test_columns_stand_in_the_order_of_the_declaration() -> None:
    tags = declare("tags", kind="multi_valued")
    assert isinstance(tags, MultiValuedFeature)
    assert column_types([*BASE, tags]) == {
        "sample_id": "int64", "group_id": "int64", "click": "int8", "conversion": "int8",
        "weight": "float32", "click_delay_s": "int32", "conversion_delay_s": "int32",
        "observed_s": "int32", "mature": "int8", "user": "int32", "age": "int32", "tags": "binary",
    }
    assert list(column_types([tags, *BASE]))[9:] == ["tags", "user", "age"]
    weighted = declare("tags", kind="multi_valued", weights="counts")
    assert list(column_types([weighted, *BASE]).items())[9:11] == [
        ("tags", "binary"), ("tags_weights", "binary")
    ]
