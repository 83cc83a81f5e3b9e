"""The config's section on the logs: where they lie, and how events find their causes.

Values only: what they mean is the business of the half that reads the logs.
"""

from collections.abc import Sequence
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from esmm_dist.contract.days import MAX_DAYS
from esmm_dist.contract.features import Section

Positive = Annotated[int, Field(gt=0)]

FILE_FORMATS = ("parquet", "orc", "json", "csv", "text", "avro")
"""Data sources that read nothing but files."""


class TableSource(Section):
    """Where a table lies and what its columns are called."""

    path: str | None = None
    """A path, directory or glob that Spark can read."""
    table: str | None = None
    """Instead of a path, the name of a table or view in Spark's catalog, such as shop.clicks."""
    format: str = "parquet"
    """A Spark data source: parquet, orc, json, csv, or any other; one that takes its place from its
    options, such as jdbc, needs no path."""
    options: dict[str, str] = {}
    """Options of the data source, for example {header: "true"}."""
    columns: dict[str, str] = {}
    """Our name of a column: the table's name of it. Columns not named keep their names."""
    ingest_time: str | None = None
    """The column that says when a row became known, by which samples.as_of goes. None: a row counts
    as known from its event_time on."""

    @property
    def place(self) -> str:
        """Where it lies, as messages tell it."""
        return self.table or self.path or self.format

    @model_validator(mode="after")
    def _lies_somewhere(self) -> "TableSource":
        if self.table is not None:
            also = "path" if self.path is not None else "format"
            if self.path is not None or self.format != "parquet":
                raise ValueError(
                    f"table = {self.table} and {also} = {getattr(self, also)}: a table knows where "
                    f"it lies and how: leave {also} out"
                )
        elif self.path is None and self.format in FILE_FORMATS:
            raise ValueError("give the path of its files, or a table of Spark's catalog")
        return self


class LogSource(TableSource):
    """A log: rows that are filed under days."""

    partition: str | None = None
    """The column that holds the event's day (yyyy-MM-dd in day_timezone), read to skip files."""
    empty_days: Literal["refuse", "allow"] = "refuse"
    """What it means if a day that was over, and that windows of the days asked for reach, holds no
    row. refuse: it is missing. allow: nothing happened, or the log ends before it."""


class ImpressionSource(LogSource):
    """The impressions log, and which of its columns tell what came of an impression."""

    repeat_seconds: Annotated[float, Field(ge=0, le=43_200)] = 3_600.0
    """An impression at most so long after one of the same id of the day before is that one, logged
    again; inside a day each id counts once anyway. 0: days are not compared."""
    outcomes: tuple[str, ...] = ()
    """Columns that are known only after the impression: no feature may be made of them."""


class SnapshotSource(TableSource):
    """What was known of users or items from when on: a row of `key`, event_time and features holds
    until the next one of its key."""

    name: str
    """By which features name it as their source."""
    key: str
    """The column of the snapshot, and of the impressions, by which their rows meet."""
    max_age_hours: Annotated[float, Field(gt=0, le=24 * MAX_DAYS)] | None = None
    """A row older than this at the impression says nothing any more; none: it always does."""


class Bots(Section):
    """Who clicks too often is no person: all clicks of such an interval are dropped."""

    key: str
    """The column of the clicks log that says who clicked, for example user_id."""
    max_clicks: Positive
    """Clicks in an interval that a person may make."""
    interval_seconds: Annotated[int, Field(gt=0, le=86_400)]


class ClickSource(LogSource):
    """The clicks log, and how a click finds its impression."""

    attribute_by: Literal["impression_id", "keys"] = "impression_id"
    """impression_id: the log says it; keys: an impression of equal `keys` before the click."""
    keys: tuple[str, ...] = ()
    """Columns that impressions and clicks share, for example [user_id, item_id]."""
    credit: Literal["last_impression", "first_impression"] = "last_impression"
    """Of several impressions of equal keys in whose window the click falls."""
    bots: Bots | None = None
    double_click_seconds: Annotated[float, Field(gt=0, le=3_600)] | None = None
    """Clicks of one impression (or of equal keys), each at most so long after the one before, are
    one."""

    @model_validator(mode="after")
    def _attributable(self) -> "ClickSource":
        _check_attribution("logs.clicks", self.attribute_by, self.keys)
        if self.attribute_by != "keys" and self.credit != "last_impression":
            raise ValueError(
                f"logs.clicks.credit = {self.credit} needs attribute_by: keys; an impression_id "
                "says which impression"
            )
        return self


