"""Rows that do not add up are never published."""

from datetime import date

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.samples.counters import (
    IDENTITIES,
    check_identities,
    counters_of,
    refuse_no_samples,
)

DAY = date(2026, 1, 1)
NAMES = sorted({name for both in IDENTITIES.items() for names in both for name in names})


def whole() -> dict[str, int]:
    """Counters that add up, every fate met."""
    counters = {"samples_clicked": 3, "samples_converted": 2}
    for given, accounted in IDENTITIES.items():
        counters |= {name: 1 + place for place, name in enumerate(accounted)}
        total = sum(counters[name] for name in accounted)
        counters |= {name: 1 for name in given}
        counters[given[0]] = total - (len(given) - 1)
    return counters


def test_rows_that_add_up_pass() -> None:
    check_identities(DAY, whole())
    refuse_no_samples(DAY, whole(), load_config())


@pytest.mark.parametrize(
    ("counters", "told"),
    [
        ({"impressions_null_id": 7},
         "no row of 2026-01-01 can be used: impressions_null_id 7: correct the log"),
        ({"impressions_null_id": 7, "samples_left_out": 1234},
         "samples.unclicked_rate = 0.001: it leaves out all 1,234 samples of 2026-01-01"),
    ],
)
def test_who_left_nothing_of_a_day_is_told(counters: dict[str, int], told: str) -> None:
    config = load_config(overrides=["samples.unclicked_rate=0.001"])
    with pytest.raises(InputError) as raised:
        refuse_no_samples(DAY, counters_of(DAY, counters, {}), config)
    assert told in str(raised.value)
    assert ("log" in str(raised.value)) == ("samples_left_out" not in counters)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_too_many_under_any_fate_is_noticed(name: str) -> None:
    with pytest.raises(AssertionError, match=name):
        check_identities(DAY, whole() | {name: whole()[name] + 1})


def test_more_conversions_than_clicks_are_noticed() -> None:
    with pytest.raises(AssertionError):
        check_identities(DAY, whole() | {"samples_converted": 4})


def test_a_fate_that_no_row_met_counts_nothing() -> None:
    rows_in = {"impressions": {DAY: 7}, "clicks": {}, "conversions": {}}
    counters = counters_of(DAY, {"clicks_repeated": 2}, rows_in)
    assert {name: n for name, n in counters.items() if n} == {
        "impressions_in": 7, "clicks_repeated": 2,
    }
    assert counters.keys() == set(NAMES)
