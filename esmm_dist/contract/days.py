"""Ranges of calendar days, as configs and documents write them."""

from datetime import date

from pydantic import model_validator

from esmm_dist.contract.features import Section

# Far above any use: what lies beyond is a slip.
MAX_DAYS = 4_000

# Days as numbers of 16 bits, 0 for none.
_DAY_ZERO, MAX_DAY_NUMBER = date(1989, 12, 31), 2**15 - 1


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


def day_number(day: date) -> int:
    """A day as a positive number, those of neighbours one apart.

    Raises:
        ValueError: it lies before 1990, or after 2079.
    """
    number = (day - _DAY_ZERO).days
    if not 0 < number <= MAX_DAY_NUMBER:
        raise ValueError(f"{day}: days from 1990-01-01 to 2079-09-17 can be noted with rows")
    return number


def check_num_days(first: date, last: date) -> None:
    """Refuses more days than any log has.

    Raises:
        ValueError: names both days.
    """
    num_days = (last - first).days + 1
    if num_days > MAX_DAYS:
        raise ValueError(f"{first} to {last} are {num_days:,} days: at most {MAX_DAYS:,}")
