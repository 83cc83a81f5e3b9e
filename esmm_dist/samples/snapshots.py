"""Features as they stood at the impression: the latest row of a snapshot at or before it.

It looks at no label and encodes nothing. All rows of a key are sorted by time and walked through
once, whatever their number: no impression is paired with the many rows that do not hold for it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, source_of
from esmm_dist.contract.logs import SnapshotSource
from esmm_dist.labelling.flags import missing_column
from esmm_dist.samples.logged_features import feature_values
from esmm_dist.samples.logs import (
    EVENT_TIME,
    IMPRESSION_ID,
    TIME,
    TIME_TYPES,
    key_value,
    snapshot_key_column,
    typed_column,
)
from esmm_dist.samples.visibility import known_from

KNOWN = "known_from"
HELD = "held"
FOUND = "found"
TIE = "tie"
NUM_NULL_PARTS = 1024
MICROSECOND = timedelta(microseconds=1)


def read_snapshot(
    frame: DataFrame, source: SnapshotSource, features: Sequence[Feature]
) -> DataFrame:
    """Its key, event_time, the instant from which each row was known, and the features whose source
    it is.

    Raises:
        InputError: a column is missing or of a wrong type.
    """
    key = f"logs.snapshots.{source.name}"
    time = typed_column(frame, source, EVENT_TIME, key, TIME_TYPES, TIME)
    own = [feature for feature in features if source_of(feature) == source.name]
    return frame.select(
        key_value(frame, source, source.key, key).alias(snapshot_key_column(source.name)),
        time.cast("timestamp").alias(EVENT_TIME),
        known_from(frame, source, key).alias(KNOWN),
        *feature_values(frame, source, own, key),
    )


def check_snapshot_keys(impressions: DataFrame, snapshots: Mapping[str, DataFrame]) -> None:
    """Refuses keys that cannot be equal, a text here and a number there.

    Raises:
        InputError: names the snapshot and both types.
    """
    for name, snapshot in snapshots.items():
        column = snapshot_key_column(name)
        wanted, found = (frame.schema[column].dataType for frame in (impressions, snapshot))
        if found != wanted:
            raise InputError(
                f"logs.snapshots.{name}: its key is {found.simpleString()}, in logs.impressions it "
                f"is {wanted.simpleString()}: write it alike in both"
            )


def as_they_stood(
    impressions: DataFrame, snapshots: Mapping[str, DataFrame],
    sources: Sequence[SnapshotSource], end: datetime,
) -> DataFrame:
    """Impressions with the features of every snapshot, null where it holds nothing for them.

    A row holds from its event_time on, but not before it was known: whoever served the impression
    could not have looked it up. Of several rows of one key and instant the one that became known
    last holds, which may correct the others, and of those of one such instant the one whose content
    hashes highest, which is arbitrary but always the same one.

    Args:
        impressions: as `logs` reads them, with `snapshot_key_column`s.
        snapshots: as `read_snapshot` gives them, by name.
        end: no impression is later.
    """
    for source in sources:
        if source.name in snapshots:
            rows = snapshots[source.name].where(
                (F.col(EVENT_TIME) < F.lit(end)) & (F.col(KNOWN) < F.lit(end))
            )
            impressions = _with_snapshot(impressions, rows, source)
    return impressions


def _with_snapshot(
    impressions: DataFrame, snapshot: DataFrame, source: SnapshotSource
) -> DataFrame:
    key = snapshot_key_column(source.name)
    values = [c for c in snapshot.columns if c not in (key, EVENT_TIME, KNOWN)]
    rows = snapshot.where(F.col(key).isNotNull()).select(
        key, F.greatest(EVENT_TIME, KNOWN).alias(EVENT_TIME),
        F.struct(EVENT_TIME, KNOWN, _content(values).alias(TIE), *values).alias(HELD),
    )
    # The greatest begins latest: of two rows that came to light out of order the newer one holds.
    found = F.max(HELD).over(_in_order_of_time(key))
    kept = [column for column in impressions.columns if column != key]
    return (
        impressions.unionByName(rows, allowMissingColumns=True)
        .withColumn(FOUND, found)
        .where(F.col(HELD).isNull())
        .withColumn(FOUND, F.when(_is_young(source), F.col(FOUND)))
        .select(
            *kept,
            *[F.col(FOUND)[column].alias(column) for column in values],
            F.col(FOUND).isNull().alias(missing_column(source.name)),
        )
    )


def _in_order_of_time(key: str) -> WindowSpec:
    # Impressions without a key meet nothing: they are spread, so that no task gets them all.
    spread = F.when(F.col(key).isNull(), F.xxhash64(IMPRESSION_ID, EVENT_TIME) % NUM_NULL_PARTS)
    return (
        Window.partitionBy(F.col(key), spread)
        .orderBy(EVENT_TIME, F.col(HELD).isNull())
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )


def _content(values: Sequence[str]) -> Column:
    """A hash of some columns; the null flags keep (null, a) apart from (a, null)."""
    return F.xxhash64(*[part for v in values for part in (F.col(v), F.col(v).isNull())])


def _is_young(source: SnapshotSource) -> Column:
    if source.max_age_hours is None:
        return F.lit(True)
    age = F.unix_micros(EVENT_TIME) - F.unix_micros(F.col(FOUND)[EVENT_TIME])
    return age <= F.lit(timedelta(hours=source.max_age_hours) // MICROSECOND)
