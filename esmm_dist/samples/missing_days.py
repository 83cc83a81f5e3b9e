"""Days of a log that hold no row though something had to be known of them by now.

It labels and counts nothing; `census` does the counting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import LogSource
from esmm_dist.contract.sections import Config
from esmm_dist.samples.days import Calendar
from esmm_dist.samples.failures import naming_the_file
from esmm_dist.samples.logs import FILED_DAY
from esmm_dist.samples.schedule import lateness, text_of


@dataclass(frozen=True)
class Wanted:
    """The days of a log that a build reads, and which of them have to hold rows."""

    days: Sequence[date]
    first: date
    """The first day that is built."""
    over: frozenset[date]
    """Those of which all rows had to be known by now."""

    @classmethod
    def of(cls, days: Sequence[date], first: date, config: Config, now: datetime) -> "Wanted":
        """What a config says of some days.

        Args:
            now: until when logs may be complete, where samples.as_of does not say.
        """
        horizon = (config.samples.as_of or now) - lateness(config)
        calendar = Calendar.of(config.logs.day_timezone)
        return cls(days, first, frozenset(day for day in days if calendar.end(day) <= horizon))

    def missing(self, rows_in: Mapping[date, int], begins_before: bool = False) -> list[date]:
        """The days without a row that have to hold some.

        Before the first day that is built a log may not have begun; but a day between others that
        hold rows is missing whenever it lies.

        Args:
            begins_before: whether there are rows of before all these days.
        """
        begun = date.min if begins_before else min(rows_in, default=date.max)
        last = max(rows_in, default=date.min)
        return [
            day for day in self.days
            if day not in rows_in
            and (begun < day < last or self.first <= day and day in self.over)
        ]


def of_missing_days(
    log: str, frame: DataFrame, rows_in: Mapping[date, int], wanted: Wanted, needed: set[date],
    source: LogSource,
) -> list[str]:
    """What is to be said of days without rows.

    Args:
        needed: days that must hold rows, whatever is allowed.

    Raises:
        InputError: such a day holds none, or another one that the log does not say may be empty.
    """
    missing = wanted.missing(rows_in, _begins_before(log, frame, rows_in, wanted, source))
    held = f" (there are some for {min(rows_in)} to {max(rows_in)})" if rows_in else ""
    lacking = sorted(needed.difference(rows_in))
    if lacking:
        raise InputError(
            f"logs.{log} ({source.place}): no rows for the day {lacking[0]}{held}: ask for days "
            "that the log holds, or write that day again"
        )
    if not missing:
        return []
    if source.empty_days == "refuse":
        raise InputError(
            f"logs.{log} ({source.place}): no rows for the day {missing[0]}{held}, which the "
            "days asked for have to see: write that day again; if nothing happened, or the log "
            f"ends before it, set logs.{log}.empty_days: allow"
        )
    return [f"logs.{log} ({source.place}): no rows for {text_of(missing)}: nothing happened then "
            f"(logs.{log}.empty_days: allow)"]


def _begins_before(
    log: str, frame: DataFrame, rows_in: Mapping[date, int], wanted: Wanted, source: LogSource
) -> bool:
    """Whether a log that holds nothing on the oldest day that is read has rows of before it.

    Only partitions tell: without one a whole log may have to be read, and one wrong clock makes it
    begin in 1970.
    """
    oldest = min(wanted.days)
    if FILED_DAY not in frame.columns or oldest in rows_in or oldest >= wanted.first:
        return False
    with naming_the_file(f"logs.{log} ({source.place})"):
        return not frame.select(FILED_DAY).where(F.col(FILED_DAY) < F.lit(oldest)).isEmpty()
