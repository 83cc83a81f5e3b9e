"""Declared types that no conversion is of: a name mistyped, or written otherwise from some day on,
makes labels 0 that look like any others.

It labels and counts nothing; `census` does the counting.
"""

from collections.abc import Mapping
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import ConversionSource
from esmm_dist.samples.logs import TYPE
from esmm_dist.samples.missing_days import Wanted
from esmm_dist.samples.schedule import text_of

NUM_TYPES_NAMED = 5


def of_unmet_types(
    rows_of_type: Mapping[str | None, Mapping[date, int]], conversions: DataFrame, wanted: Wanted,
    source: ConversionSource,
) -> list[str]:
    """What is to be said of types that no conversion is of, at all or of some day.

    Args:
        rows_of_type: how many rows are filed under each day; under None those of no declared type.
        conversions: the same rows, not counted.

    Raises:
        InputError: none is of a declared type, or none of a day that was over, unless the log says
            that its days may be empty.
    """
    met = {kind: days for kind, days in rows_of_type.items() if kind is not None and days}
    if source.types and not met and rows_of_type[None]:
        found = (
            f"logs.conversions.types = {list(source.types)}: no conversion of these days is of "
            f"such a type, there are {_known(conversions)}"
        )
        if source.empty_days == "refuse":
            raise InputError(
                f"{found}: correct them, or ask for days that hold some; if nothing of these "
                "happened, set logs.conversions.empty_days: allow"
            )
        return [f"{found}: all labels are 0 (logs.conversions.empty_days: allow)"]
    of_some_type = {day: n for days in met.values() for day, n in days.items()}
    missing = [day for day in wanted.missing(of_some_type) if day in rows_of_type[None]]
    if met and missing and source.empty_days == "refuse":
        raise InputError(
            f"logs.conversions ({source.place}): none of the {rows_of_type[None][missing[0]]:,} "
            f"conversions of {missing[0]} is of a type of logs.conversions.types "
            f"({', '.join(source.types)}), as those of other days are: write that day again; if "
            "nothing of these happened, set logs.conversions.empty_days: allow"
        )
    held = sorted({day for days in rows_of_type.values() for day in days})
    notes = []
    for kind in source.types:
        lacking = [day for day in held if day not in met.get(kind, {})]
        if lacking or not held:
            days = text_of(lacking) if kind in met else "these days"
            notes.append(
                f"logs.conversions.types: no conversion of {days} is of the type {kind!r}"
            )
    return notes


def _known(conversions: DataFrame) -> str:
    known = conversions.where(F.col(TYPE).isNotNull()).select(TYPE).distinct()
    found = sorted(row.type for row in known.limit(NUM_TYPES_NAMED).collect())
    return ", ".join(map(repr, found)) or "none with any"
