"""The label join in plain Python: every rule a loop over all rows, every row one fate.

Slow and obvious; it shares no code with the Spark half.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Row:
    """A row of any log."""

    impression_id: str | None
    event_time: datetime | None
    filed_day: date | None
    """The day of the partition in which it lies; without partitions, that of event_time."""
    type: str | None = None
    """Of a conversion."""
    content: tuple[float, str | None] = (0.0, None)
    """Of an impression: the values of a feature and of the group key."""


class Rules(NamedTuple):
    """What the config says of the join."""

    zone: ZoneInfo
    click_window: timedelta
    conversion_window: timedelta
    types: tuple[str, ...]


class Sample(NamedTuple):
    """An impression that counts, and its labels."""

    event_time: datetime
    contents: frozenset[tuple[float, str | None]]
    """What it may say: conflicting rows of one instant leave a choice, which must be stable."""
    click: int
    conversion: int


class Joined(NamedTuple):
    """What one day's build makes of the logs."""

    samples: dict[str, Sample]
    counters: Counter[str]


def day_of(time: datetime, zone: ZoneInfo) -> date:
    """The calendar day of an instant."""
    return time.astimezone(zone).date()


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a calendar day."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def join(
    day: date, impressions: Sequence[Row], clicks: Sequence[Row], conversions: Sequence[Row],
    rules: Rules,
) -> Joined:
    """Builds one day; whatever other days hold is looked at row by row and passed over."""
    counters: Counter[str] = Counter()
    of_id = _impressions_that_may_count(day, impressions, rules, counters)
    live_clicks = _events_seen(day, clicks, "clicks", rules.click_window, rules, counters)
    live_conversions = _events_seen(
        day, conversions, "conversions", rules.click_window + rules.conversion_window,
        rules, counters,
    )
    samples: dict[str, Sample] = {}
    for impression_id, rows in of_id.items():
        samples[impression_id] = _sample(
            day, rows,
            [row for row in live_clicks if row.impression_id == impression_id],
            [row for row in live_conversions if row.impression_id == impression_id],
            rules, counters,
        )
    for log, events in (("clicks", live_clicks), ("conversions", live_conversions)):
        for row in events:
            if row.impression_id not in of_id and row.filed_day == day:
                counters[f"{log}_without_impression"] += 1
    return Joined(samples, counters)


def _impressions_that_may_count(
    day: date, impressions: Sequence[Row], rules: Rules, counters: Counter[str]
) -> dict[str, list[Row]]:
    of_id: dict[str, list[Row]] = {}
    for row in impressions:
        if row.filed_day != day:
            continue
        counters["impressions_in"] += 1
        if row.impression_id is None:
            counters["impressions_null_id"] += 1
        elif row.event_time is None:
            counters["impressions_null_time"] += 1
        elif day_of(row.event_time, rules.zone) != day:
            counters["impressions_misfiled"] += 1
        else:
            of_id.setdefault(row.impression_id, []).append(row)
    return of_id


def _events_seen(
    day: date, events: Sequence[Row], log: str, window: timedelta, rules: Rules,
    counters: Counter[str],
) -> list[Row]:
    """Events filed under the day, or later while a window of the day may be open."""
    closed = start_of(day + timedelta(days=1), rules.zone) + window
    seen = []
    for row in events:
        if row.filed_day is None or row.filed_day < day:
            continue
        is_own = row.filed_day == day
        if not is_own and start_of(row.filed_day, rules.zone) >= closed:
            continue
        if is_own:
            counters[f"{log}_in"] += 1
        if log == "conversions" and rules.types and row.type not in rules.types:
            counters["conversions_other_type"] += is_own
        elif row.impression_id is None:
            counters[f"{log}_null_id"] += is_own
        elif row.event_time is None:
            counters[f"{log}_null_time"] += is_own
        else:
            seen.append(row)
    return seen


def _sample(
    day: date, rows: list[Row], clicks: list[Row], conversions: list[Row], rules: Rules,
    counters: Counter[str],
) -> Sample:
    earliest = min(row.event_time for row in rows if row.event_time is not None)
    different = {(row.event_time, row.content) for row in rows}
    counters["impressions_out"] += 1
    counters["impressions_conflicting"] += len(different) - 1
    counters["impressions_repeated"] += len(rows) - len(different)
    click_times = _valid_clicks(day, earliest, clicks, rules, counters)
    num_credited = _credited(day, click_times, conversions, rules, counters)
    click, conversion = int(bool(click_times)), int(num_credited > 0)
    counters["samples_clicked"] += click
    counters["samples_converted"] += conversion
    contents = frozenset(row.content for row in rows if row.event_time == earliest)
    counters["samples_null_group"] += all(user is None for _, user in contents)
    return Sample(earliest, contents, click, conversion)


def _valid_clicks(
    day: date, impression_time: datetime, clicks: list[Row], rules: Rules, counters: Counter[str]
) -> list[datetime]:
    valid: list[datetime] = []
    met: list[datetime] = []
    for row in clicks:
        assert row.event_time is not None
        counters["clicks_from_other_days"] += row.filed_day != day
        if row.event_time in met:
            counters["clicks_repeated"] += 1
            continue
        met.append(row.event_time)
        if row.event_time < impression_time:
            counters["clicks_before_impression"] += 1
        elif row.event_time > impression_time + rules.click_window:
            counters["clicks_after_window"] += 1
        else:
            counters["clicks_credited"] += 1
            valid.append(row.event_time)
    return valid


def _credited(
    day: date, click_times: list[datetime], conversions: list[Row], rules: Rules,
    counters: Counter[str],
) -> int:
    num_credited = 0
    met: list[tuple[datetime, str | None]] = []
    for row in conversions:
        assert row.event_time is not None
        counters["conversions_from_other_days"] += row.filed_day != day
        # Where no types are declared nobody reads the column.
        key = (row.event_time, row.type if rules.types else None)
        if key in met:
            counters["conversions_repeated"] += 1
            continue
        met.append(key)
        is_credited = False
        for click_time in click_times:
            if click_time <= row.event_time <= click_time + rules.conversion_window:
                is_credited = True
        if not click_times:
            counters["conversions_without_click"] += 1
        elif is_credited:
            counters["conversions_credited"] += 1
            num_credited += 1
        elif all(row.event_time < click_time for click_time in click_times):
            counters["conversions_before_click"] += 1
        else:
            counters["conversions_after_window"] += 1
    return num_credited
