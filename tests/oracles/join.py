"""The label join in plain Python: every rule a loop over all rows, every row one fate.

Slow and obvious; it shares no code with the Spark half.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from tests.oracles.attribution import (
    Event,
    attribute,
    by_click_id,
    is_filed_in_time,
    rows_of_impressions,
    was_shown_before,
)
from tests.oracles.credit import SECOND, credited_conversions, delays_s, valid_clicks
from tests.oracles.log_rows import Row, Rules, day_of, is_visible, start_of


class Sample(NamedTuple):
    """An impression that counts, and its labels."""

    event_time: datetime
    contents: frozenset[tuple[float, str | None]]
    """What it may say: conflicting rows of one instant leave a choice, which must be stable."""
    click: int
    conversion: int
    value: float
    """What its conversions are worth; 0 where the rules know no values."""
    click_delay_s: int
    conversion_delay_s: int
    observed_s: int
    mature: int


class Joined(NamedTuple):
    """What one day's build makes of the logs."""

    samples: dict[str, Sample]
    counters: Counter[str]


def join(
    day: date, impressions: Sequence[Row], clicks: Sequence[Row], conversions: Sequence[Row],
    rules: Rules,
) -> Joined:
    """Builds one day; whatever other days hold is looked at row by row and passed over."""
    counters: Counter[str] = Counter()
    impressions, clicks, conversions = (
        [row for row in rows if is_visible(row, rules.as_of)]
        for rows in (impressions, clicks, conversions)
    )
    of_id = _impressions_that_count(day, impressions, rules, counters)
    attributed = attribute(impressions, clicks, conversions, rules)
    seen_clicks = _events_seen(
        day, attributed.clicks, "clicks", rules.click_window, rules, counters
    )
    live_conversions = _events_seen(
        day, attributed.conversions, "conversions", rules.click_window + rules.conversion_window,
        rules, counters,
    )
    live_clicks = [_of_day(event.row, day) for event in seen_clicks]
    if rules.conversions_by == "keys" and rules.clicks_by != "keys":
        counters["clicks_untimely"] = sum(
            row.filed_day == day and not is_filed_in_time(row, rules) for row in live_clicks
        )
    if rules.has_ids:
        counters["conversions_null_conversion_id"] = sum(
            event.row.filed_day == day and event.row.conversion_id is None
            and event.reason != "other_type" for event in attributed.conversions
        )
    named = live_clicks + [
        _of_day(event.row, day) for event in _events_seen(
            day, attributed.namesakes, "namesakes", rules.click_window, rules, Counter()
        )
    ]
    converted = [
        by_click_id(event.row, named) if rules.conversions_by == "click_id"
        else _of_day(event.row, day)
        for event in live_conversions
    ]
    samples: dict[str, Sample] = {}
    for impression_id, rows in of_id.items():
        samples[impression_id] = _sample(
            day, rows,
            [row for row in live_clicks if row.impression_id == impression_id],
            [row for row in converted if row.impression_id == impression_id],
            rules, counters,
        )
    for log, events in (("clicks", live_clicks), ("conversions", converted)):
        for row in events:
            if row.impression_id not in of_id and row.filed_day == day:
                counters[f"{log}_without_impression"] += 1
    return Joined(samples, counters)


def _of_day(event: Row, day: date) -> Row:
    """Without its impression if that is another day's, which may bear an id of this day's."""
    is_own = event.impression_day in (None, day)
    return event if is_own else replace(event, impression_id=None)


def _impressions_that_count(
    day: date, impressions: Sequence[Row], rules: Rules, counters: Counter[str]
) -> dict[str, list[Row]]:
    """All rows of each."""
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
    rows_of = rows_of_impressions(impressions, rules)
    kept: dict[str, list[Row]] = {}
    for (impression_id, shown_day), rows in rows_of.items():
        if shown_day != day:
            continue
        different = {(row.event_time, row.content) for row in rows}
        counters["impressions_conflicting"] += len(different) - 1
        counters["impressions_repeated"] += len(rows) - len(different)
        first = min(row.event_time for row in rows if row.event_time is not None)
        if was_shown_before(first, impression_id, day, rows_of, rules):
            counters["impressions_shown_before"] += 1
        else:
            kept[impression_id] = rows
    return kept


def _events_seen(
    day: date, events: Sequence[Event], log: str, window: timedelta, rules: Rules,
    counters: Counter[str],
) -> list[Event]:
    """Events filed under the day, later while a window of the day may be open, and earlier as far
    as clocks may differ."""
    one_day = timedelta(days=1)
    opened = start_of(day, rules.zone) - rules.max_skew * (2 if log == "conversions" else 1)
    closed = start_of(day + one_day, rules.zone) + window + rules.lateness
    seen = []
    for event in events:
        filed_day = event.row.filed_day
        if filed_day is None:
            continue
        is_own = filed_day == day
        begins = start_of(filed_day, rules.zone)
        ends = start_of(filed_day + one_day, rules.zone)
        if not is_own and (begins >= closed or ends <= opened):
            continue
        if is_own:
            counters[f"{log}_in"] += 1
        if event.reason is not None:
            counters[f"{log}_{event.reason}"] += is_own
        else:
            seen.append(event)
    return seen


def _sample(
    day: date, rows: list[Row], clicks: list[Row], conversions: list[Row], rules: Rules,
    counters: Counter[str],
) -> Sample:
    earliest = min(row.event_time for row in rows if row.event_time is not None)
    counters["impressions_out"] += 1
    valid = valid_clicks(day, earliest, clicks, rules, counters)
    click_times = list(valid.values())
    credited = credited_conversions(day, earliest, valid, conversions, rules, counters)
    click, conversion = int(bool(click_times or credited)), int(bool(credited))
    counters["samples_clicked"] += click
    counters["samples_converted"] += conversion
    counters["samples_click_implied"] += click and not click_times
    contents = frozenset(row.content for row in rows if row.event_time == earliest)
    counters["samples_null_group"] += all(user is None for _, user in contents)
    value = 0.0
    if rules.has_value:
        counters["samples_unknown_value"] += any(row.value is None for row in credited)
        value = sum(row.value or 0.0 for row in credited)
    both_windows = rules.click_window + rules.conversion_window
    watched = both_windows if rules.as_of is None else rules.as_of - earliest
    mature = int(rules.as_of is None or watched >= both_windows + rules.lateness)
    counters["samples_immature"] += not mature
    return Sample(
        earliest, contents, click, conversion, value,
        *delays_s(earliest, valid, credited, rules),
        observed_s=min(max(watched, 0 * SECOND), both_windows) // SECOND,
        mature=mature,
    )
