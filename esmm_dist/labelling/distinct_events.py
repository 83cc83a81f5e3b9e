"""The clicks and conversions of a file's impressions, each once, however often it was logged.

Works on whole columns. It knows no window.

Shape legend: N rows of the file; K impressions that are kept; E rows of an event log.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.marks import Mark
from esmm_dist.labelling.wire import Array, Wire


class Impressions(NamedTuple):
    """The kept ones, by rising order."""

    order_K: Array
    time_K: Array


class Events(NamedTuple):
    """Distinct events of kept impressions, by rising impression and time."""

    impression_E: Array
    """The place among the kept impressions."""
    time_E: Array
    value_E: Array | None = None
    """Of conversions, where they have one; NaN where it is unknown."""
    click_time_E: Array | None = None
    """Of conversions that name their click, when that was. Of clicks the time by which they are
    named, where it may be another: all of a burst go by that of the first."""

    def where(self, holds_E: Array) -> "Events":
        """Those for which something holds."""
        value_E, click_time_E = (
            None if column is None else column[holds_E]
            for column in (self.value_E, self.click_time_E)
        )
        return Events(
            self.impression_E[holds_E], self.time_E[holds_E], value_E, click_time_E
        )


def distinct_clicks(
    wire: Wire, order_N: Array, impressions: Impressions, rules: CreditRules,
    counters: Counter[str],
) -> Events:
    """The clicks of the file's impressions, each once; of several at one instant one that ends no
    burst, if there is any."""
    marks = (Mark.CLICK, Mark.CLICK_ELSEWHERE)
    row_E, impression_E = _of_impressions(wire, order_N, impressions, marks, "clicks", counters)
    time_E, named_E = wire.time_N[row_E], None
    ties_E = []
    if rules.has_bursts:
        begin_E = wire.click_time_N[row_E]
        named_E = np.where(begin_E == 0, time_E, begin_E)
        ties_E = [-named_E]
    sorted_E = np.lexsort([impression_E, time_E, *ties_E][::-1])
    is_repeat_E = equals_the_one_before([impression_E[sorted_E], time_E[sorted_E]])
    counters["clicks_repeated"] = int(np.count_nonzero(is_repeat_E))
    return Events(impression_E, time_E, None, named_E).where(sorted_E[~is_repeat_E])


def distinct_conversions(
    wire: Wire, order_N: Array, impressions: Impressions, rules: CreditRules,
    counters: Counter[str],
) -> Events:
    """The conversions of the file's impressions, each once.

    Those without an id are told apart by instant, type and the click that they name, and of several
    rows of one that which is worth most counts. Of those of one id there is but one row.
    """
    marks = (Mark.CONVERSION, Mark.CONVERSION_ELSEWHERE)
    row_E, impression_E = _of_impressions(
        wire, order_N, impressions, marks, "conversions", counters
    )
    time_E, key_E = wire.time_N[row_E], wire.key_N[row_E]
    value_E = wire.value_N[row_E] if rules.has_value else None
    click_time_E = wire.click_time_N[row_E] if rules.names_click else None
    named_E = [] if click_time_E is None else [click_time_E]
    # An unknown value is less than any.
    cost_E = [] if value_E is None else [np.where(np.isnan(value_E), np.inf, -value_E)]
    identity = [impression_E, time_E, *named_E, key_E]
    in_order = [*identity, *cost_E]
    sorted_E = np.lexsort(in_order[::-1])
    is_same_E, is_repeat_E = (
        equals_the_one_before([key[sorted_E] for key in some]) for some in (identity, in_order)
    )
    counters["conversions_repeated"] += int(np.count_nonzero(is_repeat_E))
    counters["conversions_conflicting"] += int(np.count_nonzero(is_same_E & ~is_repeat_E))
    kept_E = sorted_E[~is_same_E]
    return Events(impression_E, time_E, value_E, click_time_E).where(kept_E)


def _of_impressions(
    wire: Wire, order_N: Array, impressions: Impressions, marks: tuple[Mark, Mark], log: str,
    counters: Counter[str],
) -> tuple[Array, Array]:
    """The rows of events whose impression is in the file, and the place of that impression.

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
    return row_E[is_known_E], place_E[is_known_E]


def equals_the_one_before(keys: Sequence[Array]) -> Array:
    """True for each row all of whose keys are those of the row before it."""
    is_equal = np.zeros(len(keys[0]), bool)
    is_equal[1:] = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    return is_equal
