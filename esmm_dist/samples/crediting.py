"""Which clicks and conversions of a file's impressions count, and which click gets the credit.

Works on whole columns. It neither chooses impressions nor makes labels.

Shape legend: N rows of the file; K impressions that are kept; E rows of an event log.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from esmm_dist.contract.schema import NO_DELAY_S
from esmm_dist.contract.sections import Config
from esmm_dist.samples.days import micros
from esmm_dist.samples.marks import Mark
from esmm_dist.samples.schedule import click_window, conversion_window, max_skew
from esmm_dist.samples.wire import Array, Wire

MICROS_PER_SECOND = 1_000_000


@dataclass(frozen=True)
class CreditRules:
    """What the config says of clicks and conversions. Lengths in microseconds, ends included."""

    click_window: int
    conversion_window: int
    max_skew: int = 0
    """How long before its cause an event counts as if it lay at it."""
    implies_click: bool = False
    """Whether a conversion of an impression without a click that counts stands for one."""
    has_value: bool = False
    """Whether conversions are worth something."""
    names_click: bool = False
    """Whether a conversion says which click it is of; else any of its impression's will do."""

    @classmethod
    def of(cls, config: Config) -> "CreditRules":
        """The rules that a config declares."""
        conversions = config.logs.conversions
        return cls(
            click_window=micros(click_window(config)),
            conversion_window=micros(conversion_window(config)),
            max_skew=micros(max_skew(config)),
            implies_click=conversions.without_click == "imply_click",
            has_value=conversions.value is not None,
            names_click=conversions.attribute_by != "impression_id",
        )


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
    """Of conversions that name their click."""

    def where(self, holds_E: Array) -> "Events":
        """Those for which something holds."""
        value_E, click_time_E = (
            None if column is None else column[holds_E]
            for column in (self.value_E, self.click_time_E)
        )
        return Events(
            self.impression_E[holds_E], self.time_E[holds_E], value_E, click_time_E
        )


class Credited(NamedTuple):
    """The conversions that count."""

    by_click: Events
    """Credited to a click that counts."""
    click_time_E: Array
    """Of each of these the time of its click."""
    implying: Events
    """Of impressions without such a click: each stands for one."""


def distinct_clicks(
    wire: Wire, order_N: Array, impressions: Impressions, counters: Counter[str]
) -> Events:
    """The clicks of the file's impressions, each once."""
    marks = (Mark.CLICK, Mark.CLICK_ELSEWHERE)
    row_E, impression_E = _of_impressions(wire, order_N, impressions, marks, "clicks", counters)
    keys = [impression_E, wire.time_N[row_E]]
    sorted_E = np.lexsort(keys[::-1])
    keys = [key[sorted_E] for key in keys]
    is_repeat_E = equals_the_one_before(keys)
    counters["clicks_repeated"] = int(np.count_nonzero(is_repeat_E))
    return Events(*keys).where(~is_repeat_E)


def distinct_conversions(
    wire: Wire, order_N: Array, impressions: Impressions, rules: CreditRules,
    counters: Counter[str],
) -> Events:
    """The conversions of the file's impressions, each once.

    Of several that differ in nothing but their value the one that is worth most is kept.
    """
    marks = (Mark.CONVERSION, Mark.CONVERSION_ELSEWHERE)
    row_E, impression_E = _of_impressions(
        wire, order_N, impressions, marks, "conversions", counters
    )
    value_E = wire.value_N[row_E] if rules.has_value else None
    click_time_E = wire.click_time_N[row_E] if rules.names_click else None
    named_E = [] if click_time_E is None else [click_time_E]
    keys = [impression_E, wire.time_N[row_E], *named_E, wire.key_N[row_E]]
    # An unknown value is less than any.
    cost_E = [] if value_E is None else [np.where(np.isnan(value_E), np.inf, -value_E)]
    sorted_E = np.lexsort([*keys, *cost_E][::-1])
    is_same_E, is_repeat_E = (
        equals_the_one_before([key[sorted_E] for key in some]) for some in (keys, [*keys, *cost_E])
    )
    counters["conversions_repeated"] = int(np.count_nonzero(is_repeat_E))
    counters["conversions_conflicting"] = int(np.count_nonzero(is_same_E & ~is_repeat_E))
    kept_E = sorted_E[~is_same_E]
    return Events(keys[0], keys[1], value_E, click_time_E).where(kept_E)


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


def valid_clicks(
    clicks: Events, impressions: Impressions, rules: CreditRules, counters: Counter[str]
) -> Events:
    """The clicks that count: those inside the window that their impression opens."""
    delay_E = clicks.time_E - impressions.time_K[clicks.impression_E]
    is_early_E = delay_E < -rules.max_skew
    is_late_E = delay_E > rules.click_window
    is_valid_E = ~is_early_E & ~is_late_E
    counters["clicks_before_impression"] = int(np.count_nonzero(is_early_E))
    counters["clicks_after_window"] = int(np.count_nonzero(is_late_E))
    counters["clicks_skewed"] = int(np.count_nonzero(is_valid_E & (delay_E < 0)))
    counters["clicks_credited"] = int(np.count_nonzero(is_valid_E & (delay_E >= 0)))
    return clicks.where(is_valid_E)


