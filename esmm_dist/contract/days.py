"""Ranges of calendar days, as configs and documents write them."""

from datetime import date

from pydantic import model_validator

from esmm_dist.contract.features import Section

# Far above any use: what lies beyond is a slip.
MAX_DAYS = 4_000


class DayRange(Section):
    """Calendar days in logs.day_timezone, both ends included."""

    first: date
    last: date

    @model_validator(mode="after")
    def _in_order(self) -> "DayRange":
        if self.last < self.first:
            raise ValueError(f"the last day {self.last} lies before the first, {self.first}")
        check_num_days(self.first, self.last)
        return self


def check_num_days(first: date, last: date) -> None:
    """Refuses more days than any log has.

    Raises:
        ValueError: names both days.
    """
    num_days = (last - first).days + 1
    if num_days > MAX_DAYS:
        raise ValueError(f"{first} to {last} are {num_days:,} days: at most {MAX_DAYS:,}")
