"""Starts real Horovod processes on this machine and never leaves one behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def command_on(num_ranks: int, *arguments: str | Path) -> list[str]:
    """`python arguments...` on some ranks; on one, without the launcher."""
    # Beside the interpreter, so that it is this environment's, activated or not. Asked for Gloo, it
    # does not first start a process to look for MPI, which imports torch for seconds.
    launcher = [Path(sys.executable).with_name("horovodrun"), "--gloo", "-np", num_ranks]
    command = [*(launcher if num_ranks > 1 else []), sys.executable, *arguments]
    return [str(part) for part in command]


def horovodrun(
    num_ranks: int, *arguments: str | Path, timeout_seconds: float = 120,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs `python arguments...` on some ranks, one thread each, from the repository's root."""
    process = subprocess.Popen(
        command_on(num_ranks, *arguments), cwd=ROOT, text=True, stdout=subprocess.PIPE,
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
