"""The rows to score: any table that has the features' columns, encoded as samples are.

No label plays a part, and no row is lost: one without a key, or that stands twice, is scored too.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.encodings import FIRST_VOCABULARY_ID, Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.exported import inputs_of
from esmm_dist.contract.features import Feature, source_of, sources_of
from esmm_dist.contract.logs import ImpressionSource
from esmm_dist.contract.scores import DAY
from esmm_dist.contract.sections import Config
from esmm_dist.contract.value_kinds import ValueKind
from esmm_dist.samples.days import Calendar
from esmm_dist.samples.encoding import encode, tables_to_join
from esmm_dist.samples.filing import filed
from esmm_dist.samples.io import load_table, open_snapshots
from esmm_dist.samples.logged_features import feature_values, value_kinds
from esmm_dist.samples.logs import (
    FILED_DAY,
    IMPRESSION_ID,
    column_of,
    event_time,
    feature_column,
    key_value,
    partition,
    snapshot_key_column,
)
from esmm_dist.samples.snapshots import as_they_stood, check_snapshot_keys

SECTION = "score.impressions"


class ScoringTable:
    """The table of a config, opened."""

    def __init__(
        self, spark: SparkSession, config: Config, features: Sequence[Feature],
        kinds: Mapping[str, ValueKind],
    ) -> None:
        """Looks at schemas alone.

        Args:
            features: those that the model was trained on.
            kinds: how the values that it learned from were logged, by feature.

        Raises:
            InputError: the table or a snapshot is missing, or a column is missing, of a wrong type,
                or a text where the model learned from numbers.
        """
        self._spark, self._config, self._features = spark, config, tuple(features)
        self._calendar = Calendar.of(config.logs.day_timezone)
        self.source, self.section = source_to_score(config)
        # All of it, whatever samples.as_of hides of the logs: every row of a day is to be scored.
        frame = load_table(spark, self.source, self.section, as_of=None)
        self._snapshots = open_snapshots(spark, config)
        self._rows = self._read(frame)
        self._refuse_other_kinds(kinds)
        check_snapshot_keys(self._rows, self._snapshots)

    @property
    def keys(self) -> dict[str, str]:
        """The keys by the columns in which they travel, which no feature can be called."""
        return {f"key {place}": name for place, name in enumerate(self._config.score.keys)}

    def count(self, days: Sequence[date]) -> dict[date, int]:
        """Rows filed under each of the days.

        Raises:
            InputError: there are none for a day.
        """
        counted = filed(self._rows, days, self._calendar).groupBy(FILED_DAY).count().collect()
        num_rows_of_day = {row[FILED_DAY]: row["count"] for row in counted}
        for day in days:
            if day not in num_rows_of_day:
                raise InputError(
                    f"{self.section} ({self.source.place}): no rows for the day {day}: ask for "
                    "days that the table holds, or write that day again"
                )
        return num_rows_of_day

    def encoded(self, days: Sequence[date], encodings: Encodings) -> DataFrame:
        """`day`, the keys by the columns in which they travel, and the model's inputs by name.

        Raises:
            InputError: samples.as_of hides of the snapshots what was known on the days.
        """
        rows = filed(self._rows, days, self._calendar)
        if self._snapshots:
            end, as_of = self._calendar.end(max(days)), self._config.samples.as_of
            if as_of is not None and as_of < end:
                raise InputError(
                    f"samples.as_of = {as_of.isoformat()} hides what snapshots knew later, and "
                    f"{max(days)} ends after it: move both with --for-day, or set it later"
                )
            rows = as_they_stood(rows, self._snapshots, self._config.logs.snapshots, end)
        large = {table: self._vocabulary(encodings.vocabularies[table])
                 for table in tables_to_join(self._features, encodings)}
        inputs = [one.name for one in inputs_of(self._features)]
        return encode(rows, self._features, encodings, large).select(
            F.col(FILED_DAY).alias(DAY), *self.keys,
            *[F.col(feature_column(name)).alias(name) for name in inputs],
        )

    def _read(self, frame: DataFrame) -> DataFrame:
        source, section = self.source, self.section
        own = [feature for feature in self._features if source_of(feature) is None]
        keys = {column: column_of(frame, source, name, section)
                for column, name in self.keys.items()}
        key_of_snapshot = {
            snapshot.name: snapshot.key for snapshot in self._config.logs.snapshots
            if snapshot.name in sources_of(self._features)
        }
        needs_time = source.partition is None or key_of_snapshot
        return frame.select(
            *[column.alias(name) for name, column in keys.items()],
            *feature_values(frame, source, own, section),
            *partition(frame, source, section),
            *([event_time(frame, source, section)] if needs_time else []),
            *[key_value(frame, source, name, section).alias(snapshot_key_column(snapshot))
              for snapshot, name in key_of_snapshot.items()],
            # by which rows that have no key of a snapshot are spread
            *([F.xxhash64(*keys.values()).alias(IMPRESSION_ID)] if key_of_snapshot else []),
        )

    def _refuse_other_kinds(self, learned: Mapping[str, ValueKind]) -> None:
        """A text and a number of the same digits hash to other ids: every score would be another
        one, and none would look wrong."""
        found = value_kinds([self._rows, *self._snapshots.values()], self._features)
        for name, kind in found.items():
            if learned.get(name, kind) != kind:
                raise InputError(
                    f"{self.section} ({self.source.place}): the values of {name} are {kind}s, the "
                    f"model has learned from {learned[name]}s: write them alike"
                )

    def _vocabulary(self, keys: Sequence[str]) -> DataFrame:
        """A vocabulary as rows (key, id); executors need not see the file it comes from."""
        ids = range(FIRST_VOCABULARY_ID, FIRST_VOCABULARY_ID + len(keys))
        rows = pa.table({"key": pa.array(keys, pa.string()), "id": pa.array(ids, pa.int32())})
        return self._spark.createDataFrame(rows)


def source_to_score(config: Config) -> tuple[ImpressionSource, str]:
    """The table that a config scores, and the section that declares it."""
    if config.score.impressions is not None:
        return config.score.impressions, SECTION
    return config.logs.impressions, "logs.impressions"
