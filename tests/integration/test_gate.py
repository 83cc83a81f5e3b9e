"""A candidate takes the place of the model in service only if it may, whatever runs twice."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from esmm_dist.bundling import predictions_of
from esmm_dist.contract.bundle import BundleIndex
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.exported import EXPORT_INDEX, ExportIndex
from esmm_dist.contract.manifest import report_path
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.export import main as export
from esmm_dist.gate import HeldOut
from esmm_dist.gate import main as gate
from esmm_dist.gate import rows_of_current
from esmm_dist.gating.verdict import Verdict
from esmm_dist.publish import main as publish
from esmm_dist.serving.aliases import pointed
from esmm_dist.serving.bundle import parts_of
from esmm_dist.serving.store import BundleStore
from esmm_dist.train import train_run
from esmm_dist.training.trained_run import open_run
from tests.factories.experiments import Experiment
from tests.factories.predictions import known
from tests.factories.written_samples import small_document, write_samples

LAST_TRAIN_DAY, TEST_DAY = "2024-01-02", "2024-01-03"
DECLARED: dict[str, Any] = {
    "bounds": [{"metric": "ctr_auc", "min": 0.55}, {"metric": "ctr_pcoc", "min": 0.8, "max": 1.25}],
    # models of so few rows agree in how they rank, and little in what they predict
    "max_psi": 5.0,
    "changes": [{"metric": "ctr_auc", "max_loss": 0.01}, {"metric": "ctr_ne", "max_loss": 0.02}],
}


class Line:
    """One experiment, trained, evaluated, judged and published as often as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.document = small_document(folder) | {"gate": DECLARED}
        self.document["publish"] = {"path": str(folder / "bundles")}
        manifest = write_samples(self.document, num_rows_of_day=3000)
        self.experiment = Experiment(folder, self.document, manifest)
        self.store = BundleStore(folder / "bundles")
        self.run_path = self.experiment.run_path
        self.report_path = self.experiment.samples_path / f"{report_path(manifest.number)}.json"
        self.check_samples(holds=True)

    def check_samples(self, holds: bool) -> None:
        """The report that jobs/check_samples.py would leave."""
        days = [day.day.isoformat() for day in self.experiment.manifest.days]
        self.report_path.parent.mkdir(exist_ok=True)
        self.report_path.write_text(json.dumps({
            "days": {day: {} for day in days},
            "expectations": [{"name": "clicks", "metric": "ctr", "feature": None, "value": 0.9,
                              "day": LAST_TRAIN_DAY, "min": None, "max": 0.5, "holds": holds}],
        }), encoding="utf-8")

    def train(self, **train: Any) -> None:
        """Trains and evaluates anew, with another train section."""
        document = self.document | {"train": self.document["train"] | train}
        text = yaml.safe_dump(document, sort_keys=False)
        self.experiment.config_path.write_text(text, encoding="utf-8")
        train_run(load_config(self.experiment.config_path), SoloWorld(), resume=False)
        assert self.experiment.evaluate() == 0

    def gate(self, *arguments: str) -> int:
        return run_command(gate, ["--config", str(self.experiment.config_path), *arguments])

    def publish(self, *arguments: str) -> int:
        return run_command(publish, ["--config", str(self.experiment.config_path), *arguments])

    def current(self) -> str | None:
        return self.store.aliases.of_alias().get("current")

    def verdict(self) -> Verdict:
        return Verdict.read(self.run_path)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The first model, in service."""
    made = Line(tmp_path_factory.mktemp("gate"))
    made.train()
    assert made.publish() == 2, "without a verdict nothing is published"
    assert made.current() is None
    assert made.gate() == 0
    assert made.publish() == 0
    return made


def test_the_first_model_is_judged_by_itself(line: Line) -> None:
    verdict = line.verdict()
    assert verdict.accepted and verdict.current is None
    assert verdict.candidate == line.current()
    assert {check.kind for check in verdict.checks} == {"infrastructure", "quality", "bound"}
    assert "No model is in service" in verdict.notes[0]
    assert "accepted" in (line.run_path / "gate.html").read_text(encoding="utf-8")


def test_gate_and_publish_may_be_repeated(line: Line) -> None:
    before = line.store.aliases.of_alias()
    assert line.publish() == 0
    assert line.gate() == 0
    assert line.publish() == 0
    assert line.store.aliases.of_alias() == before


def test_a_model_as_good_as_the_one_in_service_takes_its_place(line: Line) -> None:
    before = line.current()
    line.train(seed=2)
    assert line.publish() == 2, "the verdict went with the run that it was on"
    assert line.gate() == 0
    verdict = line.verdict()
    assert verdict.current == before
    assert {check.kind for check in verdict.checks} == {
        "infrastructure", "quality", "bound", "change", "shift",
    }
    auc, ne = (check for check in verdict.checks if check.kind == "change")
    assert auc.value is not None and auc.delong_low is not None and auc.delong_high is not None
    assert auc.delong_low < auc.value < auc.delong_high, "of the same rows in the same order"
    assert (auc.delong_low + auc.delong_high) / 2 == pytest.approx(auc.value, abs=1e-12)
    assert ne.delong_low is None, "it is about AUC alone"
    assert line.publish() == 0
    aliases = line.store.aliases.of_alias()
    assert aliases == {"current": verdict.candidate, "previous": before}


def test_a_model_that_ranks_backwards_is_refused_and_nothing_in_service_changes(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    before = line.store.aliases.of_alias()
    towers = {"name": "sgd", "learning_rate": 1e-6}
    line.train(towers=towers, tables=towers)
    capsys.readouterr()
    assert line.gate() == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith("error: ") and "checks refuse" in told.err
    assert not line.verdict().accepted
    assert {"change", "bound"} <= {check.kind for check in line.verdict().broken}
    assert line.publish() == 2
    assert "the gate refused" in capsys.readouterr().err
    assert line.store.aliases.of_alias() == before
    assert line.publish("--as", "trial") == 0, "any other alias is free"
    assert line.current() == before["current"]


@pytest.fixture(scope="module")
def export_of_two(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the model of seed 2 is exported as; no test changes it."""
    line.train(seed=2)
    assert run_command(export, ["--config", str(line.experiment.config_path)]) == 0
    return (line.run_path / "export").rename(tmp_path_factory.mktemp("exported") / "export")


