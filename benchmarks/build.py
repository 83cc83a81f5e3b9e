"""Seconds to build one day of samples: our Spark job beside DuckDB doing the same work.

    python -m benchmarks.build [--quick] [--rows N] [--skewed] [--sizes N ...]

20 M impressions (--quick: 4 M, no record) of 20 features, 4 % clicks, 5 % of these convert; two
cores, the JVM's start left out. Both sides keep each impression once, join its events inside their
windows, turn values into ids, order the day by a hash and write row groups of 524,288 rows. Ours
builds several times in one session: the first build compiles its code, later ones find it compiled.
They and DuckDB take turns, so that what else the machine does falls on both alike; a ratio is the
median over the turns. Of rows of equal id DuckDB keeps any, or the earliest as we do; in every turn
its faster way is the one that counts.

--skewed: 1 % of the impressions have half of the clicks; a build of these beside one of the others.
--sizes: seconds per row at these sizes too, and the most memory that the JVM, the driver and the
Python workers ever held together.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pyspark.sql import SparkSession

from benchmarks.parts.build_run import Counts, Run, timed
from benchmarks.parts.duckdb_build import KEPT, build_with_duckdb
from benchmarks.parts.one_day import DAY, config_of, generate
from benchmarks.parts.record import bars, heading, stem, table, write_record
from esmm_dist.samples.build import Builder
from esmm_dist.samples.session import open_session

NUM_CORES, NUM_TURNS = 2, 3
NUM_ROWS, NUM_ROWS_QUICK = 20_000_000, 4_000_000
MEMORY, DUCKDB_MEMORY = "3g", "6GB"
FIRST, LATER, DUCKDB = "first build", "later builds", "DuckDB"
SKEWED, PER_ROW, PEAK = "skewed to uniform", "seconds per row, most to least", "GiB at the peak"
T = TypeVar("T")
BARS = {f"{FIRST} to {DUCKDB}": 2.0, f"{LATER} to {DUCKDB}": 2.0, SKEWED: 1.3, PER_ROW: 1.2,
        PEAK: 6.0}


@dataclass
class Runs:
    """Every build that was timed."""

    first: Run
    later: list[Run] = field(default_factory=list)
    ducks: list[dict[str, Run]] = field(default_factory=list)
    """By turn, by which of equal rows is kept."""
    skewed: tuple[Run, Run] | None = None
    """And a uniform one beside it."""
    sized: list[Run] = field(default_factory=list)

    @property
    def ours(self) -> list[Run]:
        return [self.first, *self.later, *(self.skewed or ()), *self.sized]

    @property
    def fastest_ducks(self) -> list[Run]:
        """Of every turn."""
        return [min(duck.values(), key=_seconds) for duck in self.ducks]


def measure(folder: Path, num_rows: int, is_skewed: bool, sizes: Sequence[int]) -> Runs:
    """Generates the logs and builds them."""
    uniform = generated(folder / "uniform", num_rows)
    spark = open_session("benchmark: build")
    runs = Runs(timed("ours, first build", lambda: build(spark, uniform), spark))
    for _ in range(NUM_TURNS):
        runs.ducks.append({kept: in_own_process(duck_run, uniform, kept) for kept in KEPT})
        runs.later.append(timed("ours, later build", lambda: build(spark, uniform), spark))
    ducks = [run for duck in runs.ducks for run in duck.values()]
    sides = {run.counts for run in (*runs.ours, *ducks)}
    assert len(sides) == 1, f"the sides disagree: {sides}"
    if is_skewed:
        skewed = generated(folder / "skewed", num_rows, is_skewed)
        of_skewed = timed("ours, skewed", lambda: build(spark, skewed), spark)
        beside = timed("ours, uniform beside it", lambda: build(spark, uniform), spark)
        runs.skewed = of_skewed, beside
        shutil.rmtree(skewed)
    for size in sizes:
        sized = generated(folder / "sized", size)
        runs.sized.append(timed(f"ours, {size:,} rows", lambda: build(spark, sized), spark))
        shutil.rmtree(sized)
    spark.stop()
    return runs


def generated(folder: Path, num_rows: int, is_skewed: bool = False) -> Path:
    """The folder, with logs in it."""
    in_own_process(generate, folder, num_rows, is_skewed, NUM_CORES)
    return folder


def duck_run(folder: Path, kept: str) -> Run:
    """DuckDB's build of the logs of a folder."""
    return timed(f"DuckDB, keeps {kept}",
                 lambda: build_with_duckdb(folder, kept, NUM_CORES, DUCKDB_MEMORY))


