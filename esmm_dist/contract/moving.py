"""The same experiment on another day: every day of a config moved by as many days.

What a schedule runs daily is declared once, for one day; it decides nothing but which day that is.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.features import Section
from esmm_dist.contract.sections import Config


def moved(config: Config, day: date, source: str) -> Config:
    """A config whose `samples.days` end on a day.

    All other ranges of days move along, and `samples.as_of`, at its time of the day in
    `logs.day_timezone`. The name is followed by the day, so that every day's run has a folder of
    its own.

    Args:
        source: names the config in errors.

    Raises:
        InputError: the moved config is none, for example because its name becomes no file name.
    """
    by = day - config.samples.days.last
    document = _moved(config, by).model_dump(mode="json")
    if config.samples.as_of is not None:
        zone = ZoneInfo(config.logs.day_timezone)
        document["samples"]["as_of"] = _moved_instant(config.samples.as_of, by, zone).isoformat()
    document["name"] = f"{config.name}-{day}"
    return parse_config(document, source)


def _moved(section: Section, by: timedelta) -> Section:
    """A section whose ranges of days, and those of all sections in it, lie so much later."""
    if isinstance(section, DayRange):
        return DayRange(first=section.first + by, last=section.last + by)
    inner = {name: getattr(section, name) for name in type(section).model_fields}
    return section.model_copy(update={
        name: _moved(value, by) for name, value in inner.items() if isinstance(value, Section)
    })


def _moved_instant(instant: datetime, by: timedelta, zone: ZoneInfo) -> datetime:
    """So many days later by the clock on the wall: a day is 23 hours long where clocks go forward,
    and 3 o'clock stays 3 o'clock."""
    return instant.astimezone(zone) + by
