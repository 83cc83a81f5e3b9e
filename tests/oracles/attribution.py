"""Which impression and which click an event belongs to, by loops over all rows of all days.

Slow and obvious; it shares no code with the Spark half.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from tests.oracles.log_rows import Row, Rules, day_of, start_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


class Event(NamedTuple):
    """A row of an event log, and why it takes no part if it does not."""

    row: Row
    reason: str | None


class Attributed(NamedTuple):
    """All events, with the impression (and the time of the click) that was found for them."""

    clicks: list[Event]
    conversions: list[Event]


def attribute(
    impressions: Sequence[Row], clicks: Sequence[Row], conversions: Sequence[Row], rules: Rules
) -> Attributed:
    """Looks up what the rules say is to be looked up; click ids are for each day to look up."""
    are_keyed = "keys" in (rules.clicks_by, rules.conversions_by)
    made = [Event(row, _click_reason(row, rules, are_keyed)) for row in clicks]
    made = _without_double_clicks(_without_bots(made, rules), rules)
    if rules.clicks_by == "keys":
        shown = _kept_impressions(impressions, rules)
        made = [
            event if event.reason else Event(_shown_by(event.row, shown, rules), None)
            for event in made
        ]
    converted = [Event(row, _conversion_reason(row, rules)) for row in conversions]
    if rules.conversions_by == "keys":
        live = [event.row for event in made if not event.reason and None not in event.row.keys]
        converted = [
            event if event.reason else Event(_credited(event.row, live, rules), None)
            for event in converted
        ]
    return Attributed(made, converted)


def by_click_id(conversion: Row, clicks: Sequence[Row]) -> Row:
    """The conversion with the impression and time of the click whose id it bears."""
    same = [row for row in clicks if row.click_id == conversion.click_id]
    if not same:
        return replace(conversion, impression_id=None)
    click = min(same, key=_place)
    return replace(conversion, impression_id=click.impression_id, click_time=click.event_time)


def _shown_by(click: Row, impressions: Sequence[Row], rules: Rules) -> Row:
    cause = _cause(click, impressions, rules.click_window, rules)
    if cause is None:
        return replace(click, impression_id=None)
    return replace(click, impression_id=cause.impression_id, impression_day=cause.filed_day)


def _credited(conversion: Row, clicks: Sequence[Row], rules: Rules) -> Row:
    cause = _cause(conversion, clicks, rules.conversion_window, rules)
    if cause is None:
        return replace(conversion, impression_id=None)
    return replace(
        conversion, impression_id=cause.impression_id, impression_day=cause.impression_day,
        click_time=cause.event_time,
    )


def _cause(
    effect: Row, causes: Sequence[Row], window: timedelta, rules: Rules
) -> Row | None:
    assert effect.event_time is not None
    inside = [
        row for row in causes
        if row.keys == effect.keys and row.event_time is not None
        and row.event_time - rules.max_skew <= effect.event_time <= row.event_time + window
    ]
    if not inside:
        return None
    return min(inside, key=_place) if rules.is_first else max(inside, key=_place)


def _place(row: Row) -> tuple[datetime, bool, str]:
    """Time, and at one instant the id, none before any."""
    assert row.event_time is not None
    return row.event_time, row.impression_id is not None, row.impression_id or ""


def _kept_impressions(impressions: Sequence[Row], rules: Rules) -> list[Row]:
    """Of the rows of one id on one day the earliest, of the least keys."""
    kept: dict[tuple[str, date], Row] = {}
    for row in impressions:
        if row.impression_id is None or row.event_time is None or row.filed_day is None:
            continue
        if None in row.keys or day_of(row.event_time, rules.zone) != row.filed_day:
            continue
        known = kept.setdefault((row.impression_id, row.filed_day), row)
        assert known.event_time is not None
        if (row.event_time, row.keys) < (known.event_time, known.keys):
            kept[row.impression_id, row.filed_day] = row
    return list(kept.values())


def _click_reason(row: Row, rules: Rules, are_keyed: bool) -> str | None:
    if None in row.keys if rules.clicks_by == "keys" else row.impression_id is None:
        return "null_id"
    if row.event_time is None:
        return "null_time"
    if are_keyed and not _is_filed_in_time(row, rules):
        return "misfiled"
    return None


def _is_filed_in_time(row: Row, rules: Rules) -> bool:
    """Under its own day, or under a later one that begins while the click window of some impression
    of its own day is open."""
    assert row.event_time is not None and row.filed_day is not None
    own = day_of(row.event_time, rules.zone)
    closed = start_of(own + ONE_DAY, rules.zone) + rules.click_window
    is_in_reach = row.filed_day == own or start_of(row.filed_day, rules.zone) < closed
    return own <= row.filed_day and is_in_reach


def _conversion_reason(row: Row, rules: Rules) -> str | None:
    if rules.types and row.type not in rules.types:
        return "other_type"
    given = {
        "keys": None if None in row.keys else "", "click_id": row.click_id,
        "impression_id": row.impression_id,
    }
    if given[rules.conversions_by] is None:
        return "null_id"
    if row.event_time is None:
        return "null_time"
    if rules.conversions_by == "keys":
        assert row.filed_day is not None
        if row.filed_day < day_of(row.event_time, rules.zone):
            return "misfiled"
    return None


def _without_bots(clicks: list[Event], rules: Rules) -> list[Event]:
    if rules.bots is None:
        return clicks
    most, seconds = rules.bots

    def interval(row: Row) -> tuple[object, ...]:
        assert row.event_time is not None
        return row.filed_day, row.keys[0], (row.event_time - EPOCH) // timedelta(seconds=seconds)

    counts = Counter(interval(row) for row, reason in clicks if not reason)
    return [
        Event(row, "of_bots")
        if not reason and row.keys[0] is not None and counts[interval(row)] > most
        else Event(row, reason)
        for row, reason in clicks
    ]


def _without_double_clicks(clicks: list[Event], rules: Rules) -> list[Event]:
    if rules.double_click is None:
        return clicks
    found = []
    met: dict[object, datetime] = {}
    # Of clicks at one instant all but one go, whichever: the rest of a row breaks the tie.
    for row, reason in sorted(clicks, key=lambda event: _by_time(event.row, rules)):
        target = (row.filed_day, row.keys if rules.clicks_by == "keys" else row.impression_id)
        if not reason:
            assert row.event_time is not None
            if target in met and row.event_time - met[target] <= rules.double_click:
                reason = "double"
            met[target] = row.event_time
        found.append(Event(row, reason))
    return found


def _by_time(row: Row, rules: Rules) -> tuple[object, ...]:
    texts = [row.click_id] if rules.conversions_by == "click_id" else list(row.keys)
    return row.event_time or EPOCH, *[(text is not None, text or "") for text in texts]
