"""Learned encodings: their identity, their sizes, and what is no encodings document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.encodings import Encodings, differences, num_rows_of_table
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config

LEARNED = Encodings(
    vocabularies={"city": ("b", "a"), "item": ("x",)}, boundaries={"price": (0.1, 0.2, 0.3)}
)


def test_an_identity_depends_on_content_and_order_of_keys_alone() -> None:
    same = Encodings(
        vocabularies={"item": ("x",), "city": ("b", "a")}, boundaries={"price": (0.1, 0.2, 0.3)},
        ancestry=("older",),
    )
    assert same.content_hash == LEARNED.content_hash
    assert same.lineage == ("older", LEARNED.content_hash)


@pytest.mark.parametrize(
    "changed",
    [
        {"vocabularies": {"city": ("a", "b"), "item": ("x",)}},
        {"vocabularies": {"city": ("b", "a", "c"), "item": ("x",)}},
        {"vocabularies": {"town": ("b", "a"), "item": ("x",)}},
        {"boundaries": {"price": (0.1, 0.2, 0.30000000000000004)}},
        {"boundaries": {"cost": (0.1, 0.2, 0.3)}},
    ],
)
def test_an_identity_changes_with_what_an_id_means(changed: dict[str, object]) -> None:
    assert LEARNED.model_copy(update=changed).content_hash != LEARNED.content_hash


KEYS = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(KEYS, KEYS)
def test_appending_changes_no_id_and_adds_each_new_key_once(old: list[str], new: list[str]) -> None:
    before = Encodings(vocabularies={"city": tuple(old)}, boundaries={"price": (1.0,)},
                       ancestry=("older",))
    learned = Encodings(vocabularies={"city": tuple(new)}, boundaries={"price": (2.0, 3.0)})
    after = before.appended(learned)
    assert after.vocabularies["city"] == (*old, *[key for key in new if key not in old])
    assert after.boundaries == before.boundaries
    assert after.beginning({"city": len(old)}).content_hash == before.content_hash
    if set(new) <= set(old):
        assert after is before
    else:
        assert after.ancestry == ("older", before.content_hash)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"city": ("b", "c")},
         "the vocabulary city has as entry 2 of 2 'a' in the one, and of 2 'c' in the other"),
        ({"city": ("b", "a", "c")},
         "the vocabulary city has 2 entries in the one and 3 in the other"),
        ({"city": ("b", "a"), "shop": ()}, "the vocabulary shop is in one of them alone"),
        ({"city": ("b", "x" * 99)}, "and of 2 '" + "x" * 39 + "… in the other"),
    ],
)
def test_what_ids_mean_otherwise_is_told_by_its_keys(
    other: dict[str, tuple[str, ...]], told: str
) -> None:
    one = Encodings(vocabularies={"city": ("b", "a")}, boundaries={"price": (0.1, 0.2)})
    (found,) = differences(one, one.model_copy(update={"vocabularies": other}))
    assert told in found
    (found,) = differences(one, one.model_copy(update={"boundaries": {"price": (0.1, 0.3)}}))
    assert found.endswith("price have as entry 2 of 2 0.2 in the one, and of 2 0.3 in the other")
    assert differences(one, one) == []


def test_a_document_is_read_back_to_the_same() -> None:
    assert Encodings.parse(LEARNED.model_dump_json(), "file.json") == LEARNED


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "Invalid JSON"), ('{"vocabularies": {"city": ["a"', "Invalid JSON"),
     ('{"vocabulary": {}}', "unknown key vocabulary: did you mean vocabularies?"),
     ('{"boundaries": {"price": ["x"]}}', "boundaries.price.0 = 'x'")],
)
def test_what_is_no_document_is_refused_by_file(text: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        Encodings.parse(text, "file.json")
    message = str(caught.value)
    assert message.startswith("file.json: no readable encodings (") and reason in message
    assert "\n" not in message


def test_tables_have_room_for_every_id_their_features_can_give(config: Config) -> None:
    encodings = Encodings(vocabularies={"city": ("b", "a", "c")}, boundaries={"price": (1.0, 2.0)})
    assert num_rows_of_table(config.features, encodings) == {
        "user_id": 1000, "city": 2 + 3, "tags": 50, "age": 2 + 3, "price": 2 + 2,
    }
