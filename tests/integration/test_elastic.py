"""An elastic job takes in a worker and outlives another, and trains what an unbroken run trains."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.train import train_run
from esmm_dist.training.checkpoint import Index, latest_checkpoint
from esmm_dist.training.curve import read_curve
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import ROOT

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(900)]

FOLD = "2024-01-03"
NUM_EPOCHS, STEPS_PER_EPOCH = 25, 40


def wait_until(is_so: Callable[[], Any], launcher: subprocess.Popen[str]) -> Any:
    """What becomes true, once it is."""
    deadline = time.monotonic() + 120
    while not (found := is_so()):
        assert launcher.poll() is None and time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)
    return found


def worker_on(host: str, config: Path) -> int | None:
    """The process that trains on a host of this job; all of its hosts are names of this machine."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        is_ours = str(config).encode() in words and b"esmm_dist.train" in words
        if is_ours and f"HOROVOD_HOSTNAME={host}".encode() in environment:
            return int(process.name)
    return None


def start(config: Path, hosts: Path) -> subprocess.Popen[str]:
    """One worker, and as many more as `hosts` comes to name."""
    script = hosts.with_name("discover.sh")
    script.write_text(f"#!/bin/sh\ncat {hosts}\n")
    script.chmod(0o755)
    command = [
        Path(sys.executable).with_name("horovodrun"), "--gloo", "--network-interface", "lo",
        "-np", "1", "--min-np", "1", "--max-np", "2", "--host-discovery-script", script,
        sys.executable, "-m", "esmm_dist.train", "--config", config,
    ]
    return subprocess.Popen(
        [str(word) for word in command], cwd=ROOT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )


def losses(run_path: Path) -> list[float]:
    return [point["loss"] for point in read_curve(run_path / "curves" / f"{FOLD}.jsonl")]


def test_a_job_takes_in_a_worker_and_outlives_it(tmp_path: Path) -> None:
    document = small_document(tmp_path)
    document["train"] |= {"precision": "float64", "num_epochs": NUM_EPOCHS, "steps_per_log": 1,
                          "steps_per_checkpoint": 20}
    write_samples(document, num_rows_of_day=STEPS_PER_EPOCH * 120)
    config = write_config(tmp_path, document)
    checkpoints = tmp_path / "runs" / "small" / "checkpoints" / FOLD
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost:1\n")

    def num_ranks() -> int:
        """Of the last checkpoint; 0 before the first, and while one is being removed."""
        try:
            latest = latest_checkpoint(checkpoints)
            return Index.read(latest).num_ranks if latest else 0
        except Exception:
            return 0

    launcher = start(config, hosts)
    try:
        wait_until(num_ranks, launcher)
        hosts.write_text("localhost:1\n127.0.0.1:1\n")
        wait_until(lambda: num_ranks() == 2, launcher)
        joined = wait_until(lambda: worker_on("127.0.0.1", config), launcher)
        os.kill(joined, signal.SIGKILL)
        wait_until(lambda: num_ranks() == 1, launcher)
        output, _ = launcher.communicate(timeout=200)
    finally:
        if launcher.poll() is None:
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
    latest = latest_checkpoint(checkpoints)
    assert latest is not None and Index.read(latest).step == NUM_EPOCHS * STEPS_PER_EPOCH, output

    alone = write_config(tmp_path, document | {"name": "alone"})
    train_run(load_config(alone), SoloWorld(), resume=False)
    found, expected = losses(tmp_path / "runs" / "small"), losses(tmp_path / "runs" / "alone")
    assert len(found) == len(expected) == NUM_EPOCHS * STEPS_PER_EPOCH
    assert found == pytest.approx(expected, rel=1e-9)
