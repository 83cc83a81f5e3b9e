"""Rows of logs and the rules they are joined by, as the oracles see them."""

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
    value: float | None = None
    """Of a conversion: what it is worth."""
    ingest_time: datetime | None = None
    """When it became known; None: at event_time."""
    keys: tuple[str | None, str | None] = (None, None)
    """Who and what, by which events find their causes; who may be a bot."""
    click_id: str | None = None
    conversion_id: str | None = None
    impression_day: date | None = None
    """Of an event that was looked up by keys: the day of its impression."""
    click_time: datetime | None = None
    """Of a conversion whose click was looked up; of the last click of a burst that of the first."""
    choice: int = 0
    """Of a namesake of a click in the middle of a burst: whether it is the first one to go by, 1,
    or the second."""


class Rules(NamedTuple):
    """What the config says of the join."""

    zone: ZoneInfo
    click_window: timedelta
    conversion_window: timedelta
    types: tuple[str, ...]
    repeat: timedelta = timedelta(hours=1)
    """How long after one of the day before an impression of equal id is the same."""
    max_skew: timedelta = timedelta()
    lateness: timedelta = timedelta()
    """How much later than they happened events may lie."""
    implies_click: bool = False
    has_value: bool = False
    as_of: datetime | None = None
    """The last instant that may be seen; None: all of them."""
    ingested: tuple[str, ...] = ()
    """The logs that tell by `ingest_time` when a row became known."""
    clicks_by: str = "impression_id"
    conversions_by: str = "impression_id"
    num_conversion_keys: int = 2
    """By how many of the keys conversions find clicks: who and what, or who alone."""
    has_ids: bool = False
    """Whether conversions have ids of their own."""
    conversion_repeat: timedelta = timedelta()
    """How long after another of its id a conversion is the same, where that is longer than both
    windows."""
    is_first: bool = False
    """Whether the first cause of equal keys gets the credit, not the last."""
    bots: tuple[int, int] | None = None
    """Clicks that one may make in an interval, and its seconds."""
    double_click: timedelta | None = None


def day_of(time: datetime, zone: ZoneInfo) -> date:
    """The calendar day of an instant."""
    return time.astimezone(zone).date()


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a calendar day."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def is_visible(row: Row, as_of: datetime | None) -> bool:
    """Whether a row had become known by an instant; nobody can tell of a row without times."""
    known = row.ingest_time or row.event_time
    return as_of is None or known is None or known <= as_of
