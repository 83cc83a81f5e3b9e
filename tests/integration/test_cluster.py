"""A standalone cluster of two workers on loopback builds what local mode builds.

Master and workers run as processes of their own, in a folder from which the package cannot be
imported: it comes to them by --py-files, its compiled dependencies by the Python that they run.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyspark
import pytest

from esmm_dist.contract.manifest import Day, read_manifest
from tests.factories.raw_logs import config_of, dirty_logs, write_logs
from tests.oracles.log_rows import Rules

# Two jobs and three more processes of Spark's: minutes where the machine is busy.
pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
DAYS = (date(2026, 3, 1), date(2026, 3, 2))
HOUR = timedelta(hours=1)
RULES = Rules(ZoneInfo("UTC"), 24 * HOUR, 24 * HOUR, ("order",))
NUM_WORKERS = 2
# Whatever the tests run with must not help the workers to find the package.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")
} | {"SPARK_HOME": str(SPARK_HOME), "PYSPARK_PYTHON": sys.executable,
     "PYSPARK_DRIVER_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def launch(folder: Path, log: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A process of Spark's in a session of its own, so that its children end with it."""
    with (folder / log).open("wb") as output:
        return subprocess.Popen(
            [str(SPARK_HOME / "bin" / "spark-class"), *arguments], cwd=folder, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
            env=ENVIRONMENT | {"SPARK_WORKER_DIR": str(folder / "work"),
                               "SPARK_LOCAL_DIRS": str(folder / "local"),
                               "SPARK_DAEMON_MEMORY": "256m"},
        )


def wait_for(path: Path, pattern: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not re.search(pattern, path.read_text(errors="replace")):
        assert process.poll() is None and time.monotonic() < deadline, path.read_text()
        time.sleep(0.2)


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of a master with two workers of one core each."""
    folder.mkdir()
    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    processes = []
    try:
        processes.append(launch(
            folder, "master.log", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1",
            "--port", str(port), "--webui-port", "0",
        ))
        wait_for(folder / "master.log", "I have been elected leader|Starting Spark master",
                 processes[0])
        for number in range(NUM_WORKERS):
            processes.append(launch(
                folder, f"worker{number}.log", "org.apache.spark.deploy.worker.Worker", "--host",
                "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", "0", address,
            ))
        for number in range(NUM_WORKERS):
            wait_for(folder / f"worker{number}.log", "Successfully registered with master",
                     processes[1 + number])
        yield address
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


def package(folder: Path) -> Path:
    """The package as --py-files takes it."""
    path = folder / "esmm_dist.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((ROOT / "esmm_dist").rglob("*")):
            if file.suffix in (".py", ".j2"):
                archive.write(file, file.relative_to(ROOT))
    return path


def submit(folder: Path, master: str, *flags: str) -> None:
    """Builds the samples of a folder's logs; the job alone is copied there, not the package."""
    config = folder / "config.yaml"  # JSON is YAML
    config.write_text(
        config_of(folder, True, RULES, *DAYS).model_dump_json(exclude_none=True)
    )
    job = shutil.copy(ROOT / "jobs" / "build_samples.py", folder)
    done = subprocess.run(
        [str(SPARK_HOME / "bin" / "spark-submit"), "--master", master, "--driver-memory", "1g",
         "--executor-memory", "512m", "--py-files", str(package(folder)),
         "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1",
         "--conf", "spark.sql.shuffle.partitions=2", *flags, job, "--config", str(config)],
        cwd=folder, env=ENVIRONMENT | {"SPARK_LOCAL_DIRS": str(folder / "local")},
        capture_output=True, text=True, timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-1000:]


def contents(folder: Path, day: Day) -> list[bytes]:
    return [(folder / "samples" / file.path).read_bytes() for file in day.files]


def test_two_workers_build_what_local_mode_builds(tmp_path: Path) -> None:
    logs = dirty_logs(3, 600, list(DAYS), RULES, is_partitioned=True)
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        write_logs(logs, folder, is_partitioned=True, num_files=2, seed=1)
    submit(here, "local[1]")
    with cluster(tmp_path / "cluster") as address:
        submit(there, address)
        work = tmp_path / "cluster" / "work"
        executors = {path.name for path in work.glob("app-*/*") if path.is_dir()}
        shipped = list(work.glob("app-*/*/esmm_dist.zip"))
    assert len(executors) == len(shipped) == NUM_WORKERS
    local, clustered = (read_manifest(folder / "samples") for folder in (here, there))
    assert [day.day for day in local.days] == list(DAYS)
    for one, other in zip(local.days, clustered.days, strict=True):
        assert one.counters == other.counters
        assert contents(here, one) == contents(there, other), "byte for byte"
