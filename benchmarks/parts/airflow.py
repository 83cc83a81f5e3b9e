"""An Airflow of its own, in one folder, that runs dags/esmm_retraining.py."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil

ROOT = Path(__file__).resolve().parents[2]
SERVER, OTHERS = "api-server", ("scheduler", "dag-processor")
FINAL = ("success", "failed")
SECONDS_PER_LOOK = 1
ZONE = ZoneInfo("Asia/Shanghai")

States = dict[date, dict[str, str]]
"""Of each night: of its run under "", and of its tasks by name."""
Processes = dict[str, "subprocess.Popen[bytes]"]


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

    def start(self, component: str) -> subprocess.Popen[bytes]:
        """One of its processes."""
        with (self.folder / f"{component}.log").open("ab") as log:
            return subprocess.Popen([str(self.program), component], env=self.environment,
                                    cwd=self.folder, stdout=log, stderr=log,
                                    start_new_session=True)

    def wait_for_server(self, seconds: float = 120) -> None:
        """Tasks report to it: one that starts before it answers fails."""
        for _ in range(round(10 * seconds)):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"airflow api-server does not answer: see {self.folder}/api-server.log")

    def states(self) -> States:
        """Of each night by its day: the state of its run under "", and of its tasks by name."""
        query = """select run.data_interval_start, run.state, task.task_id, task.state
                   from dag_run run join task_instance task using (dag_id, run_id)"""
        states: States = {}
        with closing(sqlite3.connect(f"file:{self.folder}/airflow.db?mode=ro", uri=True)) as base:
            for start, of_run, task, of_task in base.execute(query):
                night = datetime.fromisoformat(start).replace(tzinfo=UTC).astimezone(ZONE).date()
                states.setdefault(night, {"": of_run})[task] = of_task or ""
        return states

    def overlapping(self) -> list[str]:
        """Two runs of which tasks ran at the same time; none, where each waited for the other."""
        query = """select one.run_id, other.run_id
                   from task_instance one join task_instance other using (dag_id)
                   where one.run_id < other.run_id
                   and one.start_date < other.end_date and other.start_date < one.end_date"""
        with closing(sqlite3.connect(f"file:{self.folder}/airflow.db?mode=ro", uri=True)) as base:
            return list(base.execute(query).fetchone() or ())


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


def run_nights(
    airflow: Airflow, nights: Sequence[date], limit: timedelta,
    at_each_look: Callable[[States, Processes], None] = lambda states, processes: None,
) -> States:
    """Lets the scheduler work until each night has ended; says what begins and what fails."""
    started, told = time.monotonic(), set[tuple[date, str, str]]()
    processes = {SERVER: airflow.start(SERVER)}
    try:
        airflow.wait_for_server()
        processes |= {name: airflow.start(name) for name in OTHERS}
        while True:
            time.sleep(SECONDS_PER_LOOK)
            states = airflow.states()
            _tell_news(states, told, time.monotonic() - started)
            at_each_look(states, processes)
            if all(states.get(night, {}).get("") in FINAL for night in nights):
                return states
            for name, process in processes.items():
                if process.poll() is not None:
                    sys.exit(f"airflow {name} ended: see {airflow.folder}/{name}.log")
            if time.monotonic() - started > limit.total_seconds():
                sys.exit(f"not finished after {limit}: see the logs below {airflow.folder}")
    finally:
        for process in reversed(processes.values()):
            end(process)


def _tell_news(states: States, told: set[tuple[date, str, str]], seconds: float) -> None:
    for night, of_night in sorted(states.items()):
        for task, state in of_night.items():
            if state in ("running", *FINAL) and (night, task, state) not in told:
                told.add((night, task, state))
                print(f"{seconds:6.0f} s  {night}  {task or 'the night'}: {state}", flush=True)
