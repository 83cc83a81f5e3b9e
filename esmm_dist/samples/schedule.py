"""How far the windows of the days reach that are to be built; no Spark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config, DayRange
from esmm_dist.samples.days import Calendar, span


@dataclass(frozen=True)
class Windows:
    """For each day the last day whose clicks, and whose conversions, it has to see."""

    last_click_day: dict[date, date]
    last_conversion_day: dict[date, date]

    @classmethod
    def of(cls, days: Sequence[date], config: Config) -> "Windows":
        """The reach of the config's windows."""
        calendar = Calendar.of(config.logs.day_timezone)
        click, conversion = click_window(config), conversion_window(config)
        return cls(calendar.reach(days, click), calendar.reach(days, click + conversion))


def click_window(config: Config) -> timedelta:
    """How long after its impression a click counts."""
    return timedelta(hours=config.samples.click_window_hours)


def conversion_window(config: Config) -> timedelta:
    """How long after its click a conversion counts."""
    return timedelta(hours=config.samples.conversion_window_hours)


def days_seen(last_day: Mapping[date, date]) -> tuple[date, ...]:
    """Every day that some day sees, given the last one that each sees."""
    return tuple(sorted({day for first, last in last_day.items() for day in span(first, last)}))


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
