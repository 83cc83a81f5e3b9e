"""However a client writes a value, it is what the log would hold, or it is refused."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.encoder import Value, canonical, hash_encoder
from esmm_dist.contract.features import HashEncoding
from esmm_dist.contract.value_kinds import ValueKind, agreed, as_logged

ENCODE = hash_encoder(HashEncoding(hash_size=2**31 - 1))
WHOLE = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.one_of(st.booleans(), WHOLE, st.floats())
VALUES = st.one_of(st.none(), NUMBERS, st.text(), WHOLE.map(str))


@given(NUMBERS)
def test_what_a_log_of_numbers_holds_stays_as_it_is(value: Value) -> None:
    assert as_logged(value, "number") is value


@given(st.text())
def test_what_a_log_of_texts_holds_stays_as_it_is(value: str) -> None:
    assert as_logged(value, "text") is value


@given(WHOLE)
def test_a_whole_number_has_one_id_however_it_is_written(number: int) -> None:
    for kind, logged in (("number", number), ("text", str(number))):
        for written in (number, str(number)):
            assert ENCODE(as_logged(written, kind)) == ENCODE(logged)  # type: ignore[arg-type]
    assert ENCODE(number) != ENCODE(str(number)), "which is what it is for"


@given(VALUES)
def test_a_value_comes_out_as_the_log_holds_it_or_not_at_all(value: Value) -> None:
    """Never as another value: what is written back is what was given."""
    for kind in get_args(ValueKind):
        try:
            logged = canonical(as_logged(value, kind))
        except ValueError:
            continue
        plain = canonical(value)
        assert (logged is None) == (plain is None)
        assert logged is None or isinstance(logged, str) == (kind == "text")
        assert str(logged) == str(plain)


@given(VALUES)
def test_where_nobody_noted_the_kind_nothing_changes(value: Value) -> None:
    assert as_logged(value, None) is value


@pytest.mark.parametrize(("value", "kind", "reason"), [
    ("3.5", "number", "the text '3.5' is no whole number: the log has numbers"),
    ("012", "number", "no whole number"),
    ("+1", "number", "no whole number"),
    ("-0", "number", "no whole number"),
    ("٣", "number", "no whole number"),
    (str(2**63), "number", "does not fit 64 bits"),
    (True, "text", "True stands for no text: the log has texts"),
    (0.5, "text", "0.5 stands for no text"),
    (float("inf"), "text", "inf stands for no text"),
])
def test_what_could_stand_for_several_values_is_refused(
    value: Value, kind: ValueKind, reason: str
) -> None:
    with pytest.raises(ValueError) as caught:
        as_logged(value, kind)
    assert reason in str(caught.value)


def test_days_that_contradict_each_other_say_nothing() -> None:
    days: list[dict[str, ValueKind] | None] = [
        {"user": "text", "city": "text"}, None, {"user": "text", "city": "number", "tab": "number"},
    ]
    assert agreed(days) == {"user": "text", "tab": "number"}
