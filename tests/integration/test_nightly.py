"""Two nights under a real Airflow: one in which whatever runs is killed, and a poisoned one."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from benchmarks.parts.airflow import ROOT, Airflow, Processes, States, run_nights
from benchmarks.parts.night_logs import write_config, write_logs
from esmm_dist.contract.bundle import CURRENT
from esmm_dist.contract.config import load_config
from esmm_dist.contract.manifest import MANIFESTS
from esmm_dist.contract.scores import ScoresManifest
from esmm_dist.serving.store import BundleStore
from esmm_dist.training.checkpoint import Index, latest_checkpoint, read_towers
from tests.factories.checkpoints import whole_tables
from tests.integration.horovodrun import horovodrun

NIGHT, POISONED = date(2022, 5, 2), date(2022, 5, 3)
# While samples are built it is the scheduler that is killed; `watch`, which no night hangs on, may
# begin and end between two looks.
COMMANDS = ("jobs/find_logs.py", "jobs/check_samples.py", "esmm_dist.train", "esmm_dist.evaluate",
            "esmm_dist.export", "esmm_dist.gate", "esmm_dist.publish", "jobs/score_impressions.py")

pytestmark = [
    pytest.mark.spark, pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(1500),
    pytest.mark.skipif(not (ROOT / ".venv-airflow" / "bin" / "airflow").exists(),
                       reason="no .venv-airflow: run make airflow"),
]


class Killer:
    """Kills the scheduler while the first night's samples are built, and each other command of that
    night once, whatever it is doing when it is first seen, with all its processes."""

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
        running: dict[str, list[psutil.Process]] = defaultdict(list)
        for process in psutil.process_iter(["cmdline"]):
            words = set(process.info["cmdline"] or ())
            for command in words & {*COMMANDS} - {*self.killed}:
                if {str(self.config), str(NIGHT)} <= words:
                    running[command].append(process)
        for command, of_command in running.items():
            for process in of_command:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.killed.append(command)


def small(path: Path) -> Path:
    """The same config of a small model of two days, with a gate that a poisoned day fails."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    learned = {"first": NIGHT - timedelta(days=2), "last": NIGHT - timedelta(days=1)}
    document["samples"] |= {"days": learned | {"last": NIGHT}, "fit_days": learned}
    document["train"]["days"] = learned
    document["evaluate"]["num_bootstraps"] = 100
    document["model"] |= {"embedding_dim": 4, "hidden_units": [16]}
    document["retraining"]["spark_submit"] = \
        "spark-submit --conf spark.sql.shuffle.partitions=2 --driver-memory 1g"
    document["gate"] = {"bounds": [{"metric": "ctr_auc", "min": 0.55}]}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    load_config(path)
    return path


def tensors_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All that a model and its optimizers consist of."""
    index = Index.read(checkpoint)
    return whole_tables(checkpoint, index) | read_towers(checkpoint, index)


def processes_below(folder: Path) -> Iterator[list[str]]:
    """Command lines that name a folder."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            yield process.info["cmdline"]


def test_a_night_of_kills_ends_as_one_without_and_a_poisoned_one_changes_nothing(
    tmp_path: Path,
) -> None:
    write_logs(tmp_path / "logs", [POISONED - timedelta(days=n) for n in range(5)], POISONED)
    path = small(write_config(tmp_path, POISONED))
    (tmp_path / "airflow").mkdir()
    airflow = Airflow(tmp_path / "airflow", path)
    airflow.run("db", "migrate")
    killer = Killer(airflow, path)
    try:
        states = run_nights(airflow, [NIGHT, POISONED], timedelta(minutes=18), killer)
    finally:
        for orphan in killer.orphans:
            with suppress(psutil.NoSuchProcess):
                orphan.kill()
    assert sorted(killer.killed) == sorted([*COMMANDS, "scheduler"])
    assert {state for task, state in states[NIGHT].items()} == {"success"}
    assert states[POISONED] == {
        task: "success" for task in states[NIGHT]
    } | {"": "failed", "gate": "failed", "publish": "upstream_failed",
         "score_impressions": "upstream_failed"}
    assert airflow.overlapping() == []
    config = load_config(path)
    serving = BundleStore(str(config.publish.path)).open(CURRENT)
    assert serving.index.run == f"nightly_demo-{NIGHT}"
    last_scores = max(Path(str(config.score.path)).glob(f"{MANIFESTS}/*.json"))
    scores = ScoresManifest.parse(last_scores.read_text(encoding="utf-8"), str(last_scores))
    assert [day.day for day in scores.days] == [NIGHT]

    # The same training by hand, without a scheduler and without a kill.
    done = horovodrun(2, "-m", "esmm_dist.train", "--config", path, "--for-day", str(NIGHT),
                      "--set", f"runs_path={tmp_path}/again")
    assert done.returncode == 0, done.stdout
    again = latest_checkpoint(
        tmp_path / "again" / serving.index.run / "checkpoints" / str(NIGHT)
    )
    assert again is not None
    found, expected = tensors_of(serving.model_path), tensors_of(again)
    assert found and found.keys() == expected.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    assert list(processes_below(tmp_path)) == []
