"""The days a build is asked for."""

from datetime import date

import pytest

from esmm_dist.contract.errors import InputError
from esmm_dist.samples.schedule import days_seen, parse_days, text_of


def test_a_range_and_a_single_day_are_read() -> None:
    days = parse_days("2026-01-30:2026-02-02")
    assert (days.first, days.last) == (date(2026, 1, 30), date(2026, 2, 2))
    for text in ("2026-01-30", "2026-01-30:"):
        assert parse_days(text).first == parse_days(text).last == date(2026, 1, 30)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", ":2026-01-01"])
def test_what_is_no_day_is_named_in_the_error(text: str) -> None:
    with pytest.raises(InputError, match="^--days .*yyyy-mm-dd"):
        parse_days(text)


def test_a_range_from_late_to_early_is_refused() -> None:
    with pytest.raises(InputError, match="the last day lies before the first"):
        parse_days("2026-01-02:2026-01-01")


def test_days_seen_are_those_of_all_windows_each_once() -> None:
    first, second, third = (date(2026, 1, day) for day in (1, 2, 3))
    assert days_seen({first: (first, second), second: (second, third)}) == (first, second, third)


def test_days_are_told_as_one_day_or_as_a_range() -> None:
    assert text_of([date(2026, 1, 1)]) == "2026-01-01"
    assert text_of([date(2026, 1, 1), date(2026, 1, 3)]) == "2026-01-01 to 2026-01-03 (2 days)"
