"""Seconds to build one day of samples: our Spark job beside DuckDB doing the same work.

    python -m benchmarks.build [--quick] [--rows N] [--skewed] [--sizes N ...]

20 M impressions (--quick: 4 M) of 20 features, 4 % clicks, 5 % of these convert; two cores, the
JVM's start left out. Both sides keep each impression once, join its events inside their windows,
turn values into ids, order the day by a hash and write row groups of 524,288 rows. Ours builds
twice in one session: the first build compiles its code, the second finds it compiled. Of rows of
equal id DuckDB keeps any, or the earliest as we do; its cheaper way is the one that counts.

--skewed: 1 % of the impressions have half of the clicks; a build of these beside one of the others.
--sizes: seconds per row at these sizes too, and the most memory that the JVM, the driver and the
Python workers ever held together.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pyspark.sql import SparkSession

from benchmarks.parts.duckdb_build import KEPT, build_with_duckdb
from benchmarks.parts.one_day import DAY, config_of, generate
from benchmarks.parts.process_tree import JVM_REST, cpu_seconds, memory_watched
from esmm_dist.samples.build import Builder
from esmm_dist.samples.session import open_session

NUM_CORES = 2
NUM_ROWS, NUM_ROWS_QUICK = 20_000_000, 4_000_000
MEMORY, DUCKDB_MEMORY = "3g", "6GB"
BARS = {"first build": 2.0, "second build": 2.0, "skewed": 1.3, "seconds per row": 1.2,
        "GiB at the peak": 6.0}
Counts = tuple[int, int, int]


class Run(NamedTuple):
    """One build: how long it took, what for, and what came out."""

    seconds: float
    cpu_seconds: Mapping[str, float]
    peak_bytes: int
    counts: Counts


def timed(what: str, build: Callable[[], Counts], spark: SparkSession | None = None) -> Run:
    """Runs and prints it; asks Spark, if there is one, for the CPU of its tasks."""
    before = spent_so_far(spark)
    with memory_watched() as peaks:
        start = time.perf_counter()
        counts = build()
        seconds = time.perf_counter() - start
    after = spent_so_far(spark)
    spent = {kind: after[kind] - before.get(kind, 0) for kind in after}
    run = Run(seconds, spent, peaks[-1], counts)
    rows, clicks, conversions = counts
    print(f"{what:34} {seconds:7.1f} s {sum(run.cpu_seconds.values()):7.1f} CPU s "
          f"{1e6 * seconds / rows:6.2f} µs a row {run.peak_bytes / 2**30:5.1f} GiB   "
          f"{rows:,} rows, {clicks:,} clicked, {conversions:,} converted", flush=True)
    return run


def spent_so_far(spark: SparkSession | None) -> Mapping[str, float]:
    """CPU seconds by what they went to; of Spark's tasks by what these do, too."""
    seconds = cpu_seconds()
    if spark is None:
        return seconds
    context: Any = spark.sparkContext
    none = context._jvm.java.util.ArrayList()
    no_quantiles = context._gateway.new_array(context._jvm.double, 0)
    stages = context._jsc.sc().statusStore().stageList(none, False, False, no_quantiles, none)
    for place in range(stages.size()):
        stage = stages.apply(place)
        kind = "shuffle to files" if stage.shuffleReadBytes() else "logs to shuffle"
        in_tasks = stage.executorCpuTime() / 1e9
        seconds[f"JVM, {kind}"] += in_tasks
        seconds[JVM_REST] -= in_tasks
    return seconds


def generated(folder: Path, num_rows: int, is_skewed: bool = False) -> Path:
    """The folder, with logs in it: made by a process of its own, whose memory is not the job's."""
    process = multiprocessing.get_context("spawn").Process(
        target=generate, args=(folder, num_rows, is_skewed, NUM_CORES)
    )
    process.start()
    process.join()
    assert process.exitcode == 0, "the logs could not be made"
    return folder


