"""Figures as people read them."""

from esmm_dist.contract.days import DayRange


def count(value: int) -> str:
    """A whole number with separators."""
    return f"{value:,}"


def percent(share: float | None) -> str:
    """A share; small ones with more decimals."""
    if share is None:
        return "–"
    if share == 0:
        return "0 %"
    num_decimals = 1 if share >= 0.1 else 2 if share >= 0.001 else 4
    return f"{100 * share:.{num_decimals}f} %"


def span(days: DayRange) -> str:
    """A range of days, or the one day it is."""
    first, last = (f"{day.day} {day:%B %Y}" for day in (days.first, days.last))
    if days.first == days.last:
        return first
    if (days.first.year, days.first.month) == (days.last.year, days.last.month):
        return f"{days.first.day} to {last}"
    return f"{days.first.day} {days.first:%B} to {last}" if days.first.year == days.last.year \
        else f"{first} to {last}"
