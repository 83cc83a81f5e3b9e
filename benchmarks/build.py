"""Seconds to build one day of samples: our Spark job beside DuckDB doing the same work.

    python benchmarks/build.py [--quick] [--rows N] [--skewed]

20 M impressions (--quick: 4 M) of 20 features, 4 % clicks, 5 % of these convert; two cores, the
JVM's start left out. Both sides keep each impression once (DuckDB any of its rows, which is less
work), join its events inside their windows, turn values into ids, order the day by a hash and write
row groups of 524,288 rows. Ours builds twice in one session: the first build compiles its code, the
second finds it compiled. --skewed lets 1 % of the impressions have half of the clicks.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from esmm_dist.contract.sections import Config
from esmm_dist.samples.build import Builder
from esmm_dist.samples.session import open_session

NUM_CORES = 2
ROWS_PER_FILE = 524_288
DAY = date(2026, 3, 1)
HASH_SIZE = 2**20
HASHED = [f"field_{place:02d}" for place in range(18)]
# Width of the buckets of each price, of which there are 100.
PRICES = {"field_18": 10.0, "field_19": 100.0}
BAR = 2.0
MEMORY = "6g"


class Counts(NamedTuple):
    """What a build came to."""

    num_rows: int
    num_clicks: int
    num_conversions: int


def generate(folder: Path, num_rows: int, is_skewed: bool) -> None:
    """Writes the three logs of one day: whole numbers, texts and prices."""
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
    connection.execute(f"SET threads = {NUM_CORES}; SET TimeZone = 'UTC'")
    for name, query in logs.items():
        path = folder / name / f"dt={DAY}"
        path.mkdir(parents=True)
        options = "(FORMAT parquet, ROW_GROUP_SIZE 500000)"
        connection.execute(f"COPY ({query}) TO '{path}/0.parquet' {options}")


def config_of(folder: Path) -> Config:
    """The job as our config declares it."""
    day = {"first": DAY, "last": DAY}
    logs: dict[str, dict[str, Any]] = {
        name: {"path": str(folder / name), "partition": "dt"}
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


def build_with_duckdb(folder: Path) -> Counts:
    """The same day."""
    connection = duckdb.connect()
    connection.execute(f"SET threads = {NUM_CORES}; SET memory_limit = '{MEMORY.upper()}B'")
    connection.execute(f"SET temp_directory = '{folder}/spill'")
    encoded = {name: f"1 + (hash({name}, 7) >> 1) % {HASH_SIZE - 1}" for name in HASHED}
    encoded |= {
        name: f"1 + least(99, floor({name} / {width}))" for name, width in PRICES.items()
    }
    ids = [f"CASE WHEN {name} IS NULL THEN 0 ELSE {value} END::INTEGER AS {name}"
           for name, value in encoded.items()]
    clicked = "event_time <= click_time AND click_time <= event_time + INTERVAL 24 HOUR"
    rows = f"""
        WITH impressions AS (
            SELECT DISTINCT ON (impression_id) * FROM '{folder}/impressions/*/*.parquet'
        ), clicks AS (
            SELECT impression_id, max(event_time) AS click_time
            FROM '{folder}/clicks/*/*.parquet' GROUP BY impression_id
        ), conversions AS (
            SELECT impression_id, max(event_time) AS conversion_time
            FROM '{folder}/conversions/*/*.parquet' WHERE type = 'order' GROUP BY impression_id
        )
        SELECT hash(impression_id) AS sample_id, hash(field_00) AS group_id,
            coalesce({clicked}, false)::TINYINT AS click,
            coalesce({clicked} AND click_time <= conversion_time
                AND conversion_time <= click_time + INTERVAL 24 HOUR, false)::TINYINT AS conversion,
            1::FLOAT AS weight, {', '.join(ids)}
        FROM impressions LEFT JOIN clicks USING (impression_id)
        LEFT JOIN conversions USING (impression_id)
        ORDER BY hash(impression_id, 1)"""
    path = folder / "duckdb.parquet"
    options = f"(FORMAT parquet, ROW_GROUP_SIZE {ROWS_PER_FILE})"
    connection.execute(f"COPY ({rows}) TO '{path}' {options}")
    counted = f"SELECT count(*), sum(click), sum(conversion) FROM '{path}'"
    found = connection.execute(counted).fetchone()
    assert found is not None
    path.unlink()
    return Counts(*map(int, found))


def timed(what: str, build: Callable[[], Counts]) -> tuple[float, Counts]:
    """Seconds and what came out, and prints both."""
    start = time.perf_counter()
    counts = build()
    seconds = time.perf_counter() - start
    print(f"{what:20} {seconds:8.1f} s   {counts.num_rows:,} rows, {counts.num_clicks:,} clicks, "
          f"{counts.num_conversions:,} conversions", flush=True)
    return seconds, counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 M impressions instead of 20 M")
    parser.add_argument("--rows", type=int, help="impressions")
    parser.add_argument("--skewed", action="store_true", help="half of the clicks in 1 %% of rows")
    arguments = parser.parse_args()
    num_rows = arguments.rows or (4_000_000 if arguments.quick else 20_000_000)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--master local[{NUM_CORES}] --driver-memory {MEMORY} pyspark-shell"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, num_rows, arguments.skewed)
        config = config_of(folder)
        spark = open_session("benchmark: build")

        def ours() -> Counts:
            shutil.rmtree(config.samples.path, ignore_errors=True)
            (day,) = Builder(spark, config, refit=False).build([DAY]).days
            return Counts(day.num_rows, day.num_clicks, day.num_conversions)

        first, counts = timed("ours, first build", ours)
        second, _ = timed("ours, second build", ours)
        spark.stop()
        duck, duck_counts = timed("DuckDB", lambda: build_with_duckdb(folder))
        duck = min(duck, timed("DuckDB, again", lambda: build_with_duckdb(folder))[0])
    assert counts == duck_counts, "the two sides disagree"
    ratios = {"first build to DuckDB": first / duck, "second build to DuckDB": second / duck}
    print(json.dumps({
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "bars": {name: BAR for name in ratios},
        "missed": [name for name, ratio in ratios.items() if ratio > BAR],
    }))


if __name__ == "__main__":
    main()