def in_own_process(function: Callable[..., T], *args: object) -> T:
    """Calls it where its memory is not the job's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def build(spark: SparkSession, folder: Path) -> Counts:
    """Our job on the logs of a folder, from nothing."""
    config = config_of(folder)
    shutil.rmtree(config.samples.path, ignore_errors=True)
    (day,) = Builder(spark, config, refit=False).build([DAY]).days
    return day.num_rows, day.num_clicks, day.num_conversions


def _seconds(run: Run) -> float:
    return run.seconds


def median_run(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=_seconds)[len(runs) // 2]


def ratios_of(runs: Runs) -> dict[str, float]:
    """What the bars are for."""
    ducks = runs.fastest_ducks
    ratios = {
        f"{FIRST} to {DUCKDB}": runs.first.seconds / median_run(ducks).seconds,
        f"{LATER} to {DUCKDB}": statistics.median(
            ours.seconds / duck.seconds for ours, duck in zip(runs.later, ducks)),
    }
    if runs.skewed:
        of_skewed, beside = runs.skewed
        ratios[SKEWED] = of_skewed.seconds / beside.seconds
    if runs.sized:
        per_row = [run.microseconds_per_row for run in (median_run(runs.later), *runs.sized)]
        ratios[PER_ROW] = max(per_row) / min(per_row)
    return ratios | {PEAK: max(run.peak_bytes for run in runs.ours) / 2**30}


def runs_table(runs: Runs) -> str:
    """One line for each way to build."""
    of_way = {"ours, first build in a session": [runs.first], "ours, later builds": runs.later}
    of_way |= {f"DuckDB, keeps {kept} of equal ids": [duck[kept] for duck in runs.ducks]
               for kept in KEPT}
    if runs.skewed:
        of_way |= {"ours, 1 % of keys with half of the clicks": [runs.skewed[0]],
                   "ours, uniform beside it": [runs.skewed[1]]}
    of_way |= {f"ours, {run.counts[0]:,} rows": [run] for run in runs.sized}
    return table(["", "seconds", "CPU seconds", "µs a row", "GiB at the peak"], [
        [way, ", ".join(f"{run.seconds:.1f}" for run in of_runs),
         ", ".join(f"{sum(run.cpu_seconds.values()):.1f}" for run in of_runs),
         f"{median_run(of_runs).microseconds_per_row:.2f}",
         f"{max(run.peak_bytes for run in of_runs) / 2**30:.1f}"]
        for way, of_runs in of_way.items()])


def where_time_goes(runs: Runs) -> str:
    """Core seconds by what they went to; what is no CPU is waiting: for files, for the other core
    to end its task, for a plan to be made."""
    shown = {FIRST: runs.first, LATER: median_run(runs.later),
             DUCKDB: median_run(runs.fastest_ducks)}
    kinds = sorted({kind for run in shown.values() for kind in run.cpu_seconds})
    names = {"this process": "the driver, or DuckDB"}
    rows = [[names.get(kind, kind),
             *(f"{run.cpu_seconds.get(kind, 0):.1f}" for run in shown.values())] for kind in kinds]
    waited = [NUM_CORES * run.seconds - sum(run.cpu_seconds.values()) for run in shown.values()]
    return table(["core seconds", *shown],
                 [*rows, ["waiting", *(f"{seconds:.1f}" for seconds in waited)]])


def fixed_seconds(runs: Sequence[Run]) -> float:
    """What a build takes whatever its rows: the line through the least and the most, at none."""
    least, *_, most = sorted(runs, key=lambda run: run.counts[0])
    per_row = (most.seconds - least.seconds) / (most.counts[0] - least.counts[0])
    return least.seconds - per_row * least.counts[0]


def why_missed(label: str, runs: Runs) -> str:
    """What was measured that tells why."""
    if label == PER_ROW:
        fixed = fixed_seconds([median_run(runs.later), *runs.sized])
        return (f"By the line through the smallest and the largest, a build takes {fixed:.1f} s "
                "whatever its rows: to count the logs, to plan, and, it seems, to compile what "
                "differs from size to size. Each size is built once here.")
    return "No reason was measured in this run."


def record(runs: Runs, ratios: dict[str, float]) -> str:
    """The page."""
    rows, clicks, conversions = runs.first.counts
    told = bars(ratios, {name: BARS[name] for name in ratios},
                lambda label: why_missed(label, runs), at_most=True)
    return "".join([
        heading("Building a day: our job beside DuckDB",
                " ".join(["python -m benchmarks.build", *sys.argv[1:]]),
                f"{rows:,} impressions x 20 features; both sides come to {clicks:,} clicks and "
                f"{conversions:,} conversions. {MEMORY} of heap for the JVM, whose start is left "
                f"out, {DUCKDB_MEMORY} for DuckDB; {NUM_TURNS} turns."),
        "\n", runs_table(runs), "\n", told,
        "\n## Where the time goes\n\nThe first build, and the medians of the others.\n\n",
        where_time_goes(runs),
    ])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 M impressions, and no record")
    parser.add_argument("--rows", type=int, help="impressions, and no record")
    parser.add_argument("--skewed", action="store_true", help="half of the clicks in 1 %% of rows")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="impressions, each size")
    arguments = parser.parse_args()
    num_rows = arguments.rows or (NUM_ROWS_QUICK if arguments.quick else NUM_ROWS)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--master local[{NUM_CORES}] --driver-memory {MEMORY} pyspark-shell"
    )
    with tempfile.TemporaryDirectory() as name:
        runs = measure(Path(name), num_rows, arguments.skewed, arguments.sizes)
    ratios = ratios_of(runs)
    print("\n" + where_time_goes(runs))
    if num_rows == NUM_ROWS:
        print(write_record(stem("build"), record(runs, ratios)))
    print(json.dumps({
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "bars": {name: BARS[name] for name in ratios},
        "missed": [name for name, ratio in ratios.items() if ratio > BARS[name]],
    }))


if __name__ == "__main__":
    main()
