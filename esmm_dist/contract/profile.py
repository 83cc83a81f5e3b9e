"""What was counted in the samples of a day: handed from the job that reads them to the report.

Counts alone, so that days can be added up; rates and verdicts are for the report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class ColumnProfile:
    """One column of ids on one day."""

    num_values: int
    """One a row; of a multi-valued feature as many as its lists hold."""
    num_known: int
    """Those that are neither null nor out of vocabulary."""
    num_null_rows: int
    """Rows whose id is 0, or whose list is empty."""
    num_unknown: int
    """Values out of vocabulary; 0 where there is none."""
    num_distinct: int
    """Ids that occur, null apart."""
    num_of_id: Mapping[int, int]
    """Values of the ids that are most frequent over all profiled days together or on one of them,
    the same ids on every day; null and out of vocabulary apart."""


@dataclass(frozen=True)
class DayProfile:
    """The samples of one day."""

    day: date
    num_rows: int
    num_clicks: int
    num_conversions: int
    columns: Mapping[str, ColumnProfile]
    """By name: the features, and group_id."""
    delays: Mapping[str, tuple[int, ...]]
    """Rows by delay column and interval of DELAY_EDGES_S, rows without an event apart."""


# Seconds; interval n ends with its edge, a last one takes what lies beyond.
DELAY_EDGES_S = (
    1, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 172_800,
    259_200, 432_000, 604_800, 1_209_600, 2_592_000,
)