@pytest.fixture
def exported(line: Line, export_of_two: Path) -> Iterator[Path]:
    """A copy of it in its run, to be spoilt."""
    line.train(seed=2)
    folder = line.run_path / "export"
    shutil.copytree(export_of_two, folder)
    yield folder
    shutil.rmtree(folder)


def test_an_exported_model_must_score_as_the_trainer_did(
    line: Line, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is what serves: one that was damaged, or of other weights, is seen before it does."""
    assert line.gate() == 0
    found = {check.name: check for check in line.verdict().checks
             if check.kind == "infrastructure"}
    assert found.keys() == {"weights", "onnx"}
    assert found["onnx"].value, "by another program than the trainer's, down to the last bit"

    (path,) = exported.glob("repository/*/1/model.onnx")
    model = onnx.load(path)
    bias = next(tensor for tensor in model.graph.initializer if tensor.dims == [1])
    bias.CopyFrom(onnx.numpy_helper.from_array(
        onnx.numpy_helper.to_array(bias) + np.float32(1e-3), bias.name
    ))
    onnx.save(model, path)
    sum_up_again(exported)
    assert line.gate() == 2
    assert [check.name for check in line.verdict().broken] == ["onnx"]
    path.write_bytes(b"no model")
    sum_up_again(exported)
    capsys.readouterr()
    assert line.gate() == 2
    assert "REFUSED infrastructure" in (told := capsys.readouterr().err)
    assert "model.onnx: onnxruntime cannot load it" in told


def sum_up_again(exported: Path) -> None:
    """As if the exporter had written what lies there now."""
    path = exported / EXPORT_INDEX
    index = ExportIndex.parse(path.read_text(), str(path))
    files = parts_of(exported, [exported / part.path for part in index.files])
    path.write_text(index.model_copy(update={"files": files}).model_dump_json())


def test_damage_to_an_export_is_seen_whatever_rows_it_would_reach(
    line: Line, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (*exported.glob("repository/*/1/model.onnx"), exported / "model.pt2"):
        content = path.read_bytes()
        path.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
        capsys.readouterr()
        assert line.gate() == 2
        refusal = capsys.readouterr().err.splitlines()[-1]
        assert refusal.startswith(f"error: {path}: its checksum differs from the export's")
        assert "run esmm_dist.export again" in refusal
        path.write_bytes(content)
    assert line.gate() == 0
    index = json.loads((exported / EXPORT_INDEX).read_text())
    (exported / EXPORT_INDEX).write_text(json.dumps(index | {"files": []}))
    assert line.gate() == 2
    assert "export.json: it names no checksums" in capsys.readouterr().err


def test_samples_that_broke_an_expectation_refuse_the_model(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only days that the model in service has not learned from matter: all, for a first one."""
    line.train(seed=2)
    line.check_samples(holds=False)
    try:
        assert line.gate() == 0
        assert line.gate("--set", f"publish.path={line.run_path.parent / 'elsewhere'}") == 2
        told = capsys.readouterr().err
        assert "clicks: ctr on 2024-01-02 is 0.9, expected is at most 0.5" in told
        assert line.gate("--set", f"publish.path={line.run_path.parent / 'elsewhere'}",
                         "--set", "gate.quality=ignored") == 0
    finally:
        line.check_samples(holds=True)


def test_another_model_came_into_service_meanwhile(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    line.train(seed=3)
    assert line.gate() == 0
    in_service = line.current()
    assert line.publish("--alias", "current=previous") == 0
    assert line.publish() == 2
    assert "was in service then, now it is" in capsys.readouterr().err
    assert line.publish("--alias", f"current={in_service}") == 0


def test_rows_are_scored_by_the_model_in_service_as_by_its_own_evaluation(line: Line) -> None:
    line.train(seed=2)
    assert line.publish("--as", "trial") == 0
    run = open_run(load_config(line.experiment.config_path), line.run_path)
    bundle = line.store.open("trial")
    found = rows_of_current(bundle, HeldOut(run, bundle, run.folds[-1].fold.test_days))
    expected = predictions_of(run, run.folds[-1])
    assert np.array_equal(found.sample_id_N, expected.sample_id_N)
    np.testing.assert_allclose(known(found.ctr_logit_N), known(expected.ctr_logit_N), atol=1e-6)
    np.testing.assert_allclose(known(found.cvr_logit_N), known(expected.cvr_logit_N), atol=1e-6)


def test_a_model_in_service_that_knows_the_held_out_days_is_no_judge(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    current = line.store.current()
    assert current is not None
    index = json.loads((current.path / "bundle.json").read_text(encoding="utf-8"))
    index["train_days"]["last"] = TEST_DAY

    def write(folder: Path) -> None:
        for part in current.index.parts:
            (folder / part.path).parent.mkdir(exist_ok=True, parents=True)
            (folder / part.path).write_bytes((current.path / part.path).read_bytes())

    learned = line.store.add(
        write, lambda parts: BundleIndex.model_validate_json(json.dumps(index))
    )
    line.store.aliases.switch(lambda aliases: pointed(aliases, "current", learned.name))
    line.train(seed=5)
    assert line.gate() == 2
    assert "has learned from 2024-01-03, a held-out day" in capsys.readouterr().err
    assert line.gate("--set", "gate.incomparable=judge_alone") == 0
    assert [c.passed for c in line.verdict().checks if c.kind == "comparison"] == [True]
