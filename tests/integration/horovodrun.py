"""Starts real Horovod processes on this machine and never leaves one behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def horovodrun(
    num_ranks: int, *arguments: str | Path, timeout_seconds: float = 120,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs `python arguments...` on some ranks, one thread each, from the repository's root."""
    # Beside the interpreter, so that it is this environment's, activated or not.
    launcher = Path(sys.executable).with_name("horovodrun")
    command = [launcher, "-np", str(num_ranks), sys.executable, *arguments]
    process = subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(environment or {})},
    )
    try:
        output, _ = process.communicate(timeout=timeout_seconds)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, output)
