"""A standalone Spark cluster of two workers on loopback, and jobs submitted to it.

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
from pathlib import Path

import pyspark

ROOT = Path(__file__).parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
NUM_WORKERS = 2
# Whatever the tests run with must not help the workers to find the package.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")
} | {"SPARK_HOME": str(SPARK_HOME), "PYSPARK_PYTHON": sys.executable,
     "PYSPARK_DRIVER_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}


class Cluster:
    """A running one."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address

    def executors(self) -> list[tuple[str, ...]]:
        """The application and the number of every executor that has run."""
        return sorted(path.parts[-2:] for path in self.folder.glob("work/app-*/*") if path.is_dir())


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A master with two workers of one core each."""
    folder.mkdir()
    port = _free_port()
    address = f"spark://127.0.0.1:{port}"
    processes = []
    try:
        processes.append(_launch(
            folder, "master.log", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1",
            "--port", str(port), "--webui-port", "0",
        ))
        _wait_for(folder / "master.log", "I have been elected leader|Starting Spark master",
                  processes[0])
        for number in range(NUM_WORKERS):
            processes.append(_launch(
                folder, f"worker{number}.log", "org.apache.spark.deploy.worker.Worker", "--host",
                "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", "0", address,
            ))
        for number in range(NUM_WORKERS):
            _wait_for(folder / f"worker{number}.log", "Successfully registered with master",
                      processes[1 + number])
        yield Cluster(folder, address)
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


def submitted(
    folder: Path, address: str, job: str, *arguments: str
) -> "subprocess.Popen[str]":
    """A job on its way; it is copied to a folder, the package is not. It logs for machines."""
    copy = shutil.copy(ROOT / "jobs" / f"{job}.py", folder)
    return subprocess.Popen(
        [str(SPARK_HOME / "bin" / "spark-submit"), "--master", address, "--driver-memory", "1g",
         "--executor-memory", "512m", "--py-files", str(_package(folder)),
         "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1",
         "--conf", "spark.sql.shuffle.partitions=2", "--conf",
         f"spark.executor.extraJavaOptions={ENVIRONMENT['SPARK_DAEMON_JAVA_OPTS']}",
         copy, *arguments],
        cwd=folder, text=True,
        env=ENVIRONMENT | {"SPARK_LOCAL_DIRS": str(folder / "local"), "ESMM_DIST_LOG": "json"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )


def submit(folder: Path, address: str, job: str, *arguments: str) -> str:
    """Runs a job to its good end; what it has said."""
    process = submitted(folder, address, job, *arguments)
    try:
        output, _ = process.communicate(timeout=600)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
    assert process.returncode == 0, output[-4000:]
    return output


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _launch(folder: Path, log: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """A process of Spark's in a session of its own, so that its children end with it."""
    with (folder / log).open("wb") as output:
        return subprocess.Popen(
            [str(SPARK_HOME / "bin" / "spark-class"), *arguments], cwd=folder, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
            env=ENVIRONMENT | {"SPARK_WORKER_DIR": str(folder / "work"),
                               "SPARK_LOCAL_DIRS": str(folder / "local"),
                               "SPARK_DAEMON_MEMORY": "256m"},
        )


def _wait_for(path: Path, pattern: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while not re.search(pattern, path.read_text(errors="replace")):
        assert process.poll() is None and time.monotonic() < deadline, path.read_text()
        time.sleep(0.2)


def _package(folder: Path) -> Path:
    """The package as --py-files takes it."""
    path = folder / "esmm_dist.zip"
    if not path.exists():
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted((ROOT / "esmm_dist").rglob("*")):
                if file.suffix in (".py", ".j2"):
                    archive.write(file, file.relative_to(ROOT))
    return path
