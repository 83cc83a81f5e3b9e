"""Which clicks and conversions of a file's impressions count, and which click gets the credit.

Works on whole columns. It neither chooses impressions nor makes labels.

Shape legend: N rows of the file; K impressions that are kept; E rows of an event log; V clicks that
count.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from esmm_dist.samples.marks import Mark
from esmm_dist.samples.wire import Array, Wire


class Windows(NamedTuple):
    """Lengths in microseconds, both ends included."""

    click: int
    conversion: int


class Impressions(NamedTuple):
    """The kept ones, by rising order."""

    order_K: Array
    time_K: Array


class Events(NamedTuple):
    """Distinct events of kept impressions, by rising impression and time."""

    impression_E: Array
    """The place among the kept impressions."""
    time_E: Array

    def where(self, holds_E: Array) -> "Events":
        return Events(self.impression_E[holds_E], self.time_E[holds_E])


def distinct_events(
    wire: Wire, order_N: Array, impressions: Impressions, marks: tuple[Mark, Mark], log: str,
    counters: Counter[str],
) -> Events:
    """The events of the file's impressions, each once.

    Events filed under other days, of no impression of this day, are for other days to count.

    Args:
        marks: of an event filed under the day, and of one filed under another.
        log: the log's name, with which its counters begin.
    """
    row_E = wire.rows_with(*marks)
    is_elsewhere_E = wire.mark_N[row_E] == marks[1]
    place_E = np.searchsorted(impressions.order_K, order_N[row_E])
    is_known_E = place_E < len(impressions.order_K)
    is_known_E[is_known_E] = (
        impressions.order_K[place_E[is_known_E]] == order_N[row_E[is_known_E]]
    )
    counters[f"{log}_without_impression"] = int(np.count_nonzero(~is_known_E & ~is_elsewhere_E))
    counters[f"{log}_from_other_days"] = int(np.count_nonzero(is_known_E & is_elsewhere_E))
    keys = [place_E[is_known_E], wire.time_N[row_E[is_known_E]], wire.key_N[row_E[is_known_E]]]
    sorted_E = np.lexsort(keys[::-1])
    keys = [key[sorted_E] for key in keys]
    is_repeat_E = equals_the_one_before(keys)
    counters[f"{log}_repeated"] = int(np.count_nonzero(is_repeat_E))
    return Events(keys[0], keys[1]).where(~is_repeat_E)


def valid_clicks(
    clicks: Events, impressions: Impressions, window: int, counters: Counter[str]
) -> Events:
    """The clicks that count: those inside the window that their impression opens."""
    shown_E = impressions.time_K[clicks.impression_E]
    is_early_E = clicks.time_E < shown_E
    is_late_E = clicks.time_E > shown_E + window
    counters["clicks_before_impression"] = int(np.count_nonzero(is_early_E))
    counters["clicks_after_window"] = int(np.count_nonzero(is_late_E))
    valid = clicks.where(~is_early_E & ~is_late_E)
    counters["clicks_credited"] = len(valid.time_E)
    return valid


def credited_conversions(
    conversions: Events, clicks: Events, num_impressions: int, window: int,
    counters: Counter[str],
) -> Events:
    """The conversions that the latest click at or before them covers."""
    is_clicked_K = any_of(clicks.impression_E, num_impressions).astype(bool)
    is_clicked_E = is_clicked_K[conversions.impression_E]
    counters["conversions_without_click"] = int(np.count_nonzero(~is_clicked_E))
    conversions = conversions.where(is_clicked_E)
    latest_E = _latest_at_or_before(clicks, conversions)
    has_click_E = latest_E >= 0
    has_click_E &= clicks.impression_E[latest_E] == conversions.impression_E
    is_covered_E = has_click_E & (conversions.time_E - clicks.time_E[latest_E] <= window)
    counters["conversions_before_click"] = int(np.count_nonzero(~has_click_E))
    counters["conversions_after_window"] = int(np.count_nonzero(has_click_E & ~is_covered_E))
    counters["conversions_credited"] = int(np.count_nonzero(is_covered_E))
    return conversions.where(is_covered_E)


def _latest_at_or_before(clicks: Events, conversions: Events) -> Array:
    """For each conversion the place of the last click that is not after it, of whatever impression,
    in the order of impressions and times; -1 if there is none."""
    num_clicks = len(clicks.time_E)
    impression, time = (np.concatenate(pair) for pair in zip(clicks, conversions))
    is_conversion = np.arange(len(time)) >= num_clicks
    in_order = np.lexsort((is_conversion, time, impression))
    latest = np.maximum.accumulate(np.where(is_conversion[in_order], -1, in_order))
    latest_E = np.empty(len(conversions.time_E), np.int64)
    latest_E[in_order[is_conversion[in_order]] - num_clicks] = latest[is_conversion[in_order]]
    return latest_E


def any_of(impression_E: Array, num_impressions: int) -> Array:
    """1 for each impression that has an event, (K,) int8."""
    has_K = np.zeros(num_impressions, np.int8)
    has_K[impression_E] = 1
    return has_K


def equals_the_one_before(keys: Sequence[Array]) -> Array:
    """True for each row all of whose keys are those of the row before it."""
    is_equal = np.zeros(len(keys[0]), bool)
    is_equal[1:] = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    return is_equal
