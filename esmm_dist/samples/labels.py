"""The label join of one file: what the clicks and conversions of its impressions make of them.

All rows of an impression id of one day have come to one file, so nothing beyond the file matters.
Works on whole columns, reads and writes nothing. docs/samples.md tells the rules as timelines.

Shape legend: N rows of the file; K impressions that are kept; E rows of an event log; V clicks that
count.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from esmm_dist.samples.marks import DROPPED, Mark, counter_of
from esmm_dist.samples.wire import Array, Wire


class Windows(NamedTuple):
    """Lengths in microseconds, both ends included."""

    click: int
    conversion: int


@dataclass(frozen=True)
class Labelled:
    """The impressions that are kept, in the order in which they are written, and their labels."""

    row_K: Array
    click_K: Array
    conversion_K: Array
    counters: Counter[str]
    """What became of every row of the file."""


def label(wire: Wire, windows: Windows, seed: int) -> Labelled:
    """Keeps each impression once, and gives it its labels.

    A click counts from the impression to impression + window; a conversion from a click that counts
    to that click + window. Any such click will do: if an earlier one still covers the conversion,
    so does the latest before it, and it is the latest that is credited.

    Args:
        seed: of the order of rows.
    """
    counters = Counter({
        counter_of(mark): int(np.count_nonzero(wire.mark_N == mark)) for mark in DROPPED
    })
    order_N = mixed(wire.sample_id_N, seed)
    row_K = _kept(wire, order_N, counters)
    impressions = _Impressions(order_N[row_K], wire.time_N[row_K])
    clicks = _events(wire, order_N, impressions, (Mark.CLICK, Mark.LATER_CLICK), "clicks", counters)
    valid = _valid_clicks(clicks, impressions, windows.click, counters)
    conversions = _events(
        wire, order_N, impressions, (Mark.CONVERSION, Mark.LATER_CONVERSION), "conversions",
        counters,
    )
    credited = _credited(conversions, valid, len(row_K), windows.conversion, counters)
    click_K = _any_of(valid.impression_E, len(row_K))
    conversion_K = _any_of(credited.impression_E, len(row_K))
    counters["samples_clicked"] = int(click_K.sum())
    counters["samples_converted"] = int(conversion_K.sum())
    return Labelled(row_K, click_K, conversion_K, counters)


def mixed(number_N: Array, seed: int) -> Array:
    """The numbers in an order that looks like chance: a bijection of 64 bits (SplitMix64's end).

    Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        mix_N = number_N.view(np.uint64) + np.uint64((2 * seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        mix_N = (mix_N ^ mix_N >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        mix_N = (mix_N ^ mix_N >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return mix_N ^ mix_N >> np.uint64(31)


# ---------------------------------------------------------------------------------------------
# Impressions
# ---------------------------------------------------------------------------------------------


class _Impressions(NamedTuple):
    """The kept ones, by rising order."""

    order_K: Array
    time_K: Array


def _kept(wire: Wire, order_N: Array, counters: Counter[str]) -> Array:
    """Rows of the impressions that count: of each id the earliest, and among equals the least by
    content, so that no order of rows or files can change it."""
    row_I = wire.rows_with(Mark.IMPRESSION)
    row_I = row_I[np.argsort(order_N[row_I], kind="stable")]
    order_I = order_N[row_I]
    is_further_I = np.zeros(len(row_I), bool)
    is_further_I[1:] = order_I[1:] == order_I[:-1]
    if is_further_I.any():
        is_of_several_I = is_further_I.copy()
        is_of_several_I[:-1] |= is_further_I[1:]
        row_I[is_of_several_I] = _by_time_and_content(
            wire, order_N, row_I[is_of_several_I], counters
        )
    counters["impressions_out"] = int(np.count_nonzero(~is_further_I))
    return row_I[~is_further_I]


def _by_time_and_content(
    wire: Wire, order_N: Array, row_R: Array, counters: Counter[str]
) -> Array:
    """Rows of ids that have several, the one to keep first; counts the others."""
    keys = [order_N[row_R], wire.time_N[row_R], *wire.contents(row_R)]
    sorted_R = np.lexsort(keys[::-1])
    is_same_id, is_same = (
        _equals_the_one_before([key[sorted_R] for key in some]) for some in (keys[:1], keys)
    )
    counters["impressions_repeated"] = int(np.count_nonzero(is_same))
    counters["impressions_conflicting"] = int(np.count_nonzero(is_same_id & ~is_same))
    return row_R[sorted_R]


def _equals_the_one_before(keys: Sequence[Array]) -> Array:
    is_equal = np.zeros(len(keys[0]), bool)
    is_equal[1:] = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    return is_equal


# ---------------------------------------------------------------------------------------------
# Events
# ---------------------------------------------------------------------------------------------


class _Events(NamedTuple):
    """Distinct events of kept impressions, by rising impression and time."""

    impression_E: Array
    """The place among the kept impressions."""
    time_E: Array

    def where(self, holds_E: Array) -> "_Events":
        return _Events(self.impression_E[holds_E], self.time_E[holds_E])


def _events(
    wire: Wire, order_N: Array, impressions: _Impressions, marks: tuple[Mark, Mark], log: str,
    counters: Counter[str],
) -> _Events:
    """Later days' events of no impression of this day are for other days to count."""
    row_E = wire.rows_with(*marks)
    is_later_E = wire.mark_N[row_E] == marks[1]
    place_E = np.searchsorted(impressions.order_K, order_N[row_E])
    is_known_E = place_E < len(impressions.order_K)
    is_known_E[is_known_E] = (
        impressions.order_K[place_E[is_known_E]] == order_N[row_E[is_known_E]]
    )
    counters[f"{log}_without_impression"] = int(np.count_nonzero(~is_known_E & ~is_later_E))
    counters[f"{log}_from_later_days"] = int(np.count_nonzero(is_known_E & is_later_E))
    keys = [place_E[is_known_E], wire.time_N[row_E[is_known_E]], wire.key_N[row_E[is_known_E]]]
    sorted_E = np.lexsort(keys[::-1])
    keys = [key[sorted_E] for key in keys]
    is_repeat_E = _equals_the_one_before(keys)
    counters[f"{log}_repeated"] = int(np.count_nonzero(is_repeat_E))
    return _Events(keys[0], keys[1]).where(~is_repeat_E)


def _valid_clicks(
    clicks: _Events, impressions: _Impressions, window: int, counters: Counter[str]
) -> _Events:
    shown_E = impressions.time_K[clicks.impression_E]
    is_early_E = clicks.time_E < shown_E
    is_late_E = clicks.time_E > shown_E + window
    counters["clicks_before_impression"] = int(np.count_nonzero(is_early_E))
    counters["clicks_after_window"] = int(np.count_nonzero(is_late_E))
    valid = clicks.where(~is_early_E & ~is_late_E)
    counters["clicks_credited"] = len(valid.time_E)
    return valid


def _credited(
    conversions: _Events, clicks: _Events, num_impressions: int, window: int,
    counters: Counter[str],
) -> _Events:
    """The conversions that the latest click at or before them covers."""
    is_clicked_K = _any_of(clicks.impression_E, num_impressions).astype(bool)
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


def _latest_at_or_before(clicks: _Events, conversions: _Events) -> Array:
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


def _any_of(impression_E: Array, num_impressions: int) -> Array:
    """1 for each impression that has an event, (K,) int8."""
    has_K = np.zeros(num_impressions, np.int8)
    has_K[impression_E] = 1
    return has_K
