"""A job in a process of its own that is killed as soon as it shows that it has begun to write."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS_TO_BEGIN = 200


def kill_when(has_begun: Callable[[], bool], command: Sequence[str], scratch: Path) -> None:
    """Runs `spark-submit command` and kills it, its JVM too, once `has_begun` says so.

    Args:
        scratch: where Spark may put what it leaves.

    Raises:
        AssertionError: it ended by itself, or never began.
    """
    kill_job_when(has_begun, subprocess.Popen(
        ["spark-submit", "--master", "local[1]", *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_DIRS": str(scratch)},
        start_new_session=True,
    ))


def kill_job_when(has_begun: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Kills a job that has a session of its own, so that its JVM goes with it.

    Raises:
        AssertionError: as `kill_when`.
    """
    try:
        deadline = time.monotonic() + SECONDS_TO_BEGIN
        while not has_begun() and process.poll() is None:
            assert time.monotonic() < deadline, "the job never began to write"
            time.sleep(0.02)
        ended_by_itself = process.poll() is not None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=30)
    assert not ended_by_itself, output
