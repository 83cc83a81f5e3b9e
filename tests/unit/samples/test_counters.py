"""Rows that do not add up are never published."""

from datetime import date

import pytest

from esmm_dist.samples.counters import IDENTITIES, check_identities, counters_of

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
