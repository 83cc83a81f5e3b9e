"""Four nights of the KuaiRand example under a real Airflow: three good ones, and a refused one.

    make airflow-demo

Makes data/nightly_demo/ anew: the example's logs, of which the last day's labels are shuffled over
its impressions, as a broken join upstream would leave them; an Airflow with its own database; and
what the nights leave. Its scheduler runs dags/esmm_retraining.py over 2 to 5 May 2022. Then says
what became of each night and which model is in service, and fails unless the first three were
published and the fourth was refused.
"""

import argparse
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from esmm_dist.contract.bundle import CURRENT
from esmm_dist.contract.config import load_config
from esmm_dist.contract.sections import Config
from esmm_dist.gating.verdict import VERDICT, Verdict
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.difference import metrics_of
from esmm_dist.serving.store import BundleStore

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "conf" / "kuairand_nightly.yaml"
EXAMPLE = ROOT / "examples" / "kuairand"
LOGS = ("impressions", "clicks", "conversions")
SERVER, OTHERS = "api-server", ("scheduler", "dag-processor")
FINAL = ("success", "failed")
SECONDS_PER_LOOK = 2
ZONE = ZoneInfo("Asia/Shanghai")
POISON_SEED = 1


# ---------------------------------------------------------------------------------------------
# The logs and the config
# ---------------------------------------------------------------------------------------------


def write_logs(folder: Path, days: Sequence[date], poisoned: date | None) -> None:
    """Copies the example's days; of the poisoned one, labels go to impressions drawn by lot."""
    for log in LOGS:
        for day in days:
            part = f"{log}/dt={day}"
            shutil.copytree(EXAMPLE / part, folder / part)
    if poisoned is not None:
        impressions = pq.read_table(folder / f"impressions/dt={poisoned}", partitioning=None)
        ids = impressions["impression_id"].to_numpy()
        other = dict(zip(ids, np.random.default_rng(POISON_SEED).permutation(ids), strict=True))
        for log in LOGS[1:]:
            for file in sorted((folder / f"{log}/dt={poisoned}").glob("*.parquet")):
                _shuffle_labels(file, other)


def _shuffle_labels(file: Path, other: Mapping[str, str]) -> None:
    table = pq.read_table(file, partitioning=None)
    place = table.schema.get_field_index("impression_id")
    moved = [other.get(name, name) for name in table["impression_id"].to_pylist()]
    column = pa.array(moved, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), file)


def write_config(folder: Path, last: date) -> Path:
    """The nightly config with everything it reads and writes below the folder."""
    document = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    for log in LOGS:
        document["logs"][log]["path"] = str(folder / "logs" / log)
    document["name"] = "nightly_demo"
    document["runs_path"] = str(folder / "runs")
    document["samples"]["path"] = str(folder / "samples")
    document["publish"]["path"] = str(folder / "bundles")
    document["score"]["path"] = str(folder / "scores")
    document["retraining"] |= {"last_day": last.isoformat(), "retries": 1, "retry_minutes": 0.1}
    path = folder / "nightly_demo.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    load_config(path)
    return path


# ---------------------------------------------------------------------------------------------
# Airflow
# ---------------------------------------------------------------------------------------------


class Airflow:
    """An installation of its own: a folder, a database, and the processes that it consists of."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder = folder
        self.program = ROOT / ".venv-airflow" / "bin" / "airflow"
        self.port = port = free_port()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(folder),
            "ESMM_DIST_HOME": str(ROOT),
            "ESMM_DIST_CONFIGS": str(config),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": os.urandom(24).hex(),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "PATH": f"{self.program.parent}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, *words: str) -> str:
        """One of Airflow's commands; returns what it prints."""
        done = subprocess.run([str(self.program), *words], env=self.environment, cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"airflow {' '.join(words)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    @contextmanager
    def running(self, component: str) -> Iterator[subprocess.Popen[bytes]]:
        """One of its processes, with all that it starts; ended at the end."""
        with (self.folder / f"{component}.log").open("wb") as log:
            process = subprocess.Popen([str(self.program), component], env=self.environment,
                                       cwd=self.folder, stdout=log, stderr=log,
                                       start_new_session=True)
        try:
            yield process
        finally:
            end(process)

    def wait_for_server(self, seconds: float = 120) -> None:
        """Tasks report to it: one that starts before it answers fails."""
        for _ in range(round(10 * seconds)):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"airflow api-server does not answer: see {self.folder}/api-server.log")

    def states(self) -> dict[date, dict[str, str]]:
        """Of each night by its day: the state of its run under "", and of its tasks by name."""
        query = """select run.data_interval_start, run.state, task.task_id, task.state
                   from dag_run run join task_instance task using (dag_id, run_id)"""
        states: dict[date, dict[str, str]] = {}
        with closing(sqlite3.connect(f"file:{self.folder}/airflow.db?mode=ro", uri=True)) as base:
            for start, of_run, task, of_task in base.execute(query):
                night = datetime.fromisoformat(start).replace(tzinfo=UTC).astimezone(ZONE).date()
                states.setdefault(night, {"": of_run})[task] = of_task or ""
        return states


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Ends a process and all below it: politely, then not. Tasks have sessions of their own."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in psutil.wait_procs(started, timeout=0)[1]:
        with suppress(psutil.NoSuchProcess):
            left.kill()


