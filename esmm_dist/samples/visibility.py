"""From when on the rows of a log or snapshot were known, and which of them an instant hides.

It looks at the declared columns of times alone.
"""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import TableSource
from esmm_dist.samples.logs import (
    EVENT_TIME,
    TIME,
    TIME_TYPES,
    refuse_missing,
    remedy_of_type,
    typed_column,
)


def visible(
    frame: DataFrame, source: TableSource, key: str, as_of: datetime | None
) -> DataFrame:
    """A log as it lay at an instant: the rows that had become known by then.

    A row without any time was there as far as anybody can tell.

    Args:
        as_of: None: all rows.

    Raises:
        InputError: the declared column of ingest times is missing, or holds no timestamps.
    """
    if as_of is None and source.ingest_time is None:
        return frame
    known = known_from(frame, source, key)
    return frame if as_of is None else frame.where(known.isNull() | (known <= F.lit(as_of)))


def known_from(frame: DataFrame, source: TableSource, key: str) -> Column:
    """From its ingest time on; where the log has none, or the row's is null, from its event time.

    Raises:
        InputError: as `visible`.
    """
    times = [] if source.ingest_time is None else [_ingest_time(frame, source, key)]
    times.append(typed_column(frame, source, EVENT_TIME, key, TIME_TYPES, TIME))
    return F.coalesce(*[time.cast("timestamp") for time in times])


def _ingest_time(frame: DataFrame, source: TableSource, key: str) -> Column:
    name = str(source.ingest_time)
    refuse_missing(frame, source, name, key, f"correct {key}.ingest_time")
    found = frame.schema[name].dataType
    if not isinstance(found, TIME_TYPES):
        raise InputError(
            f"{key} ({source.place}): the column {name!r} of {key}.ingest_time is "
            f"{found.simpleString()}, {TIME} is wanted: {remedy_of_type(source, key, found, TIME)}"
        )
    return frame[f"`{name}`"]
