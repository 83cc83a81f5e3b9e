"""The label join of one file: what the clicks and conversions of its impressions make of them.

All rows of an impression id of one day have come to one file, so nothing beyond the file matters.
Works on whole columns, reads and writes nothing. docs/samples.md tells the rules as timelines.

Shape legend: N rows of the file; I of them impressions, R some of those; K are kept; B those of
before the day.
"""

from collections import Counter
from dataclasses import dataclass, fields, replace

import numpy as np

from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.crediting import (
    any_of,
    credited_conversions,
    first_delay_s,
    total_value,
    valid_clicks,
)
from esmm_dist.labelling.distinct_events import (
    Impressions,
    distinct_clicks,
    distinct_conversions,
    equals_the_one_before,
)
from esmm_dist.labelling.marks import DROPPED, Mark, counter_of
from esmm_dist.labelling.wire import Array, Wire


@dataclass(frozen=True)
class Labelled:
    """The impressions that are kept, in the order in which they are written, and their labels."""

    row_K: Array
    click_K: Array
    conversion_K: Array
    value_K: Array | None
    """What its conversions are worth, (K,) float32; None where no value is declared."""
    click_delay_s_K: Array
    conversion_delay_s_K: Array
    """Of a conversion that implies its click both delays are unknown, and written as none."""
    counters: Counter[str]
    """What became of every row of the file."""

    def without(self, is_left_out_K: Array) -> "Labelled":
        """The others, and those left out in the books."""
        columns = {
            field.name: value[~is_left_out_K] for field in fields(self)
            if isinstance(value := getattr(self, field.name), np.ndarray)
        }
        num_left_out = int(np.count_nonzero(is_left_out_K))
        counters = Counter(self.counters)
        counters["impressions_out"] -= num_left_out
        counters["samples_left_out"] = num_left_out
        return replace(self, counters=counters, **columns)


def label(wire: Wire, rules: CreditRules, seed: int) -> Labelled:
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
    counters["clicks_untimely"] = int(np.count_nonzero(wire.flags_N[wire.rows_with(Mark.CLICK)]))
    order_N = mixed(wire.sample_id_N, seed)
    row_K = _kept(wire, order_N, rules, counters)
    impressions = Impressions(order_N[row_K], wire.time_N[row_K])
    clicks = valid_clicks(
        distinct_clicks(wire, order_N, impressions, rules, counters), impressions, rules, counters
    )
    conversions = distinct_conversions(wire, order_N, impressions, rules, counters)
    credited = credited_conversions(conversions, clicks, impressions, rules, counters)
    implied_K = any_of(credited.implying.impression_E, len(row_K))
    click_K = any_of(clicks.impression_E, len(row_K)) | implied_K
    conversion_K = any_of(credited.by_click.impression_E, len(row_K)) | implied_K
    value_K = None
    if rules.has_value:
        value_K, counters["samples_unknown_value"] = total_value(credited, len(row_K))
    counters["samples_clicked"] = int(click_K.sum())
    counters["samples_converted"] = int(conversion_K.sum())
    counters["samples_click_implied"] = int(implied_K.sum())
    shown_E = impressions.time_K[clicks.impression_E]
    return Labelled(
        row_K, click_K, conversion_K, value_K,
        first_delay_s(clicks, shown_E, len(row_K)),
        first_delay_s(credited.by_click, credited.click_time_E, len(row_K)),
        counters,
    )


def mixed(number_N: Array, seed: int) -> Array:
    """The numbers in an order that looks like chance: a bijection of 64 bits (SplitMix64's end).

    Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        mix_N = number_N.view(np.uint64) + np.uint64((2 * seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        mix_N = (mix_N ^ mix_N >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        mix_N = (mix_N ^ mix_N >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return mix_N ^ mix_N >> np.uint64(31)


def _kept(wire: Wire, order_N: Array, rules: CreditRules, counters: Counter[str]) -> Array:
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
    row_K = row_I[~is_further_I]
    is_again_K = _was_shown_before(wire, order_N, row_K, rules.repeat_span)
    counters["impressions_shown_before"] = int(np.count_nonzero(is_again_K))
    counters["impressions_out"] = int(np.count_nonzero(~is_again_K))
    return row_K[~is_again_K]


def _was_shown_before(wire: Wire, order_N: Array, row_K: Array, span: int) -> Array:
    """Whether the id of an impression was shown at most `span` before it, on the day before."""
    row_B = wire.rows_with(Mark.IMPRESSION_BEFORE)
    row_B = row_B[np.lexsort((wire.time_N[row_B], order_N[row_B]))]
    # Of its own rows, or of those of lesser ids, the last.
    place_K = np.searchsorted(order_N[row_B], order_N[row_K], side="right") - 1
    is_again_K = place_K >= 0
    last, row = row_B[place_K[is_again_K]], row_K[is_again_K]
    is_again_K[is_again_K] = (order_N[last] == order_N[row]) & (
        wire.time_N[row] - wire.time_N[last] <= span
    )
    return is_again_K


def _by_time_and_content(
    wire: Wire, order_N: Array, row_R: Array, counters: Counter[str]
) -> Array:
    """Rows of ids that have several, the one to keep first; counts the others."""
    keys = [order_N[row_R], wire.time_N[row_R], *wire.contents(row_R)]
    sorted_R = np.lexsort(keys[::-1])
    is_same_id, is_same = (
        equals_the_one_before([key[sorted_R] for key in some]) for some in (keys[:1], keys)
    )
    counters["impressions_repeated"] = int(np.count_nonzero(is_same))
    counters["impressions_conflicting"] = int(np.count_nonzero(is_same_id & ~is_same))
    return row_R[sorted_R]
