"""One timed build: how long it took, what the processors did meanwhile, and what came out."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pyspark.sql import SparkSession

from benchmarks.parts.process_tree import JVM_REST, cpu_seconds, memory_watched

Counts = tuple[int, int, int]


class Run(NamedTuple):
    """Seconds, those of the processors by what they went to, memory, and how many rows, clicked
    rows and converted rows were written."""

    seconds: float
    cpu_seconds: Mapping[str, float]
    peak_bytes: int
    counts: Counts

    @property
    def microseconds_per_row(self) -> float:
        return 1e6 * self.seconds / self.counts[0]


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
          f"{run.microseconds_per_row:6.2f} µs a row {run.peak_bytes / 2**30:5.1f} GiB   "
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
