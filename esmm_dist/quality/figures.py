"""Rates, shares and drift of built days, from what was counted in them; the figures of the report.

It reads nothing and judges nothing. A figure that the counts do not define is None.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from esmm_dist.contract.profile import DELAY_EDGES_S, ColumnProfile, DayProfile

# Ids that are bins of their own in the population stability index; all others are one bin.
NUM_PSI_IDS = 20
# A bin that is empty on one side would make the index infinite: it counts as half a value.
EMPTY_BIN = 0.5


@dataclass(frozen=True)
class ColumnFigures:
    """One column of ids on one day."""

    null_rate: float | None
    """Rows without a value / rows."""
    unknown_rate: float | None
    """Values out of vocabulary / values."""
    num_ids: int
    """Distinct ids, null and unknown apart."""
    top_id: int | None
    """The most frequent id."""
    top_share: float | None
    """Its values / values."""
    psi: float | None
    """Population stability index against the trailing days."""


@dataclass(frozen=True)
class DayFigures:
    """One day."""

    day: date
    num_rows: int
    num_clicks: int
    num_conversions: int
    ctr: float | None
    """Clicks / rows."""
    cvr: float | None
    """Conversions / clicks."""
    dropped_rate: float | None
    """Rows of the impressions log that are no samples / its rows."""
    ctr_change: float | None
    """ctr / ctr of the trailing days together - 1."""
    cvr_change: float | None
    num_trailing_days: int
    columns: Mapping[str, ColumnFigures]


def figures_of(
    profiles: Sequence[DayProfile], counters: Mapping[date, Mapping[str, int]],
    num_trailing_days: int,
) -> tuple[DayFigures, ...]:
    """The figures of days, each compared with those before it.

    Args:
        profiles: in order of date; the first ones may be there only to be compared with.
        counters: of the days, as the manifest keeps them.
        num_trailing_days: profiled days before a day that it is compared with, at most.
    """
    found = []
    for place, profile in enumerate(profiles):
        trailing = profiles[max(0, place - num_trailing_days) : place]
        found.append(_day(profile, counters[profile.day], trailing))
    return tuple(found)


def _day(
    profile: DayProfile, counters: Mapping[str, int], trailing: Sequence[DayProfile]
) -> DayFigures:
    num_in = counters.get("impressions_in")
    ctr, cvr = (_ratio(*pair) for pair in _rates([profile]))
    ctr_before, cvr_before = (_ratio(*pair) for pair in _rates(trailing))
    return DayFigures(
        profile.day, profile.num_rows, profile.num_clicks, profile.num_conversions, ctr, cvr,
        dropped_rate=None if num_in is None else _ratio(num_in - profile.num_rows, num_in),
        ctr_change=_change(ctr, ctr_before),
        cvr_change=_change(cvr, cvr_before),
        num_trailing_days=len(trailing),
        columns={
            name: _column(column, profile.num_rows, [day.columns[name] for day in trailing])
            for name, column in profile.columns.items()
        },
    )


def _rates(days: Sequence[DayProfile]) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, clicks, conversions = (
        sum(getattr(day, name) for day in days)
        for name in ("num_rows", "num_clicks", "num_conversions")
    )
    return (clicks, rows), (conversions, clicks)


def _column(
    column: ColumnProfile, num_rows: int, trailing: Sequence[ColumnProfile]
) -> ColumnFigures:
    top = min(column.num_of_id.items(), key=lambda item: (-item[1], item[0]), default=None)
    return ColumnFigures(
        null_rate=_ratio(column.num_null_rows, num_rows),
        unknown_rate=_ratio(column.num_unknown, column.num_values),
        num_ids=column.num_distinct,
        top_id=None if top is None else top[0],
        top_share=None if top is None else _ratio(top[1], column.num_values),
        psi=population_stability_index([column], trailing),
    )


def population_stability_index(
    column: Sequence[ColumnProfile], trailing: Sequence[ColumnProfile]
) -> float | None:
    """sum (p - q) ln(p / q) over the bins of two distributions (Siddiqi, Credit Risk Scorecards,
    2006; there below .1 is stable, above .25 a shift).

    Bins are null, out of vocabulary, each of the most frequent ids of both sides together, and all
    other ids as one. None if a side has no rows.
    """
    ids = _most_frequent([*column, *trailing])
    here, before = _bins(column, ids), _bins(trailing, ids)
    if not sum(here) or not sum(before):
        return None
    index = 0.0
    for number, number_before in zip(here, before):
        if number or number_before:
            p = max(number, EMPTY_BIN) / sum(here)
            q = max(number_before, EMPTY_BIN) / sum(before)
            index += (p - q) * math.log(p / q)
    return index


def _most_frequent(columns: Sequence[ColumnProfile]) -> list[int]:
    totals: dict[int, int] = {}
    for column in columns:
        for id_, number in column.num_of_id.items():
            totals[id_] = totals.get(id_, 0) + number
    return sorted(totals, key=lambda id_: (-totals[id_], id_))[:NUM_PSI_IDS]


def _bins(columns: Sequence[ColumnProfile], ids: Sequence[int]) -> list[int]:
    of_ids = [sum(column.num_of_id.get(id_, 0) for column in columns) for id_ in ids]
    null = sum(column.num_null_rows for column in columns)
    unknown = sum(column.num_unknown for column in columns)
    # An empty list has no value, a null id is one: what is left over is the same either way.
    values = sum(column.num_known for column in columns)
    return [null, unknown, *of_ids, values - sum(of_ids)]


def delay_curve(profiles: Sequence[DayProfile], column: str) -> list[tuple[float, float]]:
    """The share of events that came within so many seconds of their cause, over all days."""
    totals = [sum(numbers) for numbers in zip(*(p.delays[column] for p in profiles
                                                if column in p.delays))]
    curve, so_far = [], 0
    for edge, number in zip(DELAY_EDGES_S, totals):
        so_far += number
        curve.append((float(edge), so_far / sum(totals) if sum(totals) else 0.0))
    return curve if sum(totals) else []


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _change(rate: float | None, before: float | None) -> float | None:
    return rate / before - 1 if rate is not None and before else None
