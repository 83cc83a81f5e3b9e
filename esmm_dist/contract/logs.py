"""The config's section on the logs: where they lie, and what their columns are called.

Values only: what they mean is the business of the half that reads the logs.
"""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from esmm_dist.contract.features import Section


class TableSource(Section):
    """Where a table lies and what its columns are called."""

    path: str
    """A path, directory or glob that Spark can read."""
    format: str = "parquet"
    """A Spark data source: parquet, orc, json, csv, …"""
    options: dict[str, str] = {}
    """Options of the data source, for example {header: "true"}."""
    columns: dict[str, str] = {}
    """Our name of a column: the table's name of it. Columns not named keep their names."""
    ingest_time: str | None = None
    """The column that says when a row became known, by which samples.as_of goes. None: a row counts
    as known from its event_time on."""


class LogSource(TableSource):
    """A log: rows that are filed under days."""

    partition: str | None = None
    """The column that holds the event's day (yyyy-MM-dd in day_timezone), read to skip files."""


class ImpressionSource(LogSource):
    """The impressions log, and which of its columns tell what came of an impression."""

    outcomes: tuple[str, ...] = ()
    """Columns that are known only after the impression: no feature may be made of them."""


class SnapshotSource(TableSource):
    """What was known of users or items from when on: a row of `key`, event_time and features holds
    until the next one of its key."""

    name: str
    """By which features name it as their source."""
    key: str
    """The column of the snapshot, and of the impressions, by which their rows meet."""
    max_age_hours: Annotated[float, Field(gt=0)] | None = None
    """A row older than this at the impression says nothing any more; none: it always does."""


class ConversionSource(LogSource):
    """The conversions log, and which of its events count."""

    types: tuple[str, ...] = ()
    """Values of the column `type` that count as a conversion; empty: every row counts."""
    value: str | None = None
    """The column that says what a conversion is worth, in any unit, as a number. A sample's
    credited conversions add up to its column `conversion_value`, which is no feature."""
    without_click: Literal["drop", "imply_click"] = "drop"
    """drop: a conversion of an impression without a click that counts is dropped; imply_click: it
    stands for a click that the log lost. Both are counted."""


class Logs(Section):
    """The three logs. Impressions carry impression_id, event_time and the features; clicks and
    conversions impression_id and event_time. Instants are in UTC."""

    day_timezone: str = "UTC"
    """The zone whose midnights part one day from the next."""
    max_clock_skew_seconds: Annotated[float, Field(ge=0, le=3_600)] = 0.0
    """An event that lies at most so long before its cause counts as if it lay at it: a click before
    its impression, a conversion before its click. Clocks of several machines differ."""
    impressions: ImpressionSource
    clicks: LogSource
    conversions: ConversionSource
    snapshots: tuple[SnapshotSource, ...] = ()
    """Tables that features are taken from as they stood at the impression."""

    @field_validator("snapshots")
    @classmethod
    def _named_once(cls, snapshots: tuple[SnapshotSource, ...]) -> tuple[SnapshotSource, ...]:
        names = [snapshot.name for snapshot in snapshots]
        for place, name in enumerate(names):
            if not name.isidentifier():
                raise ValueError(f"the snapshot name {name!r} is no plain name")
            if name.lower() in [other.lower() for other in names[:place]]:
                raise ValueError(f"the snapshot {name!r} is declared twice")
        return snapshots

    @field_validator("day_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except Exception:
            raise ValueError(f"{name!r} is no time zone name such as UTC or Asia/Shanghai")
        return name
