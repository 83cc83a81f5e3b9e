"""From a log as it lies to columns of our names and types; refuses what it cannot read.

It looks at a log's schema alone, never at its rows.
"""

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import (
    CategoricalFeature,
    CrossFeature,
    Feature,
    MultiValuedFeature,
    weights_column,
)
from esmm_dist.contract.logs import ConversionSource, LogSource

IMPRESSION_ID = "impression_id"
EVENT_TIME = "event_time"
TYPE = "type"
VALUE = "value"
GROUP_KEY = "group_key"
FILED_DAY = "filed_day"

KEY_TYPES = (T.StringType, T.ByteType, T.ShortType, T.IntegerType, T.LongType)
TIME_TYPES = (T.TimestampType, T.TimestampNTZType)
VALUE_TYPES = (*KEY_TYPES, T.FloatType, T.DoubleType, T.BooleanType)
NUMBER_TYPES = (*VALUE_TYPES[1:], T.DecimalType)
KEY = "a text or a whole number"
TIME = "a timestamp"
ANY_VALUE = "a text, a number or a boolean"
NUMBER = "a number or a boolean"
# Of a conversion; the sum of a sample's has to be a float32.
MAX_VALUE = 1e30

Types = tuple[type[T.DataType], ...]


def feature_column(name: str) -> str:
    """A feature's column until the samples are written: a feature may be called `clicks`."""
    return f"feature_{name}"


def column_of(frame: DataFrame, source: LogSource, name: str, key: str) -> Column:
    """A log's column by our name of it.

    Raises:
        InputError: the log has no such column; names the log (`key`), the column, the nearest one.
    """
    theirs = source.columns.get(name, name)
    if theirs not in frame.columns:
        close = difflib.get_close_matches(theirs, frame.columns, n=1, cutoff=0.5)
        nearest = f"the nearest is {close[0]!r}" if close else f"it has {', '.join(frame.columns)}"
        raise InputError(
            f"{key} ({source.path}): there is no column {theirs!r}; {nearest}: "
            f"name it in {key}.columns as {{{name}: …}}"
        )
    return frame[f"`{theirs}`"]


def typed_column(
    frame: DataFrame, source: LogSource, name: str, key: str, types: Types, wanted: str
) -> Column:
    """A log's column, refused unless it has one of the types.

    Raises:
        InputError: names the log, the column, the type it has and the types that would do.
    """
    column = column_of(frame, source, name, key)
    found = frame.schema[source.columns.get(name, name)].dataType
    if not isinstance(found, types):
        raise InputError(
            f"{key} ({source.path}): the column {source.columns.get(name, name)!r} is "
            f"{found.simpleString()}, {wanted} is wanted: convert it in the log"
        )
    return column


def visible(
    frame: DataFrame, source: LogSource, key: str, as_of: datetime | None
) -> DataFrame:
    """A log as it lay at an instant: the rows that had become known by then.

    A row is known from its ingest time on; where the log has none, or the row's is null, from its
    event time on. A row without either was there as far as anybody can tell.

    Args:
        as_of: None: all rows.

    Raises:
        InputError: the declared column of ingest times is missing, or holds no timestamps.
    """
    times = [] if source.ingest_time is None else [_ingest_time(frame, source, key)]
    if as_of is None:
        return frame
    times.append(typed_column(frame, source, EVENT_TIME, key, TIME_TYPES, TIME))
    known = F.coalesce(*[time.cast("timestamp") for time in times])
    return frame.where(known.isNull() | (known <= F.lit(as_of)))


def _ingest_time(frame: DataFrame, source: LogSource, key: str) -> Column:
    name = str(source.ingest_time)
    if name not in frame.columns:
        close = difflib.get_close_matches(name, frame.columns, n=1, cutoff=0.5)
        hint = f"; the nearest is {close[0]!r}" if close else ""
        raise InputError(
            f"{key} ({source.path}): there is no column {name!r}{hint}: correct {key}.ingest_time"
        )
    found = frame.schema[name].dataType
    if not isinstance(found, TIME_TYPES):
        raise InputError(
            f"{key} ({source.path}): the column {name!r} of {key}.ingest_time is "
            f"{found.simpleString()}, {TIME} is wanted: convert it in the log"
        )
    return frame[f"`{name}`"]


def check_key_types(frames: Mapping[str, DataFrame]) -> None:
    """Refuses logs whose ids cannot be equal, a text here and a number there.

    Args:
        frames: canonical logs by their key in the config.

    Raises:
        InputError: names both logs and their types.
    """
    (first, frame), *others = frames.items()
    wanted = frame.schema[IMPRESSION_ID].dataType
    for key, other in others:
        found = other.schema[IMPRESSION_ID].dataType
        if found != wanted:
            raise InputError(
                f"{key}: impression_id is {found.simpleString()}, in {first} it is "
                f"{wanted.simpleString()}: write it alike in all logs"
            )


