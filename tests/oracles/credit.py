"""Which clicks and conversions of one impression count, by loops over its rows.

Slow and obvious; it shares no code with the Spark half.
"""

from collections import Counter
from datetime import date, datetime, timedelta

from tests.oracles.log_rows import Row, Rules

SECOND = timedelta(seconds=1)


def valid_clicks(
    day: date, impression_time: datetime, clicks: list[Row], rules: Rules, counters: Counter[str]
) -> dict[datetime, datetime]:
    """When they were, by the times by which conversions name them; the last of a burst counts where
    its first does not."""
    valid: dict[datetime, datetime] = {}
    met: list[datetime] = []
    for row in sorted(clicks, key=_by_time):
        assert row.event_time is not None
        counters["clicks_from_other_days"] += row.filed_day != day
        if row.event_time in met:
            counters["clicks_repeated"] += 1
            continue
        met.append(row.event_time)
        if row.event_time + rules.max_skew < impression_time:
            counters["clicks_before_impression"] += 1
        elif row.event_time > impression_time + rules.click_window:
            counters["clicks_after_window"] += 1
        elif row.click_time in valid.values():
            counters["clicks_double"] += 1
        else:
            is_early = row.event_time < impression_time
            counters["clicks_skewed" if is_early else "clicks_credited"] += 1
            valid[row.click_time or row.event_time] = row.event_time
    return valid


def _by_time(click: Row) -> tuple[object, ...]:
    """At one instant those that end no burst first."""
    return click.event_time, click.click_time is not None


def credited_conversions(
    day: date, impression_time: datetime, valid: dict[datetime, datetime],
    conversions: list[Row], rules: Rules, counters: Counter[str],
) -> list[Row]:
    counters["conversions_from_other_days"] += sum(row.filed_day != day for row in conversions)
    return [
        row
        for row in _distinct(conversions, rules, counters)
        if _counts(row, impression_time, valid, rules, counters)
    ]


def _distinct(conversions: list[Row], rules: Rules, counters: Counter[str]) -> list[Row]:
    """Of rows of one instant, type and click the one that is worth most; ids keep rows apart that
    are alike in all these, and of the rows of one id there is but one left."""
    kept: dict[object, list[Row]] = {}
    for row in conversions:
        # Where no types are declared nobody reads the column.
        kind = ("of type", row.type if rules.types else None)
        if rules.has_ids and row.conversion_id is not None:
            kind = ("of id", row.conversion_id)
        same = kept.setdefault((row.event_time, row.click_time, kind), [])
        if any(row.value == other.value or not rules.has_value for other in same):
            counters["conversions_repeated"] += 1
        else:
            same.append(row)
    counters["conversions_conflicting"] += sum(len(same) - 1 for same in kept.values())
    return [min(same, key=_cost) for same in kept.values()]


def _cost(row: Row) -> float:
    return float("inf") if row.value is None else -row.value


def _counts(
    row: Row, impression_time: datetime, valid: dict[datetime, datetime], rules: Rules,
    counters: Counter[str],
) -> bool:
    """Whether a conversion counts: any click that counts will do, or the one it was found for."""
    assert row.event_time is not None
    click_times = list(valid.values())
    names_click = rules.conversions_by != "impression_id"
    cause = _click_of(row.event_time, click_times, rules)
    if names_click:
        cause = valid.get(row.click_time) if row.click_time else None
    if not click_times or (cause is None and names_click):
        longest = rules.click_window + rules.conversion_window
        may = impression_time - rules.max_skew <= row.event_time <= impression_time + longest
        is_implying = rules.implies_click and may
        counters["conversions_implying_click" if is_implying else "conversions_without_click"] += 1
        return is_implying
    if cause is None or row.event_time + rules.max_skew < cause:
        counters["conversions_before_click"] += 1
        return False
    if row.event_time > cause + rules.conversion_window:
        counters["conversions_after_window"] += 1
        return False
    is_early = row.event_time < cause
    counters["conversions_skewed" if is_early else "conversions_credited"] += 1
    return True


def _click_of(
    time: datetime, click_times: list[datetime], rules: Rules
) -> datetime | None:
    """The latest click at or before a conversion that covers it; else the next one, if that is
    skewed; else the latest before it."""
    before = max((click for click in click_times if click <= time), default=None)
    after = min((click for click in click_times if click > time), default=None)
    is_covered = before is not None and time <= before + rules.conversion_window
    if not is_covered and after is not None and after - time <= rules.max_skew:
        return after
    return before


def delays_s(
    impression_time: datetime, valid: dict[datetime, datetime], credited: list[Row], rules: Rules
) -> tuple[int, int]:
    """To the first click, and from its own click to the first conversion."""
    click_times = list(valid.values())
    if not click_times:
        return -1, -1
    click_delay = max(min(click_times) - impression_time, 0 * SECOND)
    times = [row.event_time for row in credited if row.event_time is not None]
    if not times:
        return click_delay // SECOND, -1
    named = [
        valid[row.click_time] for row in credited
        if row.event_time == min(times) and row.click_time
    ]
    cause = min(named, default=None) or _click_of(min(times), click_times, rules)
    assert cause is not None
    return click_delay // SECOND, max(min(times) - cause, 0 * SECOND) // SECOND
