"""Raw logs of one day with features of all kinds, and configs that declare them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.sections import Config

DAY = date(2024, 3, 1)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
SCHEMA = pa.schema([
    ("impression_id", pa.string()), ("event_time", pa.timestamp("us", "UTC")),
    ("user_id", pa.string()), ("hour", pa.float64()), ("seen", pa.timestamp("us", "UTC")),
    ("tags", pa.list_(pa.string())), ("counts", pa.list_(pa.float64())),
])


def write_log(
    folder: Path, rows: list[dict[str, Any]], clicks: Sequence[dict[str, Any]] = ()
) -> None:
    """Impressions, a second apart, clicks if there are any, and no conversions."""
    plain = [{"event_time": NOON + timedelta(seconds=n), "user_id": "u"} | row
             for n, row in enumerate(rows)]
    for log, of_log in {"impressions": plain, "clicks": clicks, "conversions": []}.items():
        (folder / log).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(list(of_log), SCHEMA), folder / log / "0.parquet")


def write_snapshot(folder: Path, rows: list[dict[str, Any]]) -> None:
    """A table of users."""
    folder.mkdir(parents=True)
    schema = pa.schema([("user_id", pa.string()), ("city", pa.string()),
                        ("since", pa.timestamp("us", "UTC"))])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "0.parquet")


def config_of(
    folder: Path, features: list[dict[str, Any]], snapshots: Sequence[dict[str, Any]] = (),
    columns: dict[str, str] | None = None,
) -> Config:
    days, later = {"first": str(DAY), "last": str(DAY)}, str(DAY + timedelta(days=1))
    logs = ("impressions", "clicks", "conversions")
    return parse_config({
        "name": "kinds",
        "logs": {log: {"path": str(folder / log), "empty_days": "allow"} for log in logs} | {
            "impressions": {"path": str(folder / "impressions"), "columns": columns or {}},
            "snapshots": list(snapshots),
        },
        "samples": {"path": str(folder / "samples"), "days": days, "fit_days": days},
        "features": features,
        "train": {"days": days}, "evaluate": {"days": {"first": later, "last": later}},
    }, "test")
