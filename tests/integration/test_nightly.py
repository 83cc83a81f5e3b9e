"""A night under a real Airflow in which the scheduler and the training are killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import psutil
import pytest

from benchmarks.parts.airflow import ROOT, Airflow, Processes, States, run_nights
from benchmarks.parts.night_logs import write_config, write_logs
from esmm_dist.contract.bundle import CURRENT
from esmm_dist.contract.config import load_config
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.store import BundleStore

NIGHT = date(2022, 5, 2)

pytestmark = [
    pytest.mark.spark, pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(1200),
    pytest.mark.skipif(not (ROOT / ".venv-airflow" / "bin" / "airflow").exists(),
                       reason="no .venv-airflow: run make airflow"),
]


class Killer:
    """Kills the scheduler while samples are built, and the training while it trains, once each."""

    def __init__(self, airflow: Airflow, config: Path) -> None:
        self.airflow, self.config = airflow, config
        self.killed: list[str] = []
        self.orphans: list[psutil.Process] = []

    def __call__(self, states: States, processes: Processes) -> None:
        of_night = states.get(NIGHT, {})
        if of_night.get("build_samples") == "running" and "scheduler" not in self.killed:
            of_scheduler = psutil.Process(processes["scheduler"].pid)
            self.orphans = of_scheduler.children(recursive=True)
            processes["scheduler"].kill()
            processes["scheduler"].wait()
            processes["scheduler"] = self.airflow.start("scheduler")
            self.killed.append("scheduler")
        if of_night.get("train") == "running" and "training" not in self.killed:
            ranks = [process for process in psutil.process_iter(["cmdline"])
                     if {"esmm_dist.train", str(self.config)} <= set(process.info["cmdline"] or ())]
            for rank in ranks:
                rank.kill()
            self.killed += ["training"] if ranks else []


def weights(bundle: Bundle) -> dict[str, str]:
    """The checksums of all that the model consists of."""
    return {part.path: part.sha256 for part in bundle.index.parts
            if part.path.endswith(".safetensors")}


def processes_below(folder: Path) -> Iterator[list[str]]:
    """Command lines that name a folder."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            yield process.info["cmdline"]


def test_a_night_of_kills_ends_as_one_without(tmp_path: Path) -> None:
    write_logs(tmp_path / "logs", [NIGHT - timedelta(days=n) for n in range(9)], None)
    path = write_config(tmp_path, NIGHT)
    (tmp_path / "airflow").mkdir()
    airflow = Airflow(tmp_path / "airflow", path)
    airflow.run("db", "migrate")
    killer = Killer(airflow, path)
    try:
        states = run_nights(airflow, [NIGHT], timedelta(minutes=15), killer)
    finally:
        for orphan in killer.orphans:
            with suppress(psutil.NoSuchProcess):
                orphan.kill()
    assert killer.killed == ["scheduler", "training"]
    assert {state for task, state in states[NIGHT].items()} == {"success"}
    config = load_config(path)
    store = BundleStore(str(config.publish.path))
    serving = store.open(CURRENT)
    assert serving.index.run == f"nightly_demo-{NIGHT}"

    # The same night by hand, without a scheduler and without a kill.
    flags = ["--config", str(path), "--for-day", str(NIGHT), "--set", f"runs_path={tmp_path}/again"]
    for command in (["horovodrun", "-np", "2", sys.executable, "-m", "esmm_dist.train"],
                    [sys.executable, "-m", "esmm_dist.evaluate"],
                    [sys.executable, "-m", "esmm_dist.publish", "--as", "again"]):
        subprocess.run([*command, *flags], cwd=ROOT, check=True, capture_output=True)
    assert weights(store.open("again")) == weights(serving)
    assert weights(serving)
    assert list(processes_below(tmp_path)) == []
