"""Fixtures that several kinds of test share; must not import Spark or torch until a test asks."""

import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Test tensors are tiny: threads that wait for each other take up to twenty times as long as one
# alone where the cores are shared. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# HotSpot's second compiler is a large part of what a JVM does in its first minutes, and no test
# lasts long enough to repay it. Whatever starts Spark inherits this: sessions, jobs, clusters.
JVM_FLAGS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
for _starter in ("SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS", "SPARK_DAEMON_JAVA_OPTS"):
    os.environ.setdefault(_starter, JVM_FLAGS)

# A shared machine is slow by moments; what is too slow as a whole shows in the suite's time.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    """One small local Spark for the whole run, set as the jobs set theirs.

    Nothing is left behind outside pytest's folder.
    """
    from pyspark.sql import SparkSession

    from esmm_dist.samples.session import SETTINGS

    folder = tmp_path_factory.mktemp("spark")
    # The driver and its Python workers must be one interpreter, whatever `python3` is on PATH.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    session = (
        builder
        .appName("esmm-dist tests")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .config("spark.sql.shuffle.partitions", "2")
        # Tests build by the same few configs again and again: what is generated stays compiled.
        .config("spark.sql.codegen.cache.maxEntries", "2000")
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.local.dir", str(folder / "local"))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def limited_files() -> Iterator[Callable[[int], None]]:
    """Lets this process write no file beyond some bytes, as if a disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda num_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, and the gpu tests skipped, saying why, where there is no device.

    Of several processes none then begins a file of minutes when the others have ended.
    """
    seconds_of_file: dict[Path, float] = {}
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = float(marker.args[0]) if marker else 0.0
        seconds_of_file[item.path] = max(seconds, seconds_of_file.get(item.path, 0.0))
    items.sort(key=lambda item: -seconds_of_file[item.path])
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items:
        import torch

        if not torch.cuda.is_available():
            for item in gpu_items:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))
