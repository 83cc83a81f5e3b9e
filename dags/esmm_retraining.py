"""Retrains every experiment that has a `retraining` section, once a day, under Airflow 3.

Decides nothing: each task is one command of the project, safe to repeat, run in the project's own
environment. ESMM_DIST_HOME names the checkout (default: where this file lies), ESMM_DIST_CONFIGS
the configs below it, parted by colons (default: conf/kuairand_nightly.yaml). docs/operations.md
says what may fail, and what to do then.
"""

import json
import os
import re
import shlex
import subprocess
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, RetryPolicy
from airflow.sdk.definitions.retry_policy import RetryDecision

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config

HOME = Path(os.environ.get("ESMM_DIST_HOME", Path(__file__).parents[1])).resolve()
CONFIGS = os.environ.get("ESMM_DIST_CONFIGS", "conf/kuairand_nightly.yaml").split(":")

# The project's own packages come first, and none of Airflow's.
AT_HOME = (f"cd {shlex.quote(str(HOME))} && "
           f"export PATH={shlex.quote(str(HOME / '.venv' / 'bin'))}:$PATH")

# By which the lines that commands log for machines are told to be of one night.
RUN_ID = "export ESMM_DIST_RUN_ID='{{ run_id }}'"

EXIT_AT_FAULT, EXIT_NOT_YET = 2, 3


class UnlessAtFault(RetryPolicy):
    """Tries again, but not where a command says that its input is wrong or the gate refuses: the
    same input would be as wrong the next time."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        found = re.search(r"exit code (\d+)", str(exception))
        if found and int(found[1]) == EXIT_AT_FAULT:
            return RetryDecision.fail("the command refused its input; its last line says why")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "UnlessAtFault":
        return cls()


def retraining(path: str) -> DAG:
    """The daily run of one config.

    Args:
        path: the config's file, below HOME.
    """
    config = load_config(HOME / path)
    plan = config.retraining
    if plan is None:
        raise InputError(f"{path}: no section `retraining`: it is not to be scheduled")
    zone = config.logs.day_timezone
    day = "{{ data_interval_start.in_timezone('" + zone + "').to_date_string() }}"

    def line(command: str, flags: str = "") -> str:
        """A shell line that runs a command for the day.

        What a killed worker left running holds the lock, with all its processes: a retry waits for
        its end rather than writing beside it.
        """
        words = ["exec", "flock", f"data/{config.name}.lock", command,
                 f"--config {shlex.quote(path)}", f"--for-day {day}", flags]
        return f"{AT_HOME} && {RUN_ID} && mkdir -p data && {' '.join(filter(None, words))}"

    def start_of(some_day: date) -> datetime:
        return datetime.combine(some_day, time.min, ZoneInfo(zone))

    with DAG(
        dag_id=config.name,
        description="From the day's logs to a model in service",
        schedule=CronDataIntervalTimetable(plan.cron, timezone=zone),
        start_date=start_of(config.samples.days.last),
        end_date=plan.last_day and start_of(plan.last_day + timedelta(days=1)),
        catchup=True,
        # The days are trained one after the other, each from the model of the day before.
        max_active_runs=1,
        tags=["esmm-dist"],
        doc_md=__doc__,
        default_args={
            "retries": plan.retries,
            "retry_delay": timedelta(minutes=plan.retry_minutes),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(hours=1),
            "execution_timeout": timedelta(hours=plan.hours_per_task),
            "retry_policy": UnlessAtFault(),
            "on_failure_callback": tell(config),
        },
    ) as dag:
        spark, python = plan.spark_submit, "python -m esmm_dist"

        def task(name: str, command: str, flags: str = "", **more: Any) -> BashOperator:
            return BashOperator(task_id=name, bash_command=line(command, flags), **more)

        # A sensor has no retries: where its command was killed, it is to look again.
        look = (f"( {line(f'{spark} jobs/find_logs.py')} ) && exit; status=$?; "
                f"exit $(( status == {EXIT_AT_FAULT} ? status : {EXIT_NOT_YET} ))")
        arrived = BashSensor(
            task_id="wait_for_logs", bash_command=look, retry_exit_code=EXIT_NOT_YET,
            mode="reschedule", poke_interval=timedelta(minutes=plan.retry_minutes),
            timeout=timedelta(hours=plan.hours_to_wait),
        )
        build = task("build_samples", f"{spark} jobs/build_samples.py", "--append --ripening",
                     outlets=[Asset(f"esmm-dist://{config.name}/samples")])
        check = task("check_samples", f"{spark} jobs/check_samples.py")
        train = task("train", f"{plan.horovodrun} {python}.train", "--resume")
        evaluate = task("evaluate", f"{python}.evaluate")
        export = task("export", f"{python}.export")
        gate = task("gate", f"{python}.gate")
        publish = task("publish", f"{python}.publish",
                       outlets=[Asset(f"esmm-dist://{config.name}/model")])
        score = task("score_impressions", f"{spark} jobs/score_impressions.py",
                     outlets=[Asset(f"esmm-dist://{config.name}/scores")])
        # A teardown runs whatever became of the night, and does not decide what is said of it.
        watch = task("watch", f"{python}.watch").as_teardown()
        arrived >> build >> check >> train >> evaluate >> export >> gate >> publish >> score
        score >> watch
        if config.tracking is not None:
            score >> task("track", f"{python}.track").as_teardown()
    return dag


def tell(config: Config) -> Any:
    """What is done after a task has failed for good: a line in its log, and the command that tells
    somebody."""
    assert config.retraining is not None
    command = config.retraining.on_failure

    def callback(context: Any) -> None:
        instance = context["task_instance"]
        start = context["data_interval_start"].in_timezone(config.logs.day_timezone)
        told = {"DAY": start.to_date_string(), "TASK": instance.task_id,
                "LOG": str(instance.log_url)}
        print(json.dumps({"experiment": config.name, "event": "task failed", **told}))
        if command:
            subprocess.run(["bash", "-c", f"{AT_HOME} && {command}"], env=os.environ | told,
                           timeout=60, check=False)

    return callback


def unreadable(path: str, reason: InputError) -> DAG:
    """Stands for an experiment whose config is refused: it fails every day with the reason, where
    an error in this file would take the other experiments with it."""
    with DAG(
        dag_id=f"unreadable_{re.sub('[^A-Za-z0-9_.-]', '_', Path(path).name)}",
        schedule="@daily", start_date=datetime(2020, 1, 1, tzinfo=ZoneInfo("UTC")), catchup=False,
        description=str(reason)[:250],
    ) as dag:
        told = shlex.quote(f"error: {reason}")
        BashOperator(task_id="read_config", bash_command=f"echo {told} >&2; exit {EXIT_AT_FAULT}")
    return dag


for _path in CONFIGS:
    try:
        _dag = retraining(_path)
    except InputError as _error:
        _dag = unreadable(_path, _error)
    globals()[_dag.dag_id] = _dag
