"""Clicks and conversions as they lie, in columns of our names and types.

It looks at a log's schema alone, never at its rows.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from esmm_dist.contract.logs import ConversionSource, Logs
from esmm_dist.labelling.wire import VALUE
from esmm_dist.samples.logs import (
    BOT_KEY,
    CLICK_ID,
    CONVERSION_ID,
    IMPRESSION_ID,
    NUMBER,
    NUMBER_TYPES,
    TYPE,
    event_time,
    identity,
    key_value,
    keys_of,
    partition,
    typed_column,
)

# Of a conversion; the sum of a sample's has to be a float32.
MAX_VALUE = 1e30


def read_clicks(frame: DataFrame, logs: Logs) -> DataFrame:
    """event_time of every click, and what attributes it and its conversions: impression_id or keys,
    click_id or keys, and by whom it was made."""
    key, source = "logs.clicks", logs.clicks
    ids = [IMPRESSION_ID] if source.attribute_by == "impression_id" else []
    ids += [CLICK_ID] if logs.conversions.attribute_by == "click_id" else []
    keys = dict.fromkeys((*source.keys, *logs.conversions.keys))
    bot_key = [identity(frame, source, source.bots.key, key).alias(BOT_KEY)] if source.bots else []
    return frame.select(
        *[identity(frame, source, name, key) for name in ids],
        event_time(frame, source, key),
        *keys_of(frame, source, list(keys), key),
        *bot_key,
        *partition(frame, source, key),
    )


def read_conversions(frame: DataFrame, source: ConversionSource) -> DataFrame:
    """event_time and type of every conversion, what attributes it (impression_id, click_id or
    keys), and its id and value where they are declared.

    type is null if none is declared, value if it is no number that a float32 can hold.
    """
    key = "logs.conversions"
    kind = (
        typed_column(frame, source, TYPE, key, (T.StringType,), "a text")
        if source.types
        else F.lit(None).cast("string")
    )
    ids = [] if source.attribute_by == "keys" else [source.attribute_by]
    own_id = [] if source.conversion_id is None else [
        key_value(frame, source, source.conversion_id, key).alias(CONVERSION_ID)
    ]
    return frame.select(
        *[identity(frame, source, name, key) for name in ids],
        event_time(frame, source, key),
        *keys_of(frame, source, source.keys, key),
        kind.alias(TYPE),
        *own_id,
        *_value(frame, source, key),
        *partition(frame, source, key),
    )


def _value(frame: DataFrame, source: ConversionSource, key: str) -> list[Column]:
    """What a conversion is worth, as `value`, if the config says where that stands."""
    if source.value is None:
        return []
    number = typed_column(frame, source, source.value, key, NUMBER_TYPES, NUMBER).cast("double")
    return [F.when(F.abs(number) <= MAX_VALUE, number).alias(VALUE)]
