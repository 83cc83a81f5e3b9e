"""Days as instants: zones that are not UTC, days of 23 and 25 hours, and the reach of windows."""

from datetime import UTC, date, datetime, timedelta

import pytest

from esmm_dist.samples.days import Calendar, span

HOUR = timedelta(hours=1)
ONE_DAY = date(2026, 6, 10)


def test_a_day_begins_at_its_own_zones_midnight() -> None:
    start = Calendar.of("Asia/Shanghai").start(ONE_DAY)
    assert start == datetime(2026, 6, 9, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 8), 23), (date(2026, 6, 10), 24), (date(2026, 11, 1), 25)]
)
def test_a_day_lasts_as_long_as_its_clocks_say(day: date, hours: int) -> None:
    calendar = Calendar.of("America/New_York")
    assert calendar.end(day) - calendar.start(day) == hours * HOUR


@pytest.mark.parametrize(
    ("hours", "num_days"), [(0.001, 1), (24, 1), (24.001, 2), (48, 2), (24 * 30, 30)]
)
def test_a_window_reaches_every_day_that_begins_before_it_closes(
    hours: float, num_days: int
) -> None:
    last = Calendar.of("UTC").last_day_reached(ONE_DAY, hours * HOUR)
    assert last == ONE_DAY + timedelta(days=num_days)


def test_a_short_day_lets_a_window_reach_one_day_further() -> None:
    """24 hours after the end of 7 March it is 1 o'clock on 9 March: the 8th has 23 hours."""
    calendar = Calendar.of("America/New_York")
    reach = calendar.reach([date(2026, 3, 6), date(2026, 3, 7)], 24 * HOUR)
    assert reach == {
        day: span(day, last)
        for day, last in (
            (date(2026, 3, 6), date(2026, 3, 7)), (date(2026, 3, 7), date(2026, 3, 9)),
        )
    }


def test_a_span_has_both_its_ends() -> None:
    assert span(date(2026, 2, 27), date(2026, 3, 1)) == (
        date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1),
    )


@pytest.mark.parametrize(
    ("span_before", "num_days"), [(0, 0), (0.001, 1), (24, 1), (24.001, 2)]
)
def test_a_span_before_a_day_reaches_every_day_that_ends_inside_it(
    span_before: float, num_days: int
) -> None:
    calendar = Calendar.of("UTC")
    first = calendar.first_day_reached(ONE_DAY, span_before * HOUR)
    assert first == ONE_DAY - timedelta(days=num_days)
    days = calendar.reach([ONE_DAY], timedelta(), span_before * HOUR)
    assert days == {ONE_DAY: span(first, ONE_DAY)}
