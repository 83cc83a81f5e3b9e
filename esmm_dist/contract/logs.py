"""The config's section on the logs: where they lie, and what their columns are called.

Values only: what they mean is the business of the half that reads the logs.
"""

from zoneinfo import ZoneInfo

from pydantic import field_validator

from esmm_dist.contract.features import Section


class LogSource(Section):
    """Where a log lies and what its columns are called."""

    path: str
    """A path, directory or glob that Spark can read."""
    format: str = "parquet"
    """A Spark data source: parquet, orc, json, csv, …"""
    options: dict[str, str] = {}
    """Options of the data source, for example {header: "true"}."""
    partition: str | None = None
    """The column that holds the event's day (yyyy-MM-dd in day_timezone), read to skip files."""
    columns: dict[str, str] = {}
    """Our name of a column: the log's name of it. Columns not named keep their names."""


class ConversionSource(LogSource):
    """The conversions log, and which of its events count."""

    types: tuple[str, ...] = ()
    """Values of the column `type` that count as a conversion; empty: every row counts."""


class Logs(Section):
    """The three logs. Impressions carry impression_id, event_time and the features; clicks and
    conversions impression_id and event_time. Instants are in UTC."""

    day_timezone: str = "UTC"
    """The zone whose midnights part one day from the next."""
    impressions: LogSource
    clicks: LogSource
    conversions: ConversionSource

    @field_validator("day_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except Exception:
            raise ValueError(f"{name!r} is no time zone name such as UTC or Asia/Shanghai")
        return name