def credited_conversions(
    conversions: Events, clicks: Events, impressions: Impressions, rules: CreditRules,
    counters: Counter[str],
) -> Credited:
    """The conversions that their click covers, and those that imply one.

    Their click is the one they name if that counts, else the latest at or before them.
    """
    is_clicked_K = any_of(clicks.impression_E, len(impressions.time_K)).astype(bool)
    is_clicked_E = is_clicked_K[conversions.impression_E]
    unclicked, clicked = conversions.where(~is_clicked_E), conversions.where(is_clicked_E)
    click_E, has_click_E = _click_of(clicked, clicks, rules)
    delay_E = clicked.time_E - clicks.time_E[click_E]
    is_early_E = has_click_E & (delay_E < -rules.max_skew)
    is_late_E = has_click_E & (delay_E > rules.conversion_window)
    is_covered_E = has_click_E & ~is_early_E & ~is_late_E
    # Without a name, a conversion that finds no click lies before all that there are.
    num_lost = int(np.count_nonzero(~has_click_E))
    num_early = int(np.count_nonzero(is_early_E)) + (0 if rules.names_click else num_lost)
    counters["conversions_before_click"] = num_early
    counters["conversions_after_window"] = int(np.count_nonzero(is_late_E))
    counters["conversions_skewed"] = int(np.count_nonzero(is_covered_E & (delay_E < 0)))
    counters["conversions_credited"] = int(np.count_nonzero(is_covered_E & (delay_E >= 0)))
    implies_E = _may_imply_a_click(unclicked, impressions, rules)
    counters["conversions_implying_click"] = int(np.count_nonzero(implies_E))
    counters["conversions_without_click"] = int(np.count_nonzero(~implies_E))
    counters["conversions_without_click"] += num_lost if rules.names_click else 0
    return Credited(
        clicked.where(is_covered_E), clicks.time_E[click_E[is_covered_E]],
        unclicked.where(implies_E),
    )


def _may_imply_a_click(
    conversions: Events, impressions: Impressions, rules: CreditRules
) -> Array:
    """Whether a click inside the click window could have led to the conversion."""
    if not rules.implies_click:
        return np.zeros(len(conversions.time_E), bool)
    delay_E = conversions.time_E - impressions.time_K[conversions.impression_E]
    longest = rules.click_window + rules.conversion_window
    within_E: Array = (-rules.max_skew <= delay_E) & (delay_E <= longest)
    return within_E


def _click_of(conversions: Events, clicks: Events, rules: CreditRules) -> tuple[Array, Array]:
    """The place of each conversion's click, and whether there is one."""
    named_E = conversions.click_time_E
    until_E = conversions.time_E + rules.max_skew if named_E is None else named_E
    click_E = _latest_at_or_before(clicks, conversions.impression_E, until_E)
    has_click_E = (click_E >= 0) & (clicks.impression_E[click_E] == conversions.impression_E)
    if named_E is not None:
        has_click_E &= clicks.time_E[click_E] == named_E
    return click_E, has_click_E


def _latest_at_or_before(clicks: Events, impression_E: Array, time_E: Array) -> Array:
    """For each impression and time the place of the last click that is not after it, of whatever
    impression, in the order of impressions and times; -1 if there is none."""
    num_clicks = len(clicks.time_E)
    impression = np.concatenate([clicks.impression_E, impression_E])
    time = np.concatenate([clicks.time_E, time_E])
    is_asked = np.arange(len(time)) >= num_clicks
    in_order = np.lexsort((is_asked, time, impression))
    latest = np.maximum.accumulate(np.where(is_asked[in_order], -1, in_order))
    latest_E = np.empty(len(time_E), np.int64)
    latest_E[in_order[is_asked[in_order]] - num_clicks] = latest[is_asked[in_order]]
    return latest_E


def total_value(credited: Credited, num_impressions: int) -> tuple[Array, int]:
    """What the credited conversions of each impression are worth, (K,) float32, and how many
    impressions have one of unknown value."""
    total_K = np.zeros(num_impressions)
    is_unknown_K = np.zeros(num_impressions, bool)
    for events in (credited.by_click, credited.implying):
        assert events.value_E is not None
        is_unknown_E = np.isnan(events.value_E)
        is_unknown_K[events.impression_E[is_unknown_E]] = True
        # Summed in the order of the events, which no order of rows can change.
        known_E = np.where(is_unknown_E, 0.0, events.value_E)
        total_K += np.bincount(events.impression_E, known_E, num_impressions)
    return total_K.astype(np.float32), int(np.count_nonzero(is_unknown_K))


def first_delay_s(events: Events, cause_time_E: Array, num_impressions: int) -> Array:
    """Whole seconds from its cause to the first event of each impression, (K,) int32; 0 for an
    event that a clock put before its cause."""
    delay_K = np.full(num_impressions, NO_DELAY_S, np.int32)
    delay_s_E = np.maximum(events.time_E - cause_time_E, 0) // MICROS_PER_SECOND
    # Events lie by rising time: written from the last to the first, the first one stays.
    delay_K[events.impression_E[::-1]] = delay_s_E[::-1]
    return delay_K


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
