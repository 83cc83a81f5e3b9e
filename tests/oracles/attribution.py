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
    namesakes: list[Event]
    """The ends of bursts, under the ids of those in the middle, which went; by keys only those
    that found an impression."""


def attribute(
    impressions: Sequence[Row], clicks: Sequence[Row], conversions: Sequence[Row], rules: Rules
) -> Attributed:
    """Looks up what the rules say is to be looked up; click ids are for each day to look up."""
    made = [Event(row, _click_reason(row, rules)) for row in clicks]
    made, namesakes = _without_double_clicks(_without_bots(made, rules), rules)
    if rules.clicks_by == "keys":
        shown = _kept_impressions(impressions, rules)
        made, namesakes = (
            [
                event if event.reason else Event(_shown_by(event.row, shown, rules), None)
                for event in events
            ]
            for events in (made, namesakes)
        )
        namesakes = [event for event in namesakes if event.row.impression_id is not None]
    converted = [Event(row, _conversion_reason(row, rules)) for row in conversions]
    converted = _without_repeats(converted, rules)
    if rules.conversions_by == "keys":
        live = [
            row for row, reason in made
            if not reason and is_filed_in_time(row, rules) and None not in _keys(row, rules)
        ]
        converted = [
            event if event.reason else Event(_credited(event.row, live, rules), None)
            for event in converted
        ]
    return Attributed(made, converted, namesakes)


def _without_repeats(conversions: list[Event], rules: Rules) -> list[Event]:
    """Of the rows of an id the first stays: each looks back at the one before it."""
    if not rules.has_ids:
        return conversions
    windows = rules.click_window + rules.conversion_window
    longest = max(rules.conversion_repeat, windows + rules.lateness + 2 * rules.max_skew)

    def says(row: Row) -> tuple[object, ...]:
        cause = {
            "keys": _keys(row, rules), "click_id": row.click_id, "impression_id": row.impression_id,
        }
        return row.event_time, row.value if rules.has_value else None, cause[rules.conversions_by]

    def place(event: Event) -> tuple[object, ...]:
        time, value, cause = says(event.row)
        assert isinstance(value, float | None)
        return event.row.filed_day, time, float("inf") if value is None else -value, cause

    found, before = [], dict[str, Row]()
    is_told = [event.reason is None and event.row.conversion_id is not None
               for event in conversions]
    for event in sorted((e for e, told in zip(conversions, is_told) if told), key=place):
        row, reason = event.row, None
        last = before.get(str(row.conversion_id))
        if last is not None and last.filed_day and row.filed_day:
            ended = start_of(last.filed_day + ONE_DAY, rules.zone)
            if ended > start_of(row.filed_day, rules.zone) - longest:
                reason = "repeated" if says(last) == says(row) else "conflicting"
        before[str(row.conversion_id)] = row
        found.append(Event(row, reason))
    return found + [event for event, told in zip(conversions, is_told) if not told]


def by_click_id(conversion: Row, clicks: Sequence[Row]) -> Row:
    """The conversion with the impression and time of the click whose id it bears."""
    same = [row for row in clicks if row.click_id == conversion.click_id]
    if not same:
        return replace(conversion, impression_id=None)
    click = min(same, key=_place_of_named)
    return replace(
        conversion, impression_id=click.impression_id,
        click_time=click.click_time or click.event_time,
    )


def _place_of_named(row: Row) -> tuple[object, ...]:
    """A namesake goes by the first click of its burst, after one of that instant that was made."""
    time, *impression = _place(row)
    return row.click_time if row.choice else time, row.choice, *impression


def _keys(row: Row, rules: Rules) -> tuple[str | None, ...]:
    """Those by which a conversion finds its click."""
    return row.keys[: rules.num_conversion_keys]


def _shown_by(click: Row, impressions: Sequence[Row], rules: Rules) -> Row:
    of_keys = [row for row in impressions if row.keys == click.keys]
    inside = _covering(click, of_keys, rules.click_window, rules)
    if not inside:
        return replace(click, impression_id=None)
    cause = min(inside, key=_place) if rules.is_first else max(inside, key=_place)
    return replace(click, impression_id=cause.impression_id, impression_day=cause.filed_day)


def _credited(conversion: Row, clicks: Sequence[Row], rules: Rules) -> Row:
    of_keys = [row for row in clicks if _keys(row, rules) == _keys(conversion, rules)]
    inside = _covering(conversion, of_keys, rules.conversion_window, rules)
    if not inside:
        return replace(conversion, impression_id=None)

    def place(row: Row) -> tuple[object, ...]:
        """Time, and at one instant what the click itself says of its impression."""
        return row.event_time, row.keys if rules.clicks_by == "keys" else _place(row)

    cause = min(inside, key=place) if rules.is_first else max(inside, key=place)
    return replace(
        conversion, impression_id=cause.impression_id, impression_day=cause.impression_day,
        click_time=cause.click_time or cause.event_time,
    )


def _covering(
    effect: Row, causes: Sequence[Row], window: timedelta, rules: Rules
) -> list[Row]:
    assert effect.event_time is not None
    return [
        row for row in causes
        if row.event_time is not None
        and row.event_time - rules.max_skew <= effect.event_time <= row.event_time + window
    ]


