"""Impressions as they lie, in columns of our names and types.

It looks at the log's schema alone, never at its rows.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.features import Feature, source_of, time_of
from esmm_dist.contract.logs import Logs, LogSource
from esmm_dist.labelling.flags import later_column
from esmm_dist.samples.logged_features import feature_values
from esmm_dist.samples.logs import (
    EVENT_TIME,
    GROUP_KEY,
    IMPRESSION_ID,
    TIME,
    TIME_TYPES,
    event_time,
    identity,
    key_value,
    keys_of,
    partition,
    refuse_missing,
    snapshot_key_column,
    typed_column,
)


def read_impressions(
    frame: DataFrame, logs: Logs, features: Sequence[Feature], group_key: str,
    key_of_snapshot: Mapping[str, str],
) -> DataFrame:
    """impression_id, event_time, group_key, the keys by which clicks find impressions and snapshots
    are looked up, and the features of the log under names that meet no others.

    Raises:
        InputError: a column is missing, those of outcomes among them, or of a wrong type.
    """
    key, source = "logs.impressions", logs.impressions
    for outcome in source.outcomes:
        # A name that the log lacks guards against nothing: the column meant is another one.
        refuse_missing(
            frame, source, source.columns.get(outcome, outcome), key, f"correct {key}.outcomes"
        )
    return frame.select(
        identity(frame, source, IMPRESSION_ID, key),
        event_time(frame, source, key),
        key_value(frame, source, group_key, key).alias(GROUP_KEY),
        *keys_of(frame, source, logs.clicks.keys, key),
        *[key_value(frame, source, column, key).alias(snapshot_key_column(name))
          for name, column in key_of_snapshot.items()],
        *feature_values(frame, source, [f for f in features if source_of(f) is None], key),
        *_lateness(frame, source, features, key),
        *partition(frame, source, key),
    )


def _lateness(
    frame: DataFrame, source: LogSource, features: Sequence[Feature], key: str
) -> list[Column]:
    """Of each feature with a time, whether its value is of after the impression."""
    shown = typed_column(frame, source, EVENT_TIME, key, TIME_TYPES, TIME)
    return [
        F.coalesce(
            typed_column(frame, source, name, key, TIME_TYPES, TIME) > shown, F.lit(False)
        ).alias(later_column(feature))
        for feature in features if (name := time_of(feature)) is not None
    ]
