"""The job of the builder's benchmark: one day of logs, and the config that declares it."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from esmm_dist.contract.sections import Config

ROWS_PER_FILE = 524_288
DAY = date(2026, 3, 1)
HASH_SIZE = 2**20
HASHED = [f"field_{place:02d}" for place in range(18)]
# Width of the buckets of each price, of which there are 100.
PRICES = {"field_18": 10.0, "field_19": 100.0}


def generate(folder: Path, num_rows: int, is_skewed: bool, num_threads: int) -> None:
    """Writes the three logs of one day: whole numbers, texts and prices.

    Args:
        is_skewed: 1 % of the impressions have half of the clicks, two each.
    """
    values = [f"(hash(i * 31 + {n}) % {10 ** (1 + n % 6)})::BIGINT" for n in range(16)]
    values += [f"'v' || (hash(i * 17 + {n}) % {5_000 if n % 2 else 50})" for n in (16, 17)]
    values += [f"(hash(i * 23) % 1000000) / 1000000.0 * {100 * width}" for width in PRICES.values()]
    columns = [f"{value} AS {name}" for value, name in zip(values, (*HASHED, *PRICES))]
    time_of = "TIMESTAMPTZ '2026-03-01 00:00:00+00' + INTERVAL (hash(i + 7) % 86000) SECOND"
    # Several clicks of one impression lie a second apart.
    many = "WHEN hash(i * 41) % 100 = 0 THEN 2 WHEN hash(i * 43) % 100 < 2 THEN 1"
    few = "WHEN hash(i * 43) % 100 < 4 THEN 1"
    num_clicks = f"CASE {many if is_skewed else few} ELSE 0 END"
    logs = {
        "impressions": f"SELECT i AS impression_id, {time_of} AS event_time, "
                       f"{', '.join(columns)} FROM range({num_rows}) t(i)",
        "clicks": f"SELECT i AS impression_id, {time_of} + INTERVAL (5 + n) SECOND AS event_time "
                  f"FROM range({num_rows}) t(i), range({num_clicks}) u(n)",
        "conversions": f"SELECT i AS impression_id, {time_of} + INTERVAL 65 SECOND AS event_time, "
                       f"'order' AS type FROM range({num_rows}) t(i) "
                       f"WHERE ({num_clicks}) > 0 AND hash(i * 47) % 100 < 5",
    }
    connection = duckdb.connect()
    connection.execute(f"SET threads = {num_threads}; SET TimeZone = 'UTC'")
    for name, query in logs.items():
        path = folder / name / f"dt={DAY}"
        path.mkdir(parents=True)
        options = "(FORMAT parquet, ROW_GROUP_SIZE 500000)"
        connection.execute(f"COPY ({query}) TO '{path}/0.parquet' {options}")


def config_of(folder: Path) -> Config:
    """The job as our config declares it."""
    day = {"first": DAY, "last": DAY}
    logs: dict[str, dict[str, Any]] = {
        name: {"path": str(folder / name), "partition": "dt", "empty_days": "allow"}
        for name in ("impressions", "clicks", "conversions")
    }
    hashed = [{"name": name, "group": "item", "kind": "categorical",
               "encode": {"hash_size": HASH_SIZE}} for name in HASHED]
    prices = [{"name": name, "group": "item", "kind": "numeric",
               "encode": {"boundaries": [width * n for n in range(1, 100)]}}
              for name, width in PRICES.items()]
    logs["conversions"]["types"] = ["order"]
    return Config.model_validate({
        "name": "build", "logs": logs,
        "samples": {"path": str(folder / "samples"), "days": day, "fit_days": day,
                    "group_key": "field_00", "rows_per_file": ROWS_PER_FILE},
        "features": hashed + prices,
        "train": {"days": day}, "evaluate": {"days": {"first": "2026-03-02", "last": "2026-03-02"}},
    })
