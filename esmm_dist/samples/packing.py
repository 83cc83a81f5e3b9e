"""Rows of the logs as rows of the wire: ids two to a long, a day's rows in few columns.

labelling/wire says what the columns hold, and takes them apart.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, weights_column
from esmm_dist.labelling.flags import (
    GROUP_KEY_IS_NULL,
    MAX_FLAGS,
    MAX_FLAGS_OF_INT,
    counters_of_flags,
)
from esmm_dist.labelling.marks import DROPPED, MARK_BITS
from esmm_dist.labelling.wire import (
    CLICK_TIME,
    KEY,
    MARKS,
    NO_GROUP,
    NO_VALUE_OF,
    SAMPLE_ID,
    TIME,
    list_features,
    scalar_features,
    weighted_features,
)
from esmm_dist.samples.filing import DAY, MARK, UNTIMELY
from esmm_dist.samples.logs import (
    CONVERSION_ID,
    EVENT_TIME,
    GROUP_KEY,
    IMPRESSION_ID,
    TYPE,
    feature_column,
)


def pack_impressions(
    impressions: DataFrame, features: Sequence[Feature], of_events: Sequence[str] = ()
) -> DataFrame:
    """Encoded impressions with `day` and `mark` as rows of the wire, and their day.

    Args:
        of_events: the names in `NO_VALUE_OF` that some event has.
    """
    group = F.when(F.col(GROUP_KEY).isNotNull(), F.xxhash64(GROUP_KEY))
    flags = counters_of_flags(features)
    if len(flags) > MAX_FLAGS:
        raise InputError(
            f"features: their lists, weights, sources and times are told by {len(flags)} flags a "
            f"row, at most {MAX_FLAGS} fit: leave out some of features.*.time"
        )
    # Few fit the type that marks have by themselves; where they do not, Spark widens all rows'.
    kind = "int" if len(flags) <= MAX_FLAGS_OF_INT else "bigint"
    marks = F.col(MARK).cast(kind)
    for bit, flag in enumerate(flags.values()):
        marks = marks + F.when(F.col(flag), F.lit(1 << MARK_BITS + bit)).otherwise(F.lit(0))
    impressions = impressions.withColumn(GROUP_KEY_IS_NULL, F.col(GROUP_KEY).isNull())
    return impressions.select(
        DAY,
        *_keys(F.coalesce(group, F.lit(NO_GROUP)), marks),
        *[F.lit(NO_VALUE_OF[name]).alias(name) for name in of_events],
        *_pairs([F.col(feature_column(f.name)) for f in scalar_features(features)]),
        *[
            F.col(feature_column(feature.name)).alias(f"list_{n}")
            for n, feature in enumerate(list_features(features))
        ],
        *[
            F.col(feature_column(weights_column(feature))).alias(f"weights_{n}")
            for n, feature in enumerate(weighted_features(features))
        ],
    )


def pack_events(
    events: DataFrame, features: Sequence[Feature], of_events: Sequence[str] = ()
) -> DataFrame:
    """Clicks, conversions, or the bare impressions of before a day, with `day` and `mark`, as rows
    of the wire, and their day.

    Args:
        of_events: as `pack_impressions` takes them.
    """
    key = F.lit(0).cast("bigint")
    if CONVERSION_ID in events.columns:
        told = [name for name in (EVENT_TIME, TYPE, CLICK_TIME) if name in events.columns]
        key = F.coalesce(F.when(F.col(CONVERSION_ID).isNotNull(), F.xxhash64(CONVERSION_ID)),
                         F.xxhash64(*told))
    elif TYPE in events.columns:
        key = F.coalesce(F.xxhash64(TYPE), key)
    marks = F.col(MARK).cast("int")
    if UNTIMELY in events.columns:
        marks = marks + F.when(F.col(UNTIMELY), F.lit(1 << MARK_BITS)).otherwise(F.lit(0))
    return events.select(
        DAY,
        *_keys(key, marks),
        *[
            F.coalesce(F.col(name) if name in events.columns else F.lit(None),
                       F.lit(NO_VALUE_OF[name])).alias(name)
            for name in of_events
        ],
        *_pairs([F.lit(0)] * len(scalar_features(features))),
        *[F.lit(bytearray()).alias(f"list_{n}") for n in range(len(list_features(features)))],
        *[
            F.array().cast("array<float>").alias(f"weights_{n}")
            for n in range(len(weighted_features(features)))
        ],
    )


def _keys(key: Column, marks: Column) -> list[Column]:
    # What takes part in nothing is spread over the files, so that no bot's clicks meet in one.
    takes_part = F.col(IMPRESSION_ID).isNotNull() & (F.col(MARK) < min(DROPPED))
    identity = F.coalesce(
        F.when(takes_part, F.xxhash64(IMPRESSION_ID)), F.xxhash64(EVENT_TIME, IMPRESSION_ID)
    )
    return [
        identity.alias(SAMPLE_ID),
        F.coalesce(F.unix_micros(EVENT_TIME), F.lit(0)).alias(TIME),
        key.alias(KEY),
        marks.alias(MARKS),
    ]


def _pairs(ids: Sequence[Column]) -> list[Column]:
    longs = [number.cast("bigint") for number in ids]
    if len(longs) % 2:
        longs.append(F.lit(0).cast("bigint"))
    return [
        F.shiftleft(upper, 32).bitwiseOR(lower).alias(f"pair_{n}")
        for n, (upper, lower) in enumerate(zip(longs[::2], longs[1::2]))
    ]