def _place(row: Row) -> tuple[datetime, bool, str]:
    """Time, and at one instant the id, none before any."""
    assert row.event_time is not None
    return row.event_time, row.impression_id is not None, row.impression_id or ""


def rows_of_impressions(
    impressions: Sequence[Row], rules: Rules
) -> dict[tuple[str, date], list[Row]]:
    """Those that may count, by their id and day."""
    rows_of: dict[tuple[str, date], list[Row]] = {}
    for row in impressions:
        if row.impression_id is None or row.event_time is None or row.filed_day is None:
            continue
        if day_of(row.event_time, rules.zone) == row.filed_day:
            rows_of.setdefault((row.impression_id, row.filed_day), []).append(row)
    return rows_of


def was_shown_before(
    first: datetime, impression_id: str, day: date, rows_of: dict[tuple[str, date], list[Row]],
    rules: Rules,
) -> bool:
    """Whether an impression is one of the day before, logged again."""
    before = rows_of.get((impression_id, day - ONE_DAY), [])
    return any(row.event_time and first - row.event_time <= rules.repeat for row in before)


def _kept_impressions(impressions: Sequence[Row], rules: Rules) -> list[Row]:
    """Of the rows of one id on one day the earliest, if it has keys; of several at that instant one
    that has, of the least keys."""
    rows_of = rows_of_impressions(impressions, rules)
    kept = []
    for (impression_id, day), rows in rows_of.items():
        first = min(row.event_time for row in rows if row.event_time)
        if was_shown_before(first, impression_id, day, rows_of, rules):
            continue
        with_keys = [row for row in rows if row.event_time == first and None not in row.keys]
        kept += sorted(with_keys, key=lambda row: [str(key) for key in row.keys])[:1]
    return kept


def _click_reason(row: Row, rules: Rules) -> str | None:
    if None in row.keys if rules.clicks_by == "keys" else row.impression_id is None:
        return "null_id"
    if row.event_time is None:
        return "null_time"
    if rules.clicks_by == "keys" and not is_filed_in_time(row, rules):
        return "misfiled"
    return None


def is_filed_in_time(row: Row, rules: Rules) -> bool:
    """Under its own day, or under a later one that begins while the click window of some impression
    of its own day is open, and as much later as it may lie."""
    assert row.event_time is not None and row.filed_day is not None
    own = day_of(row.event_time, rules.zone)
    closed = start_of(own + ONE_DAY, rules.zone) + rules.click_window + rules.lateness
    is_in_reach = row.filed_day == own or start_of(row.filed_day, rules.zone) < closed
    return own <= row.filed_day and is_in_reach


def _conversion_reason(row: Row, rules: Rules) -> str | None:
    if rules.types and row.type not in rules.types:
        return "other_type"
    given = {
        "keys": None if None in _keys(row, rules) else "", "click_id": row.click_id,
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

    distinct = {
        (*interval(row), row.event_time, _target(row, rules))
        for row, reason in clicks if not reason
    }
    counts = Counter(click[:3] for click in distinct)
    return [
        Event(row, "of_bots")
        if not reason and row.keys[0] is not None and counts[interval(row)] > most
        else Event(row, reason)
        for row, reason in clicks
    ]


def _target(row: Row, rules: Rules) -> object:
    return row.keys if rules.clicks_by == "keys" else row.impression_id


def _without_double_clicks(
    clicks: list[Event], rules: Rules
) -> tuple[list[Event], list[Event]]:
    """All clicks; those in the middle of a burst take no part, but leave their ids to its ends: to
    the last, and if that finds no impression to the first; where the first impression wins, the
    other way round. The last one notes when the first was: whether it counts depends on what they
    hit."""
    if rules.double_click is None:
        return clicks, []
    bursts: dict[object, list[list[Row]]] = {}
    # Of clicks at one instant all but one go, whichever: the rest of a row breaks the tie.
    for row, reason in sorted(clicks, key=lambda event: _by_time(event.row, rules)):
        if reason is None:
            some = bursts.setdefault((row.filed_day, _target(row, rules)), [[]])
            last = some[-1][-1].event_time if some[-1] else None
            assert row.event_time is not None
            if last is not None and row.event_time - last > rules.double_click:
                some.append([])
            some[-1].append(row)
    found = [event for event in clicks if event.reason is not None]
    namesakes = []
    for first, *others in (burst for some in bursts.values() for burst in some):
        found.append(Event(first, None))
        for row in others:
            if row is others[-1] and row.event_time != first.event_time:
                found.append(Event(replace(row, click_time=first.event_time), None))
            else:
                found.append(Event(row, "double"))
                ends = (first, others[-1]) if rules.is_first else (others[-1], first)
                namesakes += [
                    Event(replace(end, click_id=row.click_id, click_time=first.event_time,
                                  choice=choice), None)
                    for choice, end in enumerate(ends, 1)
                ]
    return found, namesakes


def _by_time(row: Row, rules: Rules) -> tuple[object, ...]:
    texts = [row.click_id] if rules.conversions_by == "click_id" else list(row.keys)
    return row.event_time or EPOCH, *[(text is not None, text or "") for text in texts]
