"""The DAG as Airflow itself reads it; it lives in an environment of its own (`make airflow`)."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NIGHTLY = "conf/kuairand_nightly.yaml"
PYTHON = ROOT / ".venv-airflow" / "bin" / "python"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-airflow: run make airflow")

READ = """
import json, sys
sys.path.insert(0, "dags")
import esmm_retraining as module
dag = module.kuairand_nightly
policy = dag.task_dict["gate"].retry_policy
def decision(code):
    return policy.evaluate(RuntimeError(f"non-zero exit code {code}."), 1, 3).action.value
json.dump({
    "schedule": repr(dag.schedule), "start": dag.start_date.isoformat(),
    "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
    "tasks": {task.task_id: {
        "command": task.bash_command, "upstream": sorted(task.upstream_task_ids),
        "retries": task.retries, "seconds": task.execution_timeout.total_seconds(),
        "tells": bool(task.on_failure_callback), "teardown": task.is_teardown,
    } for task in dag.tasks},
    "after": {code: decision(code) for code in (1, 2, 137)},
    "of_tracked": {task.task_id: [task.bash_command, task.is_teardown]
                   for task in module.tracked.tasks},
    "of_unreadable": [[task.task_id, task.bash_command]
                      for task in vars(module)["unreadable_broken.yaml"].tasks],
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow makes of dags/esmm_retraining.py with the nightly example."""
    home = tmp_path_factory.mktemp("airflow")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ESMM_DIST_")}
    tracked = home / "tracked.yaml"
    document = yaml.safe_load((ROOT / NIGHTLY).read_text(encoding="utf-8"))
    tracked.write_text(yaml.safe_dump(document | {"name": "tracked", "tracking": {}}))
    broken = home / "broken.yaml"
    broken.write_text("name: broken\nmodle: {}\n")
    environment = kept | {"AIRFLOW_HOME": str(home), "ESMM_DIST_HOME": str(ROOT),
                          "ESMM_DIST_CONFIGS": f"{NIGHTLY}:{broken}:{tracked}"}
    read = subprocess.run([str(PYTHON), "-c", READ], cwd=ROOT, env=environment,
                          capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    found: dict[str, Any] = json.loads(read.stdout.splitlines()[-1])
    return found


def test_a_night_begins_when_its_day_is_over_and_missed_ones_follow(dag: dict[str, Any]) -> None:
    assert dag["catchup"] is True and dag["max_active_runs"] == 1
    assert dag["schedule"] == \
        "CronDataIntervalTimetable(expression='0 3 * * *', timezone='Asia/Shanghai')"
    assert dag["start"] == "2022-05-01T16:00:00+00:00"  # midnight in Shanghai


def test_each_task_is_a_command_for_the_night_s_day_after_the_one_before(
    dag: dict[str, Any]
) -> None:
    programs = {
        "wait_for_logs": "spark-submit jobs/find_logs.py",
        "build_samples": "spark-submit jobs/build_samples.py",
        "check_samples": "spark-submit jobs/check_samples.py",
        "train": "horovodrun -np 2 python -m esmm_dist.train",
        "evaluate": "python -m esmm_dist.evaluate",
        "export": "python -m esmm_dist.export",
        "gate": "python -m esmm_dist.gate",
        "publish": "python -m esmm_dist.publish",
        "score_impressions": "spark-submit jobs/score_impressions.py",
        "watch": "python -m esmm_dist.watch",
    }
    assert list(dag["tasks"]) == list(programs)
    before: list[str] = []
    for name, program in programs.items():
        task = dag["tasks"][name]
        assert f"exec flock data/kuairand_nightly.lock {program} --config" in task["command"]
        assert ".in_timezone('Asia/Shanghai')" in task["command"].partition("--for-day")[2]
        assert "export ESMM_DIST_RUN_ID='{{ run_id }}' && " in task["command"]
        assert task["upstream"] == before
        before = [name]


def test_every_task_is_tried_again_bounded_in_time_and_told_of(dag: dict[str, Any]) -> None:
    for task in dag["tasks"].values():
        assert (task["retries"], task["seconds"], task["tells"]) == (3, 6 * 3600, True)


def test_what_a_command_refuses_is_not_tried_again(dag: dict[str, Any]) -> None:
    assert dag["after"] == {"1": "default", "2": "fail", "137": "default"}


@pytest.mark.parametrize("status, told", [(0, 0), (1, 3), (2, 2), (3, 3), (137, 3)])
def test_a_look_for_logs_that_was_killed_is_one_that_has_not_found_them(
    status: int, told: int, dag: dict[str, Any]
) -> None:
    """A sensor fails for good by any other status."""
    command = dag["tasks"]["wait_for_logs"]["command"]
    ended = re.sub(r"exec flock .*? \)", f"exit {status} )", command)
    assert f"exit {status} )" in ended
    assert subprocess.run(["bash", "-c", ended], cwd=ROOT).returncode == told


def test_the_state_of_a_night_is_that_of_its_model_not_of_its_metrics(dag: dict[str, Any]) -> None:
    teardowns = [name for name, task in dag["tasks"].items() if task["teardown"]]
    assert teardowns == ["watch"]


def test_a_night_is_tracked_if_its_config_says_so_and_does_not_hang_on_it(
    dag: dict[str, Any]
) -> None:
    assert "track" not in dag["tasks"]
    command, is_teardown = dag["of_tracked"]["track"]
    assert "python -m esmm_dist.track --config" in command and is_teardown


def test_a_config_that_is_refused_fails_by_itself_and_takes_no_other_with_it(
    dag: dict[str, Any]
) -> None:
    (task, command), = dag["of_unreadable"]
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert task == "read_config" and run.returncode == 2
    assert "broken.yaml" in run.stderr and "modle" in run.stderr
    assert "gate" in dag["tasks"] and "track" in dag["of_tracked"], "before and after it"
