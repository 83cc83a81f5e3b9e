"""Builds days of samples: count what lies in the logs, label and encode, write, check, publish.

The order of these steps is all that is decided here; a build that fails publishes nothing.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import date

from pyspark.sql import SparkSession

from esmm_dist.contract.encodings import Encodings, num_rows_of_table
from esmm_dist.contract.features import Feature, is_learned
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.manifest import Day, Manifest
from esmm_dist.contract.schema import GROUP_ID, sample_columns
from esmm_dist.contract.sections import Config
from esmm_dist.contract.settings import reading_of
from esmm_dist.labelling.sample_file import (
    CONTENT_SCHEMA,
    FIRST_TIME,
    LAST_TIME,
    SampleFileWriter,
    merged,
)
from esmm_dist.samples.census import census
from esmm_dist.samples.counters import (
    check_identities,
    counters_of,
    refuse_nameless,
    refuse_no_samples,
)
from esmm_dist.samples.day_rows import impressions_and_before, impressions_of, rows_of_days
from esmm_dist.samples.days import instant_of, micros, micros_of_instant
from esmm_dist.samples.drafts import written
from esmm_dist.samples.encoding import tables_to_join
from esmm_dist.samples.failures import naming_the_file
from esmm_dist.samples.fitting import Sighting, fitted, sightings
from esmm_dist.samples.horizon import (
    known_by,
    lesson_in_force,
    refuse_the_future,
    text_of_horizon,
)
from esmm_dist.samples.io import (
    Store,
    build_folder,
    now,
    open_logs,
    open_snapshots,
)
from esmm_dist.samples.label_rules import credit_rules, rate_of_day, thinning
from esmm_dist.samples.lateness import refuse_later_values
from esmm_dist.samples.layout import Layout, num_files
from esmm_dist.samples.learning import InForce, encodings_to_use
from esmm_dist.samples.logged_features import kind_of, value_kinds
from esmm_dist.samples.logs import GROUP_KEY
from esmm_dist.samples.publication import (
    publish,
    refuse_other_kinds,
    refuse_other_reading,
    refuse_other_settings,
)
from esmm_dist.samples.ripening import (
    fake_negative_after_s,
    refuse_open_windows,
    refuse_riper,
    text_of_verdicts,
    verdicts,
)
from esmm_dist.samples.schedule import lateness, repeat_span, text_of
from esmm_dist.samples.snapshots import check_snapshot_keys
from esmm_dist.samples.terminal import phase

MAX_ROWS_PER_JOB = 20_000_000
MAX_DAYS_PER_JOB = 31


class Builder:
    """One run of the job: the logs, the samples directory and what was found there."""

    def __init__(
        self, spark: SparkSession, config: Config, refit: bool, append: bool = False,
        goes_back: bool = False, logs_changed: bool = False,
    ) -> None:
        """Opens the logs and the directory.

        Args:
            refit: begin the directory anew, its encodings too.
            append: give ids to keys that have become frequent in samples.fit_days.
            goes_back: replace days that were built as of a later instant, too.
            logs_changed: the logs' columns may differ from those that other days were built from.

        Raises:
            InputError: a log or the directory cannot be read, or its days follow other rules.
        """
        self._config = config
        self._refit = refit
        self._append = append
        self._goes_back = goes_back
        self._logs_changed = logs_changed
        refuse_the_future(config, now())
        self.store = Store(spark, config.samples.path)
        self._base, _ = self.store.latest()
        if self._base is not None and not refit:
            refuse_other_settings(self._base, config, append)
            lesson_in_force(self._base.encodings, config)
        self._frames = open_logs(spark, config)
        self._snapshots = open_snapshots(spark, config)
        check_snapshot_keys(self._frames.impressions, self._snapshots)
        self._kinds = value_kinds(
            [self._frames.impressions, *self._snapshots.values()], config.features
        ) | {GROUP_ID: kind_of(self._frames.impressions.schema[GROUP_KEY].dataType)}
        self._counts: dict[str, dict[date, int]] = {}

    def due(self, days: Sequence[date]) -> tuple[date, ...]:
        """Those of the days that are not built yet, or whose labels have ripened since they were;
        says of each what it found."""
        built = {} if self._base is None else {day.day: day for day in self._base.days}
        found = verdicts(days, built, self._config, now())
        print(text_of_verdicts(found), file=sys.stderr)
        return tuple(verdict.day for verdict in found if verdict.is_due)

    def build(self, days: Sequence[date]) -> Manifest:
        """Builds and publishes the days, as many at a time as make a job worth its preparation.

        Returns:
            The manifest published last.

        Raises:
            InputError: a log is missing or broken, a day is empty, windows are still open, or
                settings differ from those that other days were built with.
            AssertionError: rows do not add up; the day is not published.
        """
        config = self._config
        self._refuse_conflicts(days)
        with phase(f"counting the logs of {text_of(days)}{text_of_horizon(config)}"):
            self._counts, notes = census(self._frames, days, self._fit_days(), config, now())
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        known = None if self._base is None or self._refit else self._base.encodings
        reference = encodings_to_use(
            self.store, known, self._append, config, self._learned
        )
        ids = InForce.at_as_of(self.store, reference, config)
        num_rows_of_table(config.features, ids.encodings)
        built: list[Day] = []
        manifest: Manifest | None = None
        for some in self._jobs(days):
            num_rows = sum(self._counts["impressions_in"][day] for day in some)
            with phase(f"building {text_of(some)}: {num_rows:,} impressions"):
                built += self._build_days(some, ids)
                # What starts anew must not be seen with half of its days.
                if not self._refit or len(built) == len(days):
                    manifest = publish(
                        self.store, config, reference, built, self._refit,
                        goes_back=self._goes_back,
                    )
        assert manifest is not None
        return manifest

    def _refuse_conflicts(self, days: Sequence[date]) -> None:
        """Before anything is read, what time and the days that there are have against these."""
        refuse_open_windows(days, self._config, now())
        if self._base is None or self._refit:
            return
        refuse_other_kinds(self._base, self._kinds, self._config)
        if not self._goes_back:
            refuse_riper(self._base.days, days, self._config)
        if not self._logs_changed:
            refuse_other_reading(self._base, days, self._config)

    def _jobs(self, days: Sequence[date]) -> Iterator[list[date]]:
        """Small days share a job: preparing one takes Spark seconds, however few its rows are."""
        some: list[date] = []
        num_rows = 0
        for day in sorted(days):
            num_rows += self._counts["impressions_in"][day]
            if some and (num_rows > MAX_ROWS_PER_JOB or len(some) == MAX_DAYS_PER_JOB):
                yield some
                some, num_rows = [], self._counts["impressions_in"][day]
            some.append(day)
        yield some

    def _fit_days(self) -> tuple[date, ...]:
        """The days to learn ids from, where that has to be done."""
        learns = self._base is None or self._refit or self._append
        learns &= any(is_learned(feature) for feature in self._config.features)
        return tuple(days_of(self._config.samples.fit_days)) if learns else ()

    def _learned(self, features: Sequence[Feature]) -> Encodings:
        """What the fit days teach about some features."""
        if not any(is_learned(feature) for feature in features):
            return Encodings()
        fit_days = days_of(self._config.samples.fit_days)
        with phase(f"learning vocabularies and quantiles from {text_of(fit_days)}"):
            impressions = impressions_and_before(
                fit_days, self._frames, self._snapshots, self._config
            )
            num_rows = sum(self._counts["impressions_in"][day] for day in fit_days)
            seen = sightings(impressions, features, num_rows, repeat_span(self._config))
            with naming_the_file(f"logs.impressions ({self._config.logs.impressions.place})"):
                return fitted((Sighting(*row) for row in seen.toLocalIterator()), features)

    def _build_days(self, days: Sequence[date], ids: InForce) -> list[Day]:
        """Writes and checks days; they are not yet published."""
        config = self._config
        layout = Layout({
            day: num_files(self._counts["impressions_in"][day], config.samples.rows_per_file)
            for day in days
        })
        large = {
            table: self.store.vocabulary(
                ids.reference, table, len(ids.encodings.vocabularies[table])
            )
            for table in tables_to_join(config.features, ids.encodings)
        }
        rows = rows_of_days(self._frames, self._snapshots, config, days, ids.encodings, large)
        as_of = config.samples.as_of
        writer = SampleFileWriter(
            config.features,
            credit_rules(config),
            config.samples.shuffle_seed,
            None if as_of is None else micros_of_instant(as_of),
            micros(lateness(config)),
            thinning(config),
            fake_negative_after_s(config),
        )
        contents = layout.in_files(rows, config.samples.shuffle_seed).mapInArrow(
            writer, CONTENT_SCHEMA
        )
        build_id = written(self.store, contents, layout.file)
        return [self._checked(day, build_id, ids.content_hash) for day in days]

    def _checked(self, day: date, build_id: str, encodings_hash: str) -> Day:
        """A written day, looked into.

        Raises:
            InputError: it has no sample, no row of a log with its id, or values of after their
                impressions.
            AssertionError: its rows do not add up.
        """
        config, folder = self._config, build_folder(day, build_id)
        names = sorted(self.store.files.names(folder))
        found = self.store.look_into([f"{folder}/{name}" for name in names], sample_columns(config))
        counters = counters_of(day, merged(file.tally for file in found), self._counts)
        refuse_nameless(day, counters, config)
        refuse_no_samples(day, counters, config)
        first, last = (instant_of(counters.pop(name)) for name in (FIRST_TIME, LAST_TIME))
        check_identities(day, counters)
        refuse_later_values(
            day, counters, config.features,
            lambda: impressions_of([day], self._frames, self._snapshots, config),
        )
        return Day(
            day=day,
            build_id=build_id,
            built_at=now(),
            as_of=config.samples.as_of,
            known_by=known_by(config),
            files=tuple(file.file for file in found if file.file.num_rows),
            num_rows=counters["impressions_out"],
            num_clicks=counters["samples_clicked"],
            num_conversions=counters["samples_converted"],
            first_event_time=first,
            last_event_time=last,
            counters=dict(sorted(counters.items())),
            encodings=encodings_hash,
            unclicked_rate=rate_of_day(day, config),
            read_by=reading_of(config),
            value_kinds=self._kinds,
        )
