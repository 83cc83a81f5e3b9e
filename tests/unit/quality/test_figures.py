"""Figures of days from their counts, and their drift against the days before."""

import math
from datetime import date, timedelta

import pytest

from esmm_dist.contract.profile import DELAY_EDGES_S, ColumnProfile, DayProfile
from esmm_dist.quality.figures import (
    EMPTY_BIN,
    NUM_PSI_IDS,
    delay_curve,
    figures_of,
    population_stability_index,
)

FIRST = date(2026, 3, 1)


def column(num_of_id: dict[int, int], null: int = 0, unknown: int = 0, rest: int = 0
           ) -> ColumnProfile:
    known = sum(num_of_id.values()) + rest
    return ColumnProfile(
        num_values=known + unknown + null, num_known=known, num_null_rows=null,
        num_unknown=unknown, num_distinct=len(num_of_id) + rest, num_of_id=num_of_id,
    )


def day(number: int, rows: int, clicks: int, conversions: int, c: ColumnProfile | None = None,
        delays: dict[str, tuple[int, ...]] | None = None) -> DayProfile:
    return DayProfile(
        FIRST + timedelta(days=number), rows, clicks, conversions,
        {"c": c or column({5: rows})}, delays or {},
    )


def test_rates_and_what_a_day_compares_with() -> None:
    days = [day(0, 100, 10, 1), day(1, 300, 30, 3), day(2, 100, 20, 1), day(3, 50, 0, 0)]
    counters = {d.day: {"impressions_in": d.num_rows + 25} for d in days}
    first, _, third, last = figures_of(days, counters, num_trailing_days=2)
    assert (first.ctr, first.cvr, first.dropped_rate) == (0.1, 0.1, 0.2)
    assert (first.ctr_change, first.cvr_change, first.num_trailing_days) == (None, None, 0)
    assert third.ctr_change == pytest.approx(0.2 / 0.1 - 1)
    assert third.cvr_change == pytest.approx(0.05 / 0.1 - 1)
    assert (last.ctr, last.cvr, last.cvr_change) == (0, None, None)
    # 50 clicks of the 400 rows of the two days before, not of all before
    assert last.ctr_change == -1 and last.num_trailing_days == 2
    assert figures_of(days, counters, 1)[3].num_trailing_days == 1


def test_a_columns_figures() -> None:
    found = figures_of(
        [day(0, 20, 0, 0, column({4: 3, 9: 5}, null=2, unknown=6, rest=4))],
        {FIRST: {}}, 7,
    )[0]
    figures = found.columns["c"]
    assert found.dropped_rate is None
    assert (figures.null_rate, figures.unknown_rate) == (2 / 20, 6 / 20)
    assert (figures.num_ids, figures.top_id, figures.top_share) == (6, 9, 5 / 20)
    assert figures.psi is None


def test_the_stability_index_is_the_sum_over_bins() -> None:
    here, before = column({1: 30, 2: 10}, null=10), column({1: 50, 2: 150}, rest=50)
    expected = sum(
        (p - q) * math.log(p / q)
        for p, q in [(30 / 50, 50 / 250), (10 / 50, 150 / 250), (10 / 50, EMPTY_BIN / 250),
                     (EMPTY_BIN / 50, 50 / 250)]
    )
    assert population_stability_index([here], [before]) == pytest.approx(expected)


def test_equal_shares_do_not_drift_whatever_their_number() -> None:
    here, before = column({1: 3, 2: 1}, null=1, unknown=1), column({1: 30, 2: 10}, 10, 10)
    assert population_stability_index([here], [before]) == pytest.approx(0)
    assert population_stability_index([here], []) is None
    assert population_stability_index([column({})], [before]) is None


def test_rare_ids_are_one_bin() -> None:
    frequent = {id_: 1000 - id_ for id_ in range(NUM_PSI_IDS)}
    here = column(frequent | {100: 1, 101: 2})
    before = column(frequent | {100: 2, 101: 1})
    assert population_stability_index([here], [before]) == pytest.approx(0)


def test_a_delay_curve_ends_at_one_unless_some_came_later() -> None:
    numbers = (1, *[0] * (len(DELAY_EDGES_S) - 1), 3)
    days = [day(0, 9, 4, 0, delays={"click_delay_s": numbers}), day(1, 9, 0, 0)]
    curve = delay_curve(days, "click_delay_s")
    assert curve[0] == (1.0, 0.25) and curve[-1] == (DELAY_EDGES_S[-1], 0.25)
    assert delay_curve(days, "other") == []
