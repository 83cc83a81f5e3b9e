"""Rows per second from a table to its scores: the job beside a Python call per row, and its parts.

    python -m benchmarks.score [--quick] [--rows N]

4 M impressions (--quick: 1 M) of 20 features, tables of 18.9 M rows of 18 numbers (1.36 GB, beside
the ONNX file), two towers 360-200-80; two cores, the JVM's start left out. The weights are drawn:
how they were trained costs nothing here. The job counts, encodes, scores, writes and publishes; a
Python call per row does the same by the online encoder in a UDF, on a fortieth of the rows, written
as Parquet. onnxruntime and PyTorch alone score arrays of ids that are ready, by one core each.
Online: requests of raw values to probabilities on one core, by themselves and a hundred at a time.
Ratios are of CPU seconds, which what else the machine does moves least.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.parts.one_day import DAY, config_of, generate
from benchmarks.parts.process_tree import cpu_seconds
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.encodings import Encodings, num_rows_of_table
from esmm_dist.contract.exported import inputs_of
from esmm_dist.contract.outputs import PROBABILITIES
from esmm_dist.contract.row_space import RowSpace
from esmm_dist.contract.sections import Config
from esmm_dist.interchange.programs import trace, write_onnx
from esmm_dist.interchange.tables import WholeTables
from esmm_dist.model.method import method_of
from esmm_dist.model.network import Networks
from esmm_dist.model.served import ServedModel
from esmm_dist.samples.session import open_session
from esmm_dist.scoring.days import ShippedModel, score_days
from esmm_dist.scoring.store import ScoresStore
from esmm_dist.scoring.table import ScoringTable
from esmm_dist.serving.onnx_model import OnnxModel
from esmm_dist.serving.requests import RequestEncoder
from esmm_dist.serving.scorer import ArrowScorer

NUM_CORES = 2
NUM_ROWS, NUM_ROWS_QUICK, ROWS_PER_UDF_ROW = 4_000_000, 1_000_000, 40
NUM_THREADS_TO_GENERATE = 2
BATCH_SIZE, NUM_BATCHES = 10_000, 12
NUM_REQUESTS = 4_000
MEMORY = "3g"
BARS = {"the job to a Python call per row": 20.0, "the job to onnxruntime alone": 0.5,
        "requests encoded a CPU second, to 20,000": 1.0}


def make_model(folder: Path, config: Config) -> tuple[ServedModel, ShippedModel]:
    """A model of the config with drawn weights, exported as esmm_dist.export does it."""
    method = method_of(config.model, seed=1)
    space = RowSpace(num_rows_of_table(config.features, Encodings()))
    tables_path = folder / "tables-drawn.bin"
    tables = WholeTables(list(method.networks), space, config.model.embedding_dim, torch.float32,
                         tables_path)
    for of_network in tables.of_network.values():
        for rows_ND in of_network.values():
            rows_ND.normal_(0, 0.1)
    networks = Networks.of(config.features, config.model, method.networks, seed=1)
    model = ServedModel(config.features, method, networks, tables.of_network, Calibration())
    inputs = inputs_of(config.features)
    path = folder / "model.onnx"
    write_onnx(trace(model, inputs), path, inputs, model, tables, tables_path)
    scorer = partial(ArrowScorer, inputs=inputs, probabilities=PROBABILITIES)
    return model, ShippedModel((path, tables_path), "drawn.onnx", scorer, PROBABILITIES)


# ---------------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------------


def by_the_job(
    spark: SparkSession, folder: Path, config: Config, model: ShippedModel
) -> Callable[[], int]:
    """Our job."""
    def run() -> int:
        table = ScoringTable(spark, config, config.features, {})
        store = ScoresStore(spark, str(folder / "scores"))
        manifest = score_days(spark, table, store, model, Encodings(), "drawn", [DAY])
        return sum(day.num_rows for day in manifest.days)

    return run


def by_calls(
    spark: SparkSession, folder: Path, config: Config, model: ShippedModel, num_rows: int
) -> Callable[[], int]:
    """A Python call per row: what is often written first."""
    names, path = [feature.name for feature in config.features], model.files[0]
    opened: list[Any] = []

    def score_row(row: Any) -> list[float]:
        if not opened:
            encoder = RequestEncoder(config.features, Encodings())
            opened.append((encoder, OnnxModel(path)))
        encoder, onnx = opened[0]
        scores = onnx.run(encoder.encode([row.asDict()]), PROBABILITIES)
        return [float(scores[name][0]) for name in PROBABILITIES]

    def run() -> int:
        few: DataFrame = spark.read.parquet(str(config.logs.impressions.path)).limit(num_rows)
        spread = few.repartition(NUM_CORES)
        scored = spread.select("impression_id", F.udf(score_row, "array<double>")(
            F.struct(*names)
        ).alias("scores"))
        scored.write.mode("overwrite").parquet(str(folder / "by_calls"))
        return num_rows

    return run


# ---------------------------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------------------------


def drawn_batches(config: Config) -> list[dict[str, NDArray[Any]]]:
    """Ids as they come to the model."""
    rng = np.random.default_rng(1)
    num_rows = num_rows_of_table(config.features, Encodings())
    return [
        {name: rng.integers(0, number, (BATCH_SIZE, 1)).astype(np.int32)
         for name, number in num_rows.items()}
        for _ in range(NUM_BATCHES)
    ]


def by_onnx(model: ShippedModel, batches: Sequence[Mapping[str, Any]]) -> Callable[[], int]:
    """The exported model alone."""
    onnx = OnnxModel(model.files[0])
    return lambda: sum(len(onnx.run(batch, PROBABILITIES)["p_ctr"]) for batch in batches)


def by_torch(model: ServedModel, batches: Sequence[Mapping[str, Any]]) -> Callable[[], int]:
    """The same model before it was exported."""
    given = [{name: torch.from_numpy(values) for name, values in batch.items()}
             for batch in batches]

    def run() -> int:
        with torch.no_grad():
            return sum(len(model(batch)["p_ctr"]) for batch in given)

    return run


def requests_of(config: Config) -> list[dict[str, Any]]:
    """Raw rows of the log."""
    (path,) = Path(str(config.logs.impressions.path)).glob("*/*.parquet")
    first: pa.RecordBatch = next(pq.ParquetFile(path).iter_batches(NUM_REQUESTS))
    rows: list[dict[str, Any]] = first.to_pylist()
    return rows


def online(config: Config, model: ShippedModel) -> dict[str, float]:
    """Requests by the CPU second, and how long one takes."""
    encoder = RequestEncoder(config.features, Encodings())
    onnx = OnnxModel(model.files[0])
    requests = requests_of(config)

    def score(some: Sequence[dict[str, Any]]) -> None:
        onnx.run(encoder.encode(some), PROBABILITIES)

    figures = {}
    for name, size, act in (
        ("encoded, one by one", 1, encoder.encode), ("encoded, 100 at a time", 100, encoder.encode),
        ("scored, one by one", 1, score), ("scored, 100 at a time", 100, score),
    ):
        start = time.process_time()
        times = list(timed_calls(act, chunks(requests, size)))
        figures[name] = len(requests) / (time.process_time() - start)
        cuts = statistics.quantiles(times, n=100)
        print(f"online, {name:28} {figures[name]:12,.0f} a CPU second   one call "
              f"{1e6 * cuts[49]:7.0f} µs, 99 % within {1e6 * cuts[98]:7.0f} µs")
    return figures


def chunks(requests: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(requests), size):
        yield requests[start : start + size]


def timed_calls(act: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[float]:
    for argument in arguments:
        start = time.perf_counter()
        act(argument)
        yield time.perf_counter() - start


# ---------------------------------------------------------------------------------------------
# The figures
# ---------------------------------------------------------------------------------------------


def rows_per_cpu_second(what: str, runs: Sequence[Callable[[], int]]) -> float:
    """Of the last of some runs, which the ones before have warmed; the CPU of all processes."""
    for run in runs:
        start, cpu_start = time.perf_counter(), sum(cpu_seconds().values())
        num_rows = run()
        seconds, cpu = time.perf_counter() - start, sum(cpu_seconds().values()) - cpu_start
        print(f"{what:36} {num_rows / seconds:12,.0f} rows/s {num_rows / cpu:12,.0f} rows a CPU s"
              f"  {num_rows:>10,} rows in {seconds:6.1f} s, {cpu:6.1f} CPU s", flush=True)
    return num_rows / cpu


def measure(folder: Path, num_rows: int) -> dict[str, float]:
    """All figures."""
    generate(folder, num_rows, False, NUM_THREADS_TO_GENERATE)
    config = config_of(folder)
    model, shipped = make_model(folder, config)
    batches = drawn_batches(config)
    onnx = rows_per_cpu_second("onnxruntime alone, one core", [by_onnx(shipped, batches)] * 2)
    rows_per_cpu_second("PyTorch alone, one core", [by_torch(model, batches)] * 2)
    figures = online(config, shipped)
    spark = open_session("benchmark: score")
    job = rows_per_cpu_second("the job, two cores",
                              [by_the_job(spark, folder, config, shipped)] * 2)
    few = num_rows // ROWS_PER_UDF_ROW
    calls = rows_per_cpu_second("a Python call per row, two cores",
                                [by_calls(spark, folder, config, shipped, few)] * 2)
    spark.stop()
    return {
        "the job to a Python call per row": job / calls,
        "the job to onnxruntime alone": job / onnx,
        "requests encoded a CPU second, to 20,000": figures["encoded, 100 at a time"] / 20_000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="1 M impressions instead of 4 M")
    parser.add_argument("--rows", type=int, help="impressions")
    arguments = parser.parse_args()
    num_rows = arguments.rows or (NUM_ROWS_QUICK if arguments.quick else NUM_ROWS)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--master local[{NUM_CORES}] --driver-memory {MEMORY} pyspark-shell"
    )
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        figures = measure(Path(name), num_rows)
    print(json.dumps({
        "ratios": {name: round(figure, 2) for name, figure in figures.items()},
        "bars": BARS,
        "missed": [name for name, bar in BARS.items() if figures[name] < bar],
    }))


if __name__ == "__main__":
    main()
