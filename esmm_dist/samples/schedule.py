"""How far the windows of the days reach that are to be built; no Spark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import LogSource
from esmm_dist.contract.sections import Config
from esmm_dist.samples.days import ONE_DAY, Calendar, span


@dataclass(frozen=True)
class Windows:
    """For each day the days whose clicks, and whose conversions, it has to see, and those whose
    impressions and clicks are rivals of its own where events look for their causes by keys."""

    click_days: dict[date, tuple[date, ...]]
    conversion_days: dict[date, tuple[date, ...]]
    rival_impression_days: dict[date, tuple[date, ...]]
    rival_click_days: dict[date, tuple[date, ...]]
    repeats_since: dict[date, date]
    """Of each day whose conversions are seen the first one under which a row of the same
    conversion_id is the same conversion; empty where they have no ids."""
    click: timedelta
    """How long after its impression a click counts."""
    conversion: timedelta
    """How long after its click a conversion counts."""
    max_skew: timedelta
    """How long before its cause either still counts."""
    click_filing: timedelta
    """How long after its impression a click that counts may be filed."""

    @classmethod
    def of(cls, days: Sequence[date], config: Config) -> "Windows":
        """The reach of the config's windows, and backwards of its clocks' skew: once for a click
        before its impression, twice for a conversion before such a click."""
        calendar = Calendar.of(config.logs.day_timezone)
        click, conversion, skew = click_window(config), conversion_window(config), max_skew(config)
        click_filing = click + _filing_lag(config.logs.clicks, config)
        conversion_days = calendar.reach(
            days, click + conversion + _filing_lag(config.logs.conversions, config), 2 * skew
        )
        return cls(
            calendar.reach(days, click_filing, skew),
            conversion_days,
            {day: _rival_impressions(day, config, calendar) for day in days},
            {day: _rival_clicks(day, click_filing, config, calendar) for day in days},
            _repeats_since(days_seen(conversion_days), config, calendar),
            click, conversion, skew, click_filing,
        )

    @property
    def conversion_days_read(self) -> tuple[date, ...]:
        """The days whose conversions are seen, and those before them that may hold the same."""
        earlier = {day: span(first, day) for day, first in self.repeats_since.items()}
        return days_seen(earlier or self.conversion_days)


def _repeats_since(
    days: Sequence[date], config: Config, calendar: Calendar
) -> dict[date, date]:
    """Never less than the windows of one impression: in these a conversion would count twice."""
    source, skew = config.logs.conversions, max_skew(config)
    if source.conversion_id is None:
        return {}
    reach = max(
        timedelta(hours=source.repeat_hours or 0),
        click_window(config) + conversion_window(config) + _filing_lag(source, config) + 2 * skew,
    )
    return {day: calendar.first_day_reached(day, reach) for day in days}


def _rival_impressions(day: date, config: Config, calendar: Calendar) -> tuple[date, ...]:
    """The days of all impressions that may take a click from one of the day's.

    The last impression wins: none before the day can, those up to the last click seen can. The
    first one wins: none after the day can, those in whose window an early click falls can.
    """
    click, skew = click_window(config), max_skew(config)
    if config.logs.clicks.credit == "first_impression":
        return span(calendar.first_day_reached(day, click + skew), day)
    return span(day, calendar.last_day_reached(calendar.last_day_reached(day, click), skew))


def _rival_clicks(
    day: date, click_filing: timedelta, config: Config, calendar: Calendar
) -> tuple[date, ...]:
    """The days under which all clicks are filed that may take a conversion from one of the day's.

    A click may be filed as late as the click window reaches from its own day, and the lateness of
    the log; hence one more such reach at the end.
    """
    click, conversion, skew = click_window(config), conversion_window(config), max_skew(config)
    if config.logs.conversions.credit == "first_click":
        first = calendar.first_day_reached(day, conversion + 2 * skew)
        last = calendar.last_day_reached(day, click)
    else:
        first = calendar.first_day_reached(day, skew)
        last = calendar.last_day_reached(
            calendar.last_day_reached(day, click + conversion), skew
        )
    return span(first, calendar.last_day_reached(last, click_filing))


def click_window(config: Config) -> timedelta:
    """How long after its impression a click counts."""
    return timedelta(hours=config.samples.click_window_hours)


def conversion_window(config: Config) -> timedelta:
    """How long after its click a conversion counts."""
    return timedelta(hours=config.samples.conversion_window_hours)


def lateness(config: Config) -> timedelta:
    """How long after they happened rows may become known."""
    return timedelta(hours=config.samples.lateness_hours)


def _filing_lag(log: LogSource, config: Config) -> timedelta:
    """How long after it happened a row may be filed: a partition may be that of its arrival."""
    return timedelta() if log.partition is None else lateness(config)


def repeat_span(config: Config) -> timedelta:
    """How long after one of the day before an impression of equal id is the same."""
    return timedelta(seconds=config.logs.impressions.repeat_seconds)


def max_skew(config: Config) -> timedelta:
    """How long before its cause an event still counts."""
    return timedelta(seconds=config.logs.max_clock_skew_seconds)


def days_seen(days_of_day: Mapping[date, Sequence[date]]) -> tuple[date, ...]:
    """Every day that some day sees, given those that each sees."""
    return tuple(sorted({day for days in days_of_day.values() for day in days}))


def text_of(days: Sequence[date]) -> str:
    """Days as a person would write them: each run of days side by side by its ends."""
    runs: list[list[date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] <= ONE_DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    told = ", ".join(
        f"{run[0]}" if run[0] == run[-1] else f"{run[0]} to {run[-1]}" for run in runs
    )
    return told if len(days) == 1 else f"{told} ({len(days)} days)"


def parse_days(text: str) -> DayRange:
    """FIRST:LAST or one day, as --days takes it.

    Raises:
        InputError: the text is no range of days.
    """
    first, _, last = text.partition(":")
    try:
        days = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        raise InputError(f"--days {text}: write yyyy-mm-dd:yyyy-mm-dd, or one day") from None
    if days[1] < days[0]:
        raise InputError(f"--days {text}: the last day lies before the first: exchange them")
    return DayRange(first=days[0], last=days[1])
