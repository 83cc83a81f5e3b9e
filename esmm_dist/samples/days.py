"""Calendar days as instants, and how far the windows of a day's impressions reach; no Spark."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Calendar:
    """The days of one time zone; a day may last 23 or 25 hours."""

    zone: ZoneInfo

    @classmethod
    def of(cls, zone: str) -> "Calendar":
        """The calendar of a zone by its name, such as Asia/Shanghai."""
        return cls(ZoneInfo(zone))

    def start(self, day: date) -> datetime:
        """The first instant of a day, in UTC."""
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)

    def end(self, day: date) -> datetime:
        """The first instant after a day, in UTC."""
        return self.start(day + ONE_DAY)

    def last_day_reached(self, day: date, window: timedelta) -> date:
        """The last day that begins while the window of some impression of `day` is open."""
        closed = self.end(day) + window
        last = day
        while self.start(last + ONE_DAY) < closed:
            last += ONE_DAY
        return last

    def first_day_reached(self, day: date, span_before: timedelta) -> date:
        """The first day that has not ended so long before the first instant of `day`."""
        first = day
        while self.start(first) > self.start(day) - span_before:
            first -= ONE_DAY
        return first

    def first_day_reaching(self, day: date, window: timedelta) -> date:
        """The first day of which a window of some impression is open when `day` begins."""
        first = day
        while self.last_day_reached(first - ONE_DAY, window) >= day:
            first -= ONE_DAY
        return first

    def reach(
        self, days: Iterable[date], window: timedelta, span_before: timedelta = timedelta()
    ) -> dict[date, tuple[date, ...]]:
        """Of each day all days that a window after it reaches, and those that a span before it
        reaches."""
        return {
            day: span(
                self.first_day_reached(day, span_before), self.last_day_reached(day, window)
            )
            for day in days
        }


def micros(length: timedelta) -> int:
    """A length in microseconds."""
    return length // MICROSECOND


def micros_of_instant(instant: datetime) -> int:
    """Microseconds since 1970 of an instant that knows its zone."""
    return micros(instant - EPOCH)


def instant_of(micros: int) -> datetime:
    """The instant, in UTC, so many microseconds after 1970 began."""
    return EPOCH + micros * MICROSECOND


def span(first: date, last: date) -> tuple[date, ...]:
    """Every day from first to last, both included."""
    return tuple(first + n * ONE_DAY for n in range((last - first).days + 1))
