"""How far the windows of the days reach that are to be built; no Spark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config, DayRange
from esmm_dist.samples.days import Calendar


@dataclass(frozen=True)
class Windows:
    """For each day the days whose clicks, and whose conversions, it has to see."""

    click_days: dict[date, tuple[date, ...]]
    conversion_days: dict[date, tuple[date, ...]]

    @classmethod
    def of(cls, days: Sequence[date], config: Config) -> "Windows":
        """The reach of the config's windows, and backwards of its clocks' skew: once for a click
        before its impression, twice for a conversion before such a click."""
        calendar = Calendar.of(config.logs.day_timezone)
        click, conversion, skew = click_window(config), conversion_window(config), max_skew(config)
        return cls(
            calendar.reach(days, click, skew), calendar.reach(days, click + conversion, 2 * skew)
        )


def click_window(config: Config) -> timedelta:
    """How long after its impression a click counts."""
    return timedelta(hours=config.samples.click_window_hours)


def conversion_window(config: Config) -> timedelta:
    """How long after its click a conversion counts."""
    return timedelta(hours=config.samples.conversion_window_hours)


def max_skew(config: Config) -> timedelta:
    """How long before its cause an event still counts."""
    return timedelta(seconds=config.logs.max_clock_skew_seconds)


def days_seen(days_of_day: Mapping[date, Sequence[date]]) -> tuple[date, ...]:
    """Every day that some day sees, given those that each sees."""
    return tuple(sorted({day for days in days_of_day.values() for day in days}))


def text_of(days: Sequence[date]) -> str:
    """Days as a person would write them."""
    return f"{days[0]}" if len(days) == 1 else f"{min(days)} to {max(days)} ({len(days)} days)"


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