class ConversionSource(LogSource):
    """The conversions log, which of its events count, and how a conversion finds its click."""

    attribute_by: Literal["impression_id", "click_id", "keys"] = "impression_id"
    """impression_id: any click of that impression; click_id: the click of that id, which the clicks
    log carries too; keys: a click of equal `keys` before the conversion."""
    keys: tuple[str, ...] = ()
    """Columns that clicks and conversions share, for example [user_id, item_id]."""
    credit: Literal["last_click", "first_click"] = "last_click"
    """Of several clicks of equal keys in whose window the conversion falls."""
    types: tuple[str, ...] = ()
    """Values of the column `type` that count as a conversion; empty: every row counts."""
    conversion_id: str | None = None
    """The column that tells conversions apart: rows of one id are one, wherever they belong. None:
    of one impression, or click, rows of equal instant and type are one, as the lines of an order
    may be."""
    repeat_hours: Annotated[float, Field(gt=0, le=24 * MAX_DAYS)] | None = None
    """A row at most so long after another of its conversion_id is that one, logged again. At least,
    and by default, both windows together."""
    value: str | None = None
    """The column that says what a conversion is worth, in any unit, as a number. A sample's
    credited conversions add up to its column `conversion_value`, which is no feature."""
    without_click: Literal["drop", "imply_click"] = "drop"
    """drop: a conversion of an impression without a click that counts is dropped; imply_click: it
    stands for a click that the log lost. Both are counted."""

    @model_validator(mode="after")
    def _attributable(self) -> "ConversionSource":
        _check_attribution("logs.conversions", self.attribute_by, self.keys)
        twice = [kind for place, kind in enumerate(self.types) if kind in self.types[:place]]
        if twice:
            raise ValueError(f"logs.conversions.types names {twice[0]!r} twice: name it once")
        if self.repeat_hours is not None and self.conversion_id is None:
            raise ValueError(
                f"logs.conversions.repeat_hours = {self.repeat_hours} is not looked at: name the "
                "column of conversion_id"
            )
        if self.attribute_by != "keys" and self.credit != "last_click":
            raise ValueError(
                f"logs.conversions.credit = {self.credit} needs attribute_by: keys; by "
                f"{self.attribute_by} any click that covers the conversion will do"
            )
        if self.attribute_by != "impression_id" and self.without_click != "drop":
            raise ValueError(
                f"logs.conversions.without_click = {self.without_click} needs attribute_by: "
                "impression_id: without a click nothing else tells the impression"
            )
        return self


def _check_attribution(key: str, attribute_by: str, keys: Sequence[str]) -> None:
    if attribute_by == "keys" and not keys:
        raise ValueError(f"{key}.attribute_by = keys needs {key}.keys: name the shared columns")
    if attribute_by != "keys" and keys:
        raise ValueError(f"{key}.keys = {list(keys)} is not looked at: set attribute_by: keys")
    if len(set(keys)) < len(keys):
        raise ValueError(f"{key}.keys = {list(keys)}: a column stands there twice")


class Logs(Section):
    """The three logs. Impressions carry impression_id, event_time and the features; clicks and
    conversions event_time and what attributes them. Instants are in UTC."""

    day_timezone: str = "UTC"
    """The zone whose midnights part one day from the next."""
    max_clock_skew_seconds: Annotated[float, Field(ge=0, le=3_600)] = 0.0
    """An event that lies at most so long before its cause counts as if it lay at it: a click before
    its impression, a conversion before its click. Clocks of several machines differ."""
    impressions: ImpressionSource
    clicks: ClickSource
    conversions: ConversionSource
    snapshots: tuple[SnapshotSource, ...] = ()
    """Tables that features are taken from as they stood at the impression."""

    @model_validator(mode="after")
    def _bots_stay_away(self) -> "Logs":
        if self.clicks.bots is not None and self.conversions.without_click == "imply_click":
            raise ValueError(
                "logs.conversions.without_click = imply_click would bring back clicks that "
                "logs.clicks.bots drops, which the log did not lose: choose without_click: drop, "
                "or declare no bots"
            )
        return self

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