def read_impressions(
    frame: DataFrame, source: LogSource, features: Sequence[Feature], group_key: str
) -> DataFrame:
    """impression_id, event_time, group_key, and the features under names that meet no others."""
    key = "logs.impressions"
    group = typed_column(frame, source, group_key, key, KEY_TYPES, KEY)
    values = {
        feature.name: _feature_column(frame, source, feature, key)
        for feature in features if not isinstance(feature, CrossFeature)
    }
    for feature in features:
        if isinstance(feature, MultiValuedFeature) and feature.weights is not None:
            values[weights_column(feature)] = _list_column(
                frame, source, feature.weights, key, NUMBER_TYPES, f"a list, each weight {NUMBER},"
            )
    return frame.select(
        *_id_and_time(frame, source, key),
        group.alias(GROUP_KEY),
        *[value.alias(feature_column(name)) for name, value in values.items()],
        *_partition(frame, source, key),
    )


def read_clicks(frame: DataFrame, source: LogSource) -> DataFrame:
    """impression_id and event_time of every click."""
    key = "logs.clicks"
    return frame.select(*_id_and_time(frame, source, key), *_partition(frame, source, key))


def read_conversions(frame: DataFrame, source: ConversionSource) -> DataFrame:
    """impression_id, event_time and type of every conversion, and its value where one is declared.

    type is null if none is declared, value if it is no number that a float32 can hold.
    """
    key = "logs.conversions"
    kind = (
        typed_column(frame, source, TYPE, key, (T.StringType,), "a text")
        if source.types
        else F.lit(None).cast("string")
    )
    return frame.select(
        *_id_and_time(frame, source, key), kind.alias(TYPE), *_value(frame, source, key),
        *_partition(frame, source, key),
    )


def _value(frame: DataFrame, source: ConversionSource, key: str) -> list[Column]:
    """What a conversion is worth, as `value`, if the config says where that stands."""
    if source.value is None:
        return []
    number = typed_column(frame, source, source.value, key, NUMBER_TYPES, NUMBER).cast("double")
    return [F.when(F.abs(number) <= MAX_VALUE, number).alias(VALUE)]


def _id_and_time(frame: DataFrame, source: LogSource, key: str) -> list[Column]:
    identity = typed_column(frame, source, IMPRESSION_ID, key, KEY_TYPES, KEY)
    time = typed_column(frame, source, EVENT_TIME, key, TIME_TYPES, TIME)
    is_text = isinstance(
        frame.schema[source.columns.get(IMPRESSION_ID, IMPRESSION_ID)].dataType, T.StringType
    )
    return [
        identity.cast("string" if is_text else "bigint").alias(IMPRESSION_ID),
        time.cast("timestamp").alias(EVENT_TIME),
    ]


def _partition(frame: DataFrame, source: LogSource, key: str) -> list[Column]:
    """The declared partition as `filed_day`, if there is one."""
    if source.partition is None:
        return []
    if source.partition not in frame.columns:
        close = difflib.get_close_matches(source.partition, frame.columns, n=1, cutoff=0.5)
        hint = f"; the nearest is {close[0]!r}" if close else ""
        raise InputError(
            f"{key} ({source.path}): there is no partition column {source.partition!r}{hint}: "
            f"correct {key}.partition"
        )
    found = frame.schema[source.partition].dataType
    if not isinstance(found, (T.DateType, T.StringType)):
        raise InputError(
            f"{key} ({source.path}): the partition column {source.partition!r} is "
            f"{found.simpleString()}, days written yyyy-MM-dd are wanted"
        )
    return [frame[f"`{source.partition}`"].try_cast("date").alias(FILED_DAY)]


def _feature_column(frame: DataFrame, source: LogSource, feature: Feature, key: str) -> Column:
    match feature:
        case CategoricalFeature():
            return typed_column(frame, source, feature.name, key, VALUE_TYPES, ANY_VALUE)
        case MultiValuedFeature():
            wanted = f"a list, each value {ANY_VALUE},"
            return _list_column(frame, source, feature.name, key, VALUE_TYPES, wanted)
    return typed_column(frame, source, feature.name, key, NUMBER_TYPES, NUMBER)


def _list_column(
    frame: DataFrame, source: LogSource, name: str, key: str, types: Types, wanted: str
) -> Column:
    column = typed_column(frame, source, name, key, (T.ArrayType,), wanted)
    found = frame.schema[source.columns.get(name, name)].dataType
    assert isinstance(found, T.ArrayType)
    if not isinstance(found.elementType, types):
        raise InputError(
            f"{key} ({source.path}): the column {name!r} is {found.simpleString()}, {wanted} is "
            "wanted: convert it in the log"
        )
    return column
