"""A run in MLflow's store of files: what it is, what was measured, and nothing twice."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.command_line import run_command
from esmm_dist.publish import main as publish
from esmm_dist.serving.store import BundleStore
from esmm_dist.track import main as track
from esmm_dist.training.curve import read_curve
from tests.factories.experiments import FOLDS, Experiment, train_experiment
from tests.factories.written_samples import small_document, write_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    pytest.importorskip("mlflow.tracking", reason="esmm-dist[tracking] is not there")
    return train_experiment(tmp_path_factory.mktemp("track"))


def flags(trained: Experiment, store: Path) -> list[str]:
    return ["--config", str(trained.config_path), "--set", f"tracking.uri=file://{store}",
            "--set", f"publish.path={store}/bundles"]


def test_without_mlflow_it_is_told_in_one_line_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    config = write_config(tmp_path, small_document(tmp_path))
    assert run_command(track, ["--config", str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install esmm-dist[tracking]")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    yield MlflowClient(tracking_uri=f"file://{tmp_path}")


def test_a_run_is_told_as_far_as_it_has_come_and_nothing_twice(
    trained: Experiment, tmp_path: Path, client: Any
) -> None:
    arguments = flags(trained, tmp_path)

    def told() -> Any:
        assert run_command(track, arguments) == 0
        experiment = client.get_experiment_by_name("small")
        (found,) = client.search_runs([experiment.experiment_id])
        return found

    def values(key: str) -> list[float]:
        history = client.get_metric_history(run.info.run_id, key)
        return [one.value for one in sorted(history, key=lambda one: one.step)]

    run = told()
    assert run.data.params["train.batch_size"] == "240"
    assert run.data.params["train.num_lanes"] == "8", "as resolved, defaults too"
    assert "ctr_auc" not in run.data.metrics, "it has not been measured"
    curve = read_curve(trained.run_path / "curves" / f"{FOLDS[1]}.jsonl")
    assert len(curve) > 2
    assert values(f"train/{FOLDS[1]}/loss") == [point["loss"] for point in curve]

    assert trained.evaluate() == 0
    run = told()
    for name in ("ctr_auc", "cvr_auc_click", "ctcvr_auc"):
        low, value, high = (run.data.metrics[f"{name}{end}"] for end in (".low", "", ".high"))
        assert low < value < high
    assert "esmm_dist.bundle" not in run.data.tags

    assert run_command(publish, arguments[:2] + arguments[4:]) == 0
    run = told()
    current = BundleStore(tmp_path / "bundles").current()
    assert current is not None
    assert run.data.tags["esmm_dist.bundle"] == current.name
    assert run.data.tags["esmm_dist.bundle_path"] == str(current.path)
    assert run.info.status == "FINISHED"
    told()
    assert values(f"train/{FOLDS[1]}/loss") == [point["loss"] for point in curve]
    assert len(values("ctr_auc")) == 1


def test_what_mlflow_refuses_is_told_in_one_line(
    trained: Experiment, tmp_path: Path, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*flags(trained, tmp_path), "--set", "tracking.uri=nothing://there"]
    assert run_command(track, arguments) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: tracking.uri = nothing://there: MLflow says: ")
