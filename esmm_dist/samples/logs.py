"""A log's columns by our names of them; refuses those that it lacks or that have other types.

It looks at a log's schema alone, never at its rows.
"""

import difflib
from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import LogSource, TableSource

IMPRESSION_ID = "impression_id"
CLICK_ID = "click_id"
CONVERSION_ID = "conversion_id"
BOT_KEY = "bot_key"
EVENT_TIME = "event_time"
TYPE = "type"
IMPRESSION_DAY = "impression_day"
"""Of an event that was looked up by keys: the day of the impression it belongs to."""
GROUP_KEY = "group_key"
FILED_DAY = "filed_day"
# What is filed under a text that is no day; filed under nothing it has no day.
NO_DAY = date(1000, 1, 1)
DAY_PATTERN = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\z"

KEY_TYPES = (T.StringType, T.ByteType, T.ShortType, T.IntegerType, T.LongType)
TIME_TYPES = (T.TimestampType, T.TimestampNTZType)
VALUE_TYPES = (*KEY_TYPES, T.FloatType, T.DoubleType, T.BooleanType)
NUMBER_TYPES = (*VALUE_TYPES[1:], T.DecimalType)
KEY = "a text or a whole number"
TIME = "a timestamp"
NUMBER = "a number or a boolean"
# By format what Spark needs to be told, or it reads texts where times are written.
OPTION_OF_TIMES = {"csv": "inferSchema", "json": "inferTimestamp"}

Types = tuple[type[T.DataType], ...]


def feature_column(name: str) -> str:
    """A feature's column until the samples are written: a feature may be called `clicks`."""
    return f"feature_{name}"


def snapshot_key_column(snapshot: str) -> str:
    """The column by which rows of the impressions and of a snapshot meet."""
    return f"key_of_{snapshot}"


def key_column(name: str) -> str:
    """The column of a key by which events find their causes."""
    return f"cause_key_{name}"


def is_key_column(name: str) -> bool:
    """Whether a canonical column is such a key."""
    return name.startswith(key_column(""))


def column_of(frame: DataFrame, source: TableSource, name: str, key: str) -> Column:
    """A log's column by our name of it.

    Raises:
        InputError: the log has no such column; names the log (`key`), the column, the nearest one.
    """
    theirs = source.columns.get(name, name)
    refuse_missing(frame, source, theirs, key, f"name it in {key}.columns as {{{name}: …}}")
    return frame[f"`{theirs}`"]


def refuse_missing(
    frame: DataFrame, source: TableSource, name: str, key: str, remedy: str, what: str = "column"
) -> None:
    """Refuses a log that has no such column.

    Args:
        name: the log's name of it.
        remedy: what its reader can do.

    Raises:
        InputError: names the log (`key`), the column, the nearest one.
    """
    if name not in frame.columns:
        close = difflib.get_close_matches(name, frame.columns, n=1, cutoff=0.5)
        nearest = f"the nearest is {close[0]!r}" if close else f"it has {', '.join(frame.columns)}"
        raise InputError(
            f"{key} ({source.place}): there is no {what} {name!r}; {nearest}: {remedy}"
        )


def typed_column(
    frame: DataFrame, source: TableSource, name: str, key: str, types: Types, wanted: str
) -> Column:
    """A log's column, refused unless it has one of the types.

    Raises:
        InputError: names the log, the column, the type it has and the types that would do.
    """
    column = column_of(frame, source, name, key)
    found = frame.schema[source.columns.get(name, name)].dataType
    if not isinstance(found, types):
        raise InputError(
            f"{key} ({source.place}): the column {source.columns.get(name, name)!r} is "
            f"{found.simpleString()}, {wanted} is wanted: "
            f"{remedy_of_type(source, key, found, wanted)}"
        )
    return column


def remedy_of_type(source: TableSource, key: str, found: T.DataType, wanted: str) -> str:
    """What can be done about a column of another type."""
    option = OPTION_OF_TIMES.get(source.format)
    if wanted != TIME or option is None or not isinstance(found, T.StringType):
        return "convert it in the log"
    if source.options.get(option) == "true":
        return (
            f"say by {key}.options.timestampFormat how times are written, or mend those that are "
            "written otherwise"
        )
    return f'let Spark read times by {key}.options: {{{option}: "true"}}, or convert it in the log'


def check_key_types(frames: Mapping[str, DataFrame]) -> None:
    """Refuses logs whose ids or keys cannot be equal, a text here and a number there.

    Args:
        frames: canonical logs by their key in the config.

    Raises:
        InputError: names both logs and their types.
    """
    found: dict[str, tuple[str, T.DataType]] = {}
    for log, frame in frames.items():
        for field in frame.schema:
            if field.name not in (IMPRESSION_ID, CLICK_ID) and not is_key_column(field.name):
                continue
            first, wanted = found.setdefault(field.name, (log, field.dataType))
            if field.dataType != wanted:
                raise InputError(
                    f"{log}: {field.name.removeprefix(key_column(''))} is "
                    f"{field.dataType.simpleString()}, in {first} it is {wanted.simpleString()}: "
                    "write it alike in all logs"
                )


def identity(frame: DataFrame, source: LogSource, name: str, key: str) -> Column:
    """A column that tells rows apart, under our name of it."""
    return key_value(frame, source, name, key).alias(name)


def keys_of(
    frame: DataFrame, source: LogSource, names: Sequence[str], key: str
) -> list[Column]:
    """The keys by which events find their causes, under names that meet no others."""
    return [key_value(frame, source, name, key).alias(key_column(name)) for name in names]


def event_time(frame: DataFrame, source: LogSource, key: str) -> Column:
    """When a row came to be."""
    time = typed_column(frame, source, EVENT_TIME, key, TIME_TYPES, TIME)
    return time.cast("timestamp").alias(EVENT_TIME)


def partition(frame: DataFrame, source: LogSource, key: str) -> list[Column]:
    """The declared partition as `filed_day`, if there is one: NO_DAY for a text that is none."""
    if source.partition is None:
        return []
    refuse_missing(
        frame, source, source.partition, key, f"correct {key}.partition", "partition column"
    )
    found = frame.schema[source.partition].dataType
    if not isinstance(found, (T.DateType, T.StringType)):
        raise InputError(
            f"{key} ({source.place}): the partition column {source.partition!r} is "
            f"{found.simpleString()}, days written yyyy-MM-dd are wanted"
        )
    text = frame[f"`{source.partition}`"]
    # A cast alone takes 2026-03 for the first day of that month.
    is_written_out = F.lit(True) if isinstance(found, T.DateType) else text.rlike(DAY_PATTERN)
    day = F.coalesce(
        F.when(is_written_out, text.try_cast("date")), F.when(text.isNotNull(), F.lit(NO_DAY))
    )
    return [day.alias(FILED_DAY)]


def key_value(frame: DataFrame, source: TableSource, name: str, key: str) -> Column:
    """A column that tells rows apart, as a text or a long; an empty text is null, as it is of
    features."""
    column = typed_column(frame, source, name, key, KEY_TYPES, KEY)
    is_text = isinstance(frame.schema[source.columns.get(name, name)].dataType, T.StringType)
    return F.when(column != "", column).cast("string") if is_text else column.cast("bigint")