# ---------------------------------------------------------------------------------------------
# The nights
# ---------------------------------------------------------------------------------------------


def run_nights(
    airflow: Airflow, nights: Sequence[date], limit: timedelta
) -> dict[date, dict[str, str]]:
    """Lets the scheduler work until each night has ended; says what begins and what fails."""
    started, told = time.monotonic(), set[tuple[date, str, str]]()
    with ExitStack() as stack:
        processes = {SERVER: stack.enter_context(airflow.running(SERVER))}
        airflow.wait_for_server()
        processes |= {name: stack.enter_context(airflow.running(name)) for name in OTHERS}
        while True:
            time.sleep(SECONDS_PER_LOOK)
            states = airflow.states()
            for night, of_night in sorted(states.items()):
                for task, state in of_night.items():
                    if state in ("running", *FINAL) and (night, task, state) not in told:
                        told.add((night, task, state))
                        seconds = time.monotonic() - started
                        print(f"{seconds:6.0f} s  {night}  {task or 'the night'}: {state}",
                              flush=True)
            if [night for night in nights if states.get(night, {}).get("") in FINAL] == [*nights]:
                return states
            for name, process in processes.items():
                if process.poll() is not None:
                    sys.exit(f"airflow {name} ended: see {airflow.folder}/{name}.log")
            if time.monotonic() - started > limit.total_seconds():
                sys.exit(f"not finished after {limit}: see the logs below {airflow.folder}")


def tell(
    states: Mapping[date, Mapping[str, str]], nights: Sequence[date], poisoned: date | None,
    config: Config,
) -> bool:
    """Shows what became of each night and what serves now; whether that is as it should be."""
    store = BundleStore(str(config.publish.path))
    of_run = {Bundle.glance(store.path / name).index.run: name for name in store.names()}
    serving, last_good = store.aliases.of_alias().get(CURRENT), None
    is_right = True
    print(f"\n{'night':12}{'the run':10}{'model':14}{'ctr_auc':>9}{'ctcvr_auc':>11}  the gate")
    for night in nights:
        name = f"{config.name}-{night}"
        bundle, verdict = of_run.get(name), _verdict(Path(config.runs_path) / name)
        metrics = metrics_of(Bundle.glance(store.path / bundle)) if bundle else {}
        figures = [f"{metrics.get(metric) or math.nan:.4f}" for metric in ("ctr_auc", "ctcvr_auc")]
        said = "has not judged" if verdict is None else "accepted" if verdict.accepted else \
            "refused: " + "; ".join(check.text for check in verdict.broken)
        print(f"{night!s:12}{states[night]['']:10}{(bundle or '-')[:12]:14}{figures[0]:>9}"
              f"{figures[1]:>11}  {said}")
        if night == poisoned:
            is_right &= verdict is not None and not verdict.accepted
            is_right &= states[night]["gate"] == "failed"
        else:
            is_right &= states[night][""] == "success"
            last_good = bundle
    print(f"in service: {(serving or 'nothing')[:12]}")
    return is_right and serving is not None and serving == last_good


def _verdict(run_path: Path) -> Verdict | None:
    return Verdict.read(run_path) if (run_path / VERDICT).exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "nightly_demo")
    parser.add_argument("--nights", type=int, default=4, choices=range(1, 5),
                        help="the last of four is the poisoned one")
    parser.add_argument("--minutes", type=float, default=60, help="then it gives up")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    folder: Path = arguments.folder.resolve()
    first = load_config(CONFIG).samples.days.last
    nights = [first + timedelta(days=n) for n in range(arguments.nights)]
    poisoned = nights[3] if len(nights) == 4 else None
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "airflow").mkdir(parents=True)
    days = [first + timedelta(days=n) for n in range(-8, len(nights))]
    write_logs(folder / "logs", days, poisoned)
    path = write_config(folder, nights[-1])
    airflow = Airflow(folder / "airflow", path)
    airflow.run("db", "migrate")
    states = run_nights(airflow, nights, timedelta(minutes=arguments.minutes))
    if not tell(states, nights, poisoned, load_config(path)):
        sys.exit(f"that is not how it should end: see the logs below {airflow.folder}/logs")


if __name__ == "__main__":
    main()
