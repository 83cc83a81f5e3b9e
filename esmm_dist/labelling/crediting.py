"""Which clicks and conversions of a file's impressions count, and which click gets the credit.

Works on whole columns. It neither chooses impressions nor makes labels.

Shape legend: K impressions that are kept; E distinct events.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from esmm_dist.contract.schema import NO_DELAY_S
from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.distinct_events import Events, Impressions
from esmm_dist.labelling.wire import Array

MICROS_PER_SECOND = 1_000_000


class Credited(NamedTuple):
    """The conversions that count."""

    by_click: Events
    """Credited to a click that counts."""
    click_time_E: Array
    """Of each of these the time of its click."""
    implying: Events
    """Of impressions without such a click: each stands for one."""


def valid_clicks(
    clicks: Events, impressions: Impressions, rules: CreditRules, counters: Counter[str]
) -> Events:
    """The clicks that count: those inside the window that their impression opens; the last of a
    burst only where its first does not count."""
    delay_E = clicks.time_E - impressions.time_K[clicks.impression_E]
    is_early_E = delay_E < -rules.max_skew
    is_late_E = delay_E > rules.click_window
    is_valid_E = ~is_early_E & ~is_late_E
    counters["clicks_before_impression"] = int(np.count_nonzero(is_early_E))
    counters["clicks_after_window"] = int(np.count_nonzero(is_late_E))
    is_double_E = _is_double(clicks.where(is_valid_E))
    is_valid_E[is_valid_E] = ~is_double_E
    counters["clicks_double"] += int(np.count_nonzero(is_double_E))
    counters["clicks_skewed"] = int(np.count_nonzero(is_valid_E & (delay_E < 0)))
    counters["clicks_credited"] = int(np.count_nonzero(is_valid_E & (delay_E >= 0)))
    return clicks.where(is_valid_E)


def _is_double(valid: Events) -> Array:
    """Whether a click ends a burst whose first click counts for the same impression."""
    if valid.click_time_E is None:
        return np.zeros(len(valid.time_E), bool)
    first_E = _latest_at_or_before(valid, valid.impression_E, valid.click_time_E)
    is_there_E = _is_of(first_E, valid, valid) & (valid.time_E[first_E] == valid.click_time_E)
    is_double_E: Array = is_there_E & (valid.click_time_E < valid.time_E)
    return is_double_E


def credited_conversions(
    conversions: Events, clicks: Events, impressions: Impressions, rules: CreditRules,
    counters: Counter[str],
) -> Credited:
    """The conversions that their click covers, and those that imply one.

    Their click is the one they name if that counts, else as `_click_of` says.
    """
    if rules.names_click and clicks.click_time_E is not None:
        clicks = clicks.where(np.lexsort((clicks.click_time_E, clicks.impression_E)))
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
    """The place of each conversion's click, and whether there is one.

    Of unnamed ones the latest at or before the conversion, if that covers it; else the next one, if
    that lies not further off than clocks may differ.
    """
    named_E, time_E = conversions.click_time_E, conversions.time_E
    if named_E is not None:
        name_E = clicks.time_E if clicks.click_time_E is None else clicks.click_time_E
        named = clicks._replace(time_E=name_E)
        click_E = _latest_at_or_before(named, conversions.impression_E, named_E)
        return click_E, _is_of(click_E, conversions, clicks) & (name_E[click_E] == named_E)
    click_E = _latest_at_or_before(clicks, conversions.impression_E, time_E)
    has_click_E = _is_of(click_E, conversions, clicks)
    is_covered_E = has_click_E & (time_E - clicks.time_E[click_E] <= rules.conversion_window)
    next_E = np.minimum(click_E + 1, len(clicks.time_E) - 1)
    is_skewed_E = ~is_covered_E & (next_E > click_E) & _is_of(next_E, conversions, clicks)
    is_skewed_E &= clicks.time_E[next_E] - time_E <= rules.max_skew
    return np.where(is_skewed_E, next_E, click_E), has_click_E | is_skewed_E


def _is_of(click_E: Array, conversions: Events, clicks: Events) -> Array:
    """Whether there is a click at a place, and of the conversion's impression."""
    is_of_E: Array = (click_E >= 0) & (clicks.impression_E[click_E] == conversions.impression_E)
    return is_of_E


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