def build(spark: SparkSession, folder: Path) -> Counts:
    """Our job on the logs of a folder, from nothing."""
    config = config_of(folder)
    shutil.rmtree(config.samples.path, ignore_errors=True)
    (day,) = Builder(spark, config, refit=False).build([DAY]).days
    return day.num_rows, day.num_clicks, day.num_conversions


def print_where_time_goes(runs: dict[str, Run]) -> None:
    """Core seconds of each run by what they went to; what is no CPU is waiting: for files, for the
    other core to end its task, for a plan to be made."""
    print(f"\n{'core seconds':24}" + "".join(f"{name:>16}" for name in runs))
    for kind in sorted({kind for run in runs.values() for kind in run.cpu_seconds}):
        spent = [run.cpu_seconds.get(kind, 0) for run in runs.values()]
        print(f"{kind:24}" + "".join(f"{seconds:16.1f}" for seconds in spent))
    waited = [NUM_CORES * run.seconds - sum(run.cpu_seconds.values()) for run in runs.values()]
    print(f"{'waiting':24}" + "".join(f"{seconds:16.1f}" for seconds in waited) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 M impressions instead of 20 M")
    parser.add_argument("--rows", type=int, help="impressions")
    parser.add_argument("--skewed", action="store_true", help="half of the clicks in 1 %% of rows")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="impressions, each size")
    arguments = parser.parse_args()
    num_rows = arguments.rows or (NUM_ROWS_QUICK if arguments.quick else NUM_ROWS)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--master local[{NUM_CORES}] --driver-memory {MEMORY} pyspark-shell"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = measure(folder, num_rows, arguments.skewed, arguments.sizes)
    bars = {
        name: next(bar for key, bar in BARS.items() if name.startswith(key)) for name in figures
    }
    print(json.dumps({
        "ratios": {name: round(figure, 2) for name, figure in figures.items()},
        "bars": bars,
        "missed": [name for name, figure in figures.items() if figure > bars[name]],
    }))


def measure(folder: Path, num_rows: int, is_skewed: bool, sizes: list[int]) -> dict[str, float]:
    """All figures by their names, each of which begins as its bar does."""
    uniform = generated(folder / "uniform", num_rows)
    spark = open_session("benchmark: build")
    first = timed("ours, first build", lambda: build(spark, uniform), spark)
    second = timed("ours, second build", lambda: build(spark, uniform), spark)
    figures, per_row = {}, [second.seconds / num_rows]
    peak = max(first, second, key=lambda run: run.peak_bytes)
    if is_skewed:
        skewed = generated(folder / "skewed", num_rows, is_skewed)
        of_skewed = timed("ours, skewed", lambda: build(spark, skewed), spark)
        third = timed("ours, third build", lambda: build(spark, uniform), spark)
        figures["skewed to uniform"] = of_skewed.seconds / min(second.seconds, third.seconds)
        shutil.rmtree(skewed)
    for size in sizes:
        sized = generated(folder / "sized", size)
        run = timed(f"ours, {size:,} rows", lambda: build(spark, sized), spark)
        per_row.append(run.seconds / size)
        peak = max(peak, run, key=lambda run: run.peak_bytes)
        shutil.rmtree(sized)
    if sizes:
        figures["seconds per row, most to least"] = max(per_row) / min(per_row)
    figures["GiB at the peak"] = peak.peak_bytes / 2**30
    spark.stop()
    ducks = [
        timed(f"DuckDB, keeps {kept}",
              lambda: build_with_duckdb(uniform, kept, NUM_CORES, DUCKDB_MEMORY))
        for kept in (*KEPT, *KEPT)
    ]
    assert {first.counts, second.counts} == {duck.counts for duck in ducks}, "the sides disagree"
    fastest = min(ducks, key=lambda run: run.seconds)
    print_where_time_goes({"first build": first, "second build": second, "DuckDB": fastest})
    return {
        "first build to DuckDB": first.seconds / fastest.seconds,
        "second build to DuckDB": second.seconds / fastest.seconds, **figures,
    }


if __name__ == "__main__":
    main()
