"""Reads a range of built days again: all that is wrong with it, and what it holds.

It looks at every byte that the manifest lists and changes nothing. `inspector` looks into single
files; here lies what only several files together, or the manifest beside them, can tell.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.encodings import num_rows_of_feature
from esmm_dist.contract.manifest import Day, Manifest
from esmm_dist.contract.profile import DayProfile
from esmm_dist.contract.schema import SAMPLE_ID
from esmm_dist.contract.sections import Config
from esmm_dist.labelling.sample_file import FIRST_TIME, LAST_TIME, merged
from esmm_dist.samples.counters import DELETED, check_identities
from esmm_dist.samples.inspector import FINDING_SCHEMA, Inspector, Listed, Report
from esmm_dist.samples.io import Store
from esmm_dist.samples.layout import are_parts_of_a_day, place_in_day
from esmm_dist.samples.profiling import profiles_of


class Finding(NamedTuple):
    """An invariant that does not hold."""

    day: date
    path: str
    """The file, relative to the samples' directory; the manifest where several are concerned."""
    what: str


class Inspection(NamedTuple):
    """What was found in some days, in their order."""

    findings: tuple[Finding, ...]
    profiles: tuple[DayProfile, ...]
    """Of the days without findings."""


def inspect(
    spark: SparkSession, store: Store, manifest: Manifest, config: Config, days: Sequence[Day]
) -> Inspection:
    """Reads every listed file of some days.

    Args:
        config: the one that the samples were built with.
        days: of the manifest.
    """
    there, findings = sizes_as_listed(store, days)
    encodings = store.encodings(manifest.encodings)
    inspector = Inspector(
        config.features,
        {name: column.type for name, column in manifest.columns.items()},
        {feature.name: num_rows_of_feature(feature, encodings) for feature in config.features},
        manifest.shuffle_seed,
        {file.path: Listed(
            day.day, file.num_rows, file.content_hash, file.num_fake_negatives, day.unclicked_rate
        )
         for day in days for file in day.files if file.path in there},
    )
    inspected = _inspected(spark, store.path, inspector)
    try:
        reports: list[Report] = [
            json.loads(row.report)
            for row in inspected.where(F.col("report").isNotNull()).select("report").collect()
        ]
        findings += _of_files(inspector, reports)
        whole = [day for day in days if day.day not in {finding.day for finding in findings}]
        findings += _of_days(spark, store.path, manifest, whole, reports)
        sound = [day for day in whole if day.day not in {finding.day for finding in findings}]
        profiles = profiles_of(inspected, inspector, sound, reports)
    finally:
        inspected.unpersist()
    return Inspection(tuple(sorted(findings)), profiles)


# ---------------------------------------------------------------------------------------------
# What only the manifest and several files can tell
# ---------------------------------------------------------------------------------------------


def sizes_as_listed(store: Store, days: Iterable[Day]) -> tuple[set[str], list[Finding]]:
    """The files that are there with as many bytes as the manifest lists, and what others have."""
    there, findings = set(), []
    for day in days:
        sizes = {
            f"{folder}/{name}": size
            for folder in {file.path.rpartition("/")[0] for file in day.files}
            for name, size in store.files.sizes(folder).items()
        }
        for file in day.files:
            if file.path not in sizes:
                findings.append(Finding(day.day, file.path, "there is no such file"))
            elif sizes[file.path] != file.num_bytes:
                findings.append(Finding(
                    day.day, file.path, f"holds {sizes[file.path]:,} bytes, the manifest says "
                    f"{file.num_bytes:,}: it was cut off or replaced",
                ))
            else:
                there.add(file.path)
    return there, findings


def _of_files(inspector: Inspector, reports: Sequence[Report]) -> list[Finding]:
    found = {report["path"]: report["findings"] for report in reports}
    unread = ["it cannot be read: its file system found other bytes than were written, or failed"]
    return [
        Finding(listed.day, path, what)
        for path, listed in inspector.listed.items() for what in found.get(path, unread)
    ]


def _of_days(
    spark: SparkSession, root: str, manifest: Manifest, days: Sequence[Day],
    reports: Sequence[Report],
) -> list[Finding]:
    findings = []
    places = _places(spark, root, days, manifest.shuffle_seed)
    for day in days:
        paths = {file.path for file in day.files}
        wrong = [*_sums(day, [report for report in reports if report["path"] in paths])]
        if not are_parts_of_a_day({_number(file.path): places[file.path] for file in day.files}):
            wrong.append("rows lie in other files than their hash says")
        findings += [Finding(day.day, manifest.path, what) for what in wrong]
    return findings


def _sums(day: Day, reports: Sequence[Report]) -> Iterable[str]:
    """Where the manifest says other than its files do together, or contradicts itself."""
    tally = merged(report["tally"] for report in reports)
    first, last = tally.pop(FIRST_TIME, None), tally.pop(LAST_TIME, None)
    listed = {
        "num_rows": day.num_rows, "num_clicks": day.num_clicks,
        "num_conversions": day.num_conversions,
    }
    found = {name: sum(report[name] for report in reports) for name in listed}
    for name, number in found.items():
        if listed[name] != number:
            yield f"{name} of {day.day} is {listed[name]:,}, its files say {number:,}"
    for name, number in tally.items():
        counted = day.counters.get(name, 0)
        # Rows that came to a file without samples are counted, and that file is not listed.
        may_be_more = name == DELETED or not (
            name.startswith("samples_") or name.endswith(("_out", "_credited"))
        )
        if counted != number and not (may_be_more and counted > number):
            yield f"{name} of {day.day} is {counted:,}, its files say {number:,}"
    times = (_micros(day.first_event_time), _micros(day.last_event_time))
    if (first, last) != times:
        yield f"its times of {day.day} are {times}, its files say {(first, last)}"
    try:
        check_identities(day.day, day.counters)
    except AssertionError as error:
        yield str(error)


def _places(
    spark: SparkSession, root: str, days: Sequence[Day], seed: int
) -> dict[str, tuple[int, int]]:
    """The least and the greatest place of each file's rows, by the file's path."""
    paths = [file.path for day in days for file in day.files]
    if not paths:
        return {}
    place, file = place_in_day(seed), F.input_file_name()
    found = (
        spark.read.schema(f"{SAMPLE_ID} bigint").parquet(*[f"{root}/{path}" for path in paths])
        .groupBy(file.alias("file"))
        .agg(F.min(place).alias("low"), F.max(place).alias("high"))
        .collect()
    )
    # A file's name ends with its path, and no path of a day ends with another one.
    return {
        "/".join(row.file.split("/")[-(paths[0].count("/") + 1):]): (row.low, row.high)
        for row in found
    }


def _number(path: str) -> int:
    return int(path.rpartition("/")[2].partition(".")[0])


def _micros(instant: Any) -> int:
    return round(instant.timestamp() * 1_000_000)


def _inspected(spark: SparkSession, root: str, inspector: Inspector) -> DataFrame:
    """Reports and counts, kept: they are looked at several times, the files once."""
    paths = [f"{root}/{path}" for path in inspector.listed]
    if not paths:
        return spark.createDataFrame([], FINDING_SCHEMA)
    # A file that its file system refuses is left out, and missed: the others are still looked at.
    reader = spark.read.format("binaryFile").option("ignoreCorruptFiles", "true")
    files = reader.load(paths).select("path", "content")
    return files.mapInArrow(inspector, FINDING_SCHEMA).persist(StorageLevel.MEMORY_AND_DISK)
