"""What kind of row travels through the shuffle: a log's live row, or why a row takes no part."""

from enum import IntEnum


class Mark(IntEnum):
    """The low byte of a row's marks."""

    IMPRESSION = 0
    CLICK = 1
    CLICK_ELSEWHERE = 2
    """Filed under another day than the one that is built."""
    CONVERSION = 3
    CONVERSION_ELSEWHERE = 4
    IMPRESSION_BEFORE = 5
    """Shown so shortly before the day that one of its own may be the same."""
    IMPRESSIONS_NULL_ID = 6
    IMPRESSIONS_NULL_TIME = 7
    IMPRESSIONS_MISFILED = 8
    CLICKS_NULL_ID = 9
    CLICKS_NULL_TIME = 10
    CLICKS_MISFILED = 11
    CLICKS_OF_BOTS = 12
    CLICKS_DOUBLE = 13
    CONVERSIONS_OTHER_TYPE = 14
    CONVERSIONS_NULL_ID = 15
    CONVERSIONS_NULL_TIME = 16
    CONVERSIONS_MISFILED = 17
    CONVERSIONS_REPEATED = 18
    """Of a conversion_id that another row counts for."""
    CONVERSIONS_CONFLICTING = 19


DROPPED = tuple(mark for mark in Mark if mark >= Mark.IMPRESSIONS_NULL_ID)
"""Rows that meet no others: they are counted under the name of their mark and end there."""

MARK_BITS = 8
"""Above them lie an impression's flags, as `counters_of_flags` names them; of a click one that says
whether it is untimely."""


def counter_of(mark: Mark) -> str:
    """The counter of a dropped row."""
    return mark.name.lower()
