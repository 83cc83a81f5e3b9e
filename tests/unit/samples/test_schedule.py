"""The days a build is asked for."""

from datetime import date
from typing import Any

import pytest

from esmm_dist.contract import yaml_core
from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.samples.schedule import Windows, days_seen, parse_days, text_of
from tests.unit.contract.conftest import MINIMAL


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


def test_all_days_with_rivals_of_a_days_impressions_and_clicks_are_read() -> None:
    """Of windows of 24 and 48 hours, where midnight is no rival's end."""
    keyed = {"attribute_by": "keys", "keys": ["user_id"]}
    last = windows({"credit": "last_impression"} | keyed, {"credit": "last_click"} | keyed)
    assert last.click_days == {day(10): days(10, 11)}
    assert last.conversion_days == {day(10): days(10, 13)}
    assert last.rival_impression_days == {day(10): days(10, 11)}
    assert last.rival_click_days == {day(10): days(10, 14)}
    first = windows({"credit": "first_impression"} | keyed, {"credit": "first_click"} | keyed)
    assert first.rival_impression_days == {day(10): days(9, 10)}
    assert first.rival_click_days == {day(10): days(8, 12)}


def test_a_skew_lets_rivals_lie_further_away() -> None:
    keyed = {"attribute_by": "keys", "keys": ["user_id"]}
    last = windows({"credit": "last_impression"} | keyed, {"credit": "last_click"} | keyed, 60)
    assert last.click_days == {day(10): days(9, 11)}
    assert last.rival_impression_days == {day(10): days(10, 12)}
    assert last.rival_click_days == {day(10): days(9, 15)}
    first = windows({"credit": "first_impression"} | keyed, {"credit": "first_click"} | keyed, 60)
    assert first.rival_impression_days == {day(10): days(8, 10)}
    assert first.rival_click_days == {day(10): days(7, 12)}


def test_logs_that_are_filed_by_arrival_are_read_as_late_as_rows_may_be() -> None:
    keyed = {"attribute_by": "keys", "keys": ["user_id"], "partition": "dt"}
    found = windows(keyed, keyed | {"conversion_id": "order"}, lateness_hours=48)
    assert found.click_days == {day(10): days(10, 13)}
    assert found.conversion_days == {day(10): days(10, 15)}
    assert found.rival_impression_days == {day(10): days(10, 11)}
    assert found.rival_click_days == {day(10): days(10, 16)}
    assert found.repeats_since == {day(n): day(n - 5) for n in range(10, 16)}
    assert found.conversion_days_read == days(5, 15)
    by_time = windows({}, {}, lateness_hours=48)
    assert by_time.click_days == {day(10): days(10, 11)}
    assert by_time.conversion_days_read == days(10, 13)


def test_a_conversion_id_may_come_back_as_late_as_declared_and_never_inside_the_windows() -> None:
    found = windows({}, {"conversion_id": "order"}, 60)
    # Both windows and twice the skew reach into the fourth day before.
    assert found.conversion_days == {day(10): days(9, 13)}
    assert found.repeats_since == {day(n): day(n - 4) for n in range(9, 14)}
    longer = windows({}, {"conversion_id": "order", "repeat_hours": 240})
    assert longer.repeats_since == {day(n): date(2023, 12, 31) + (day(n) - day(10))
                                    for n in range(10, 14)}
    assert windows({}, {}).repeats_since == {}


def day(number: int) -> date:
    return date(2024, 1, number)


def days(first: int, last: int) -> tuple[date, ...]:
    return tuple(day(number) for number in range(first, last + 1))


def windows(
    clicks: dict[str, Any], conversions: dict[str, Any], max_skew_seconds: float = 0,
    lateness_hours: float = 0,
) -> Windows:
    """Of one day of the small config."""
    document = yaml_core.load(MINIMAL.read_text(encoding="utf-8"))
    document["logs"]["clicks"] |= clicks
    document["logs"]["conversions"] |= conversions
    document["logs"]["max_clock_skew_seconds"] = max_skew_seconds
    document["samples"] |= {"conversion_window_hours": 48, "lateness_hours": lateness_hours}
    return Windows.of([day(10)], parse_config(document, "small"))


def test_days_are_told_as_one_day_or_as_ranges_that_hold_no_others() -> None:
    assert text_of([day(1)]) == "2024-01-01"
    assert text_of(days(1, 3)) == "2024-01-01 to 2024-01-03 (3 days)"
    assert text_of([day(1), day(3)]) == "2024-01-01, 2024-01-03 (2 days)"
    assert text_of([day(9), *days(1, 2), *days(5, 7)]) == (
        "2024-01-01 to 2024-01-02, 2024-01-05 to 2024-01-07, 2024-01-09 (6 days)"
    )
