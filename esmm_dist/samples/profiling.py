"""What built days hold, added up from what the inspector counted in their files.

It knows no rule and reads no file.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from esmm_dist.contract.manifest import Day
from esmm_dist.contract.profile import ColumnProfile, DayProfile
from esmm_dist.samples.inspector import Inspector, Report

NUM_FREQUENT = 20
NUM_FREQUENT_OF_A_DAY = 3


def profiles_of(
    inspected: DataFrame, inspector: Inspector, days: Sequence[Day], reports: Sequence[Report]
) -> tuple[DayProfile, ...]:
    """The profiles of some days.

    Args:
        inspected: what the inspector gave of all files.
        reports: those among it, parsed.
    """
    ordinals = [day.day.toordinal() for day in days]
    counts = (
        inspected.where(F.col("report").isNull() & F.col("day").isin(ordinals))
        .groupBy("day", "place", "id").agg(F.sum("num_values").alias("num_values"))
    )
    distinct = {
        (row.day, row.place): row.num_ids
        for row in counts.groupBy("day", "place").agg(F.count("*").alias("num_ids")).collect()
    }
    numbers: dict[tuple[int, int], dict[int, int]] = {}
    for row in _frequent(counts).collect():
        numbers.setdefault((row.day, row.place), {})[row.id] = row.num_values
    return tuple(
        _profile(
            day, [r for r in reports if inspector.listed[r["path"]].day == day.day],
            {
                name: (
                    distinct.get((day.day.toordinal(), place), 0),
                    numbers.get((day.day.toordinal(), place), {}),
                )
                for place, name in enumerate(inspector.counted)
            },
        )
        for day in days
    )


def _profile(
    day: Day, reports: Sequence[Report], counts: Mapping[str, tuple[int, Mapping[int, int]]]
) -> DayProfile:
    return DayProfile(
        day.day, day.num_rows, day.num_clicks, day.num_conversions,
        columns={
            name: _column([report["columns"][name] for report in reports], *of_column)
            for name, of_column in counts.items()
        },
        delays={
            name: tuple(map(sum, zip(*(report["delays"][name] for report in reports))))
            for name in reports[0]["delays"]
        },
    )


def _frequent(counts: DataFrame) -> DataFrame:
    """The counts by day of the ids that are most frequent, over all days or on one of them."""
    def rank(parts: Sequence[str], number: str) -> Column:
        return F.row_number().over(Window.partitionBy(*parts).orderBy(F.col(number).desc(), "id"))

    totals = counts.groupBy("place", "id").agg(F.sum("num_values").alias("total"))
    of_all = totals.select("place", "id", rank(["place"], "total").alias("rank")).where(
        F.col("rank") <= NUM_FREQUENT
    )
    of_a_day = counts.select(
        "place", "id", rank(["place", "day"], "num_values").alias("rank")
    ).where(F.col("rank") <= NUM_FREQUENT_OF_A_DAY)
    ids = of_all.unionByName(of_a_day).select("place", "id").distinct()
    return counts.join(F.broadcast(ids), ["place", "id"])


def _column(
    reports: Sequence[Mapping[str, int]], num_distinct: int, num_of_id: Mapping[int, int]
) -> ColumnProfile:
    num_values, num_known, num_null_rows, num_unknown = (
        sum(report[name] for report in reports)
        for name in ("num_values", "num_known", "num_null_rows", "num_unknown")
    )
    return ColumnProfile(
        num_values, num_known, num_null_rows, num_unknown, num_distinct, num_of_id
    )
