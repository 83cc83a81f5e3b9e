"""How many rows of the logs lie under each day, and which are not where they should be.

A label of 0 that stands for a folder that was never written looks like any other, so what may be
missing is looked for before anything is joined. It labels nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from urllib.parse import unquote

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import ConversionSource, LogSource
from esmm_dist.contract.sections import Config
from esmm_dist.samples.days import ONE_DAY, Calendar
from esmm_dist.samples.failures import naming_the_file, plain_path
from esmm_dist.samples.filing import filed
from esmm_dist.samples.io import LogFrames
from esmm_dist.samples.logs import CONVERSION_ID, FILED_DAY, NO_DAY, TYPE
from esmm_dist.samples.lookups import looked_up, of_lost_lookups
from esmm_dist.samples.missing_days import Wanted, of_missing_days
from esmm_dist.samples.schedule import Windows, days_seen, repeat_span, text_of
from esmm_dist.samples.unmet_types import of_unmet_types

UNNAMED = "conversions_null_conversion_id"


class Census(NamedTuple):
    """Of the rows filed under each day, and what a reader of the samples should be told."""

    counts: dict[str, dict[date, int]]
    """By counter: of each log its rows, as `clicks_in`; where conversions have ids also those
    without, as `conversions_null_conversion_id`."""
    notes: list[str]


def census(
    frames: LogFrames, days: Sequence[date], fit_days: Sequence[date], config: Config,
    now: datetime,
) -> Census:
    """Counts the rows of all days that a build reads, in one pass that reads no values where days
    are folders, save the types and ids of conversions and what rows are looked up by.

    Args:
        days: those to build.
        fit_days: those that ids are learned from.
        now: until when logs may be complete, where samples.as_of does not say.

    Raises:
        InputError: a file is empty or cannot be read; a day holds no row, or no conversion of a
            declared type, though it was over; rows lie under what is no day, or of a day all lack
            what they are looked up by.
    """
    windows = Windows.of(days, config)
    days_of_log = _days_read(windows, days, fit_days, config)
    all_rows = _counted(frames, days_of_log, config)
    rows_in: dict[str, dict[date, int]] = {}
    notes: list[str] = []
    for log, frame in frames._asdict().items():
        source: LogSource = getattr(config.logs, log)
        rows = [row for row in all_rows if row.log == log]
        _refuse_empty_files(log, frame, days_of_log[log], {row.file for row in rows}, source)
        notes += _of_no_day(log, rows, source)
        rows_in[log] = _by_day(rows)
        notes += of_missing_days(
            log, frame, rows_in[log], Wanted.of(days_of_log[log], min(days), config, now),
            {*days, *fit_days} if log == "impressions" else set(), source,
        )
        columns = looked_up(log, frame, config.logs)
        notes += of_lost_lookups(
            log, rows_in[log],
            {name: _by_day(rows, lambda row: int(row.num_filled[name])) for name in columns},
            columns, _days_looked_up(log, windows, days_of_log), source,
        )
    conversions = [row for row in all_rows if row.log == "conversions"]
    notes += of_unmet_types(
        {kind: _by_day([row for row in conversions if row.type == kind])
         for kind in (*config.logs.conversions.types, None)},
        filed(frames.conversions, days_of_log["conversions"], _calendar(config)),
        Wanted.of(days_of_log["conversions"], min(days), config, now), config.logs.conversions,
    )
    counts = {f"{log}_in": of_day for log, of_day in rows_in.items()}
    if config.logs.conversions.conversion_id is not None:
        counted = _of_declared_types(conversions, config.logs.conversions)
        counts[UNNAMED] = _by_day(counted, lambda row: int(row.num_rows - _num_named(row)))
        notes += _of_unnamed(counted, config.logs.conversions)
    return Census(counts, notes)


def count_rows(
    frames: LogFrames, days_of_log: Mapping[str, Sequence[date]], config: Config
) -> dict[str, dict[date, int]]:
    """Rows filed under each day, by log, whatever should be there.

    Raises:
        InputError: a file is empty or cannot be read.
    """
    all_rows = _counted(frames, days_of_log, config)
    found = {}
    for log, frame in frames._asdict().items():
        rows = [row for row in all_rows if row.log == log]
        _refuse_empty_files(
            log, frame, days_of_log[log], {row.file for row in rows}, getattr(config.logs, log)
        )
        found[log] = _by_day(rows)
    return found


def _days_read(
    windows: Windows, days: Sequence[date], fit_days: Sequence[date], config: Config
) -> dict[str, tuple[date, ...]]:
    """By log the days whose rows some day of the build sees, rivals among them, and the days before
    in which its impressions may have been shown."""
    read = {
        "impressions": {*days, *fit_days},
        "clicks": {*days_seen(windows.click_days)},
        "conversions": {*windows.conversion_days_read},
    }
    if repeat_span(config):
        read["impressions"].update(day - ONE_DAY for day in (*days, *fit_days))
    if config.logs.clicks.attribute_by == "keys":
        read["impressions"].update(days_seen(windows.rival_impression_days))
    if config.logs.conversions.attribute_by == "keys":
        read["clicks"].update(days_seen(windows.rival_click_days))
    return {log: tuple(sorted(found)) for log, found in read.items()}


def _counted(
    frames: LogFrames, days_of_log: Mapping[str, Sequence[date]], config: Config
) -> list[Row]:
    """A row (log, filed_day, file, type, num_rows, num_filled) for each of these that there is.

    num_filled says by column how many rows have the id of conversions, or what they are looked up
    by.
    """
    types = list(config.logs.conversions.types)
    counts = []
    for log, frame in frames._asdict().items():
        # Other types need not be told apart, and may be as many as the rows.
        kind = F.lit(None).cast("string")
        if log == "conversions" and types:
            kind = F.when(F.col(TYPE).isin(types), F.col(TYPE))
        names = [*looked_up(log, frame, config.logs)]
        names += [CONVERSION_ID] if CONVERSION_ID in frame.columns else []
        # The first is there lest the map be empty, which has another type.
        filled = {"": F.count("*")} | {name: F.count(name) for name in names}
        found = filed(frame, days_of_log[log], _calendar(config))
        if FILED_DAY in frame.columns:
            found = found.unionByName(
                frame.where(F.col(FILED_DAY).isNull() | (F.col(FILED_DAY) == F.lit(NO_DAY)))
            )
        counts.append(
            found.groupBy(FILED_DAY, F.input_file_name().alias("file"), kind.alias("type"))
            .agg(
                F.count("*").alias("num_rows"),
                F.create_map(*[part for name, number in filled.items()
                               for part in (F.lit(name), number)]).alias("num_filled"),
            )
            .select(F.lit(log).alias("log"), FILED_DAY, "file", "type", "num_rows", "num_filled")
        )
    with naming_the_file("logs"):
        return counts[0].unionByName(counts[1]).unionByName(counts[2]).collect()


def _days_looked_up(
    log: str, windows: Windows, days_of_log: Mapping[str, Sequence[date]]
) -> Sequence[date]:
    """Not those of impressions that are read for ids that come back alone."""
    return days_of_log[log] if log != "impressions" else days_seen(windows.rival_impression_days)


def _num_named(row: Row) -> int:
    return int(row.num_filled[CONVERSION_ID])


def _by_day(
    rows: Sequence[Row], number: Callable[[Row], int] = lambda row: int(row.num_rows)
) -> dict[date, int]:
    of_day: dict[date, int] = {}
    for row in rows:
        if row.filed_day not in (None, NO_DAY):
            of_day[row.filed_day] = of_day.get(row.filed_day, 0) + number(row)
    return of_day


def _refuse_empty_files(
    log: str, frame: DataFrame, days: Sequence[date], read: set[str], source: LogSource
) -> None:
    """A file of a wanted day that gave no rows is a broken upload more often than a quiet day."""
    if source.partition is None or source.path is None or source.format != "parquet":
        return
    folders = tuple(f"/{source.partition}={day}/" for day in days)
    paths_read = {plain_path(unquote(file)) for file in read}
    suspects = [
        file for file in map(unquote, frame.inputFiles())  # Spark tells them as addresses
        if plain_path(file) not in paths_read and any(folder in file for folder in folders)
    ]
    if not suspects:
        return
    # A file whose rows became known later than samples.as_of is no empty one.
    with naming_the_file(f"logs.{log} ({source.place})"):
        rows = frame.sparkSession.read.parquet(*suspects).select(F.input_file_name().alias("file"))
        with_rows = {plain_path(unquote(row.file)) for row in rows.distinct().collect()}
    for file in sorted(map(plain_path, suspects)):
        if file not in with_rows:
            raise InputError(
                f"logs.{log}: the file {file} holds no rows: "
                "write it again, or remove it"
            )


def _of_no_day(log: str, rows: Sequence[Row], source: LogSource) -> list[str]:
    """Rows that no build sees, because what they are filed under is null or no day."""
    lost = [row for row in rows if row.filed_day == NO_DAY]
    if lost:
        place = f", as in {plain_path(min(row.file for row in lost))}" if lost[0].file else ""
        raise InputError(
            f"logs.{log} ({source.place}): {sum(row.num_rows for row in lost):,} rows lie under a "
            f"{source.partition} that is no day{place}: write days as yyyy-MM-dd, or move these "
            "rows away"
        )
    num_null = sum(row.num_rows for row in rows if row.filed_day is None)
    if not num_null:
        return []
    return [f"logs.{log} ({source.place}): {num_null:,} rows have no {source.partition}: no day "
            "sees them"]


def _of_declared_types(conversions: Sequence[Row], source: ConversionSource) -> list[Row]:
    return [
        row for row in conversions
        if row.filed_day not in (None, NO_DAY) and (row.type is not None or not source.types)
    ]


def _of_unnamed(counted: Sequence[Row], source: ConversionSource) -> list[str]:
    """Conversions without the id that is declared: logged twice, they may count twice, and a file
    that lacks the column reads like one in which each of them is such."""
    num_unnamed = sum(row.num_rows - _num_named(row) for row in counted)
    if not num_unnamed:
        return []
    named_days = {row.filed_day for row in counted if _num_named(row)}
    nameless = sorted({row.filed_day for row in counted} - named_days)
    return [
        f"logs.conversions ({source.place}): {num_unnamed:,} of "
        f"{sum(row.num_rows for row in counted):,} conversions have no {source.conversion_id}"
        + (f", among them all of {text_of(nameless)}" if nameless else "")
        + ": they are told apart by instant and type"
    ]


def _calendar(config: Config) -> Calendar:
    return Calendar.of(config.logs.day_timezone)
