"""A trained run becomes ONNX and a program of PyTorch's: both say what the trained model says."""

import json
import os
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest
import torch

from esmm_dist import assembly, evaluate, export
from esmm_dist.contract.calibration import Calibration, IsotonicMap, PlattMap
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.exported import EXPORT_INDEX, ExportIndex, inputs_of
from esmm_dist.export import export_fold, main
from esmm_dist.interchange.programs import outputs_of, trace, write_onnx, write_torch
from esmm_dist.model import served
from esmm_dist.serving.inputs import of_batch
from esmm_dist.serving.onnx_model import OnnxModel
from esmm_dist.training.trained_run import TrainedRun, open_run
from tests.factories.experiments import FOLDS, Experiment, train_experiment
from tests.factories.random_batches import FEATURES
from tests.factories.served_models import batch_of_values, twins

# One of each build: shared and separate tables, attention, gates, quotients, no CTR of its own.
METHODS = ("esmm", "esmm_ns", "aitm", "ple", "division", "base")
CALIBRATION = Calibration(maps={
    "ctr": PlattMap(kind="platt", slope=0.7, intercept=-0.2),
    "cvr": IsotonicMap(kind="isotonic", score=(-3.0, -0.5, 2.0), p=(0.01, 0.2, 0.9)),
})
TOLERANCE = 1e-5
"""Of logits near 1 in float32, whose sums run in another order."""


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_programs_of_any_number_of_rows_say_what_the_model_says(
    method: str, tmp_path: Path
) -> None:
    is_beside = method == "esmm_ns"
    tables_path = tmp_path / "tables.bin" if is_beside else None
    calibration = CALIBRATION if method in ("esmm", "division") else Calibration()
    model = twins(method, tables_path=tables_path, calibration=calibration)
    inputs = inputs_of(FEATURES)
    program = trace(model.served, inputs)
    write_onnx(program, tmp_path / "model.onnx", inputs, model.served, model.whole, tables_path)
    write_torch(program, tmp_path / "model.pt2")
    onnx = OnnxModel(tmp_path / "model.onnx")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    assert onnx.outputs == outputs_of(program)
    for num_rows in (1, 2, 17):
        batch = batch_of_values(num_rows, seed=num_rows)
        given = of_batch(batch, FEATURES)
        by_onnx = onnx.run(given, onnx.outputs)
        by_torch = loaded({name: torch.from_numpy(values) for name, values in given.items()})
        wanted = served.outputs_of(model.predict(batch), calibration)
        for name, values_B in wanted.items():
            for found_B in (by_onnx[name], by_torch[name].detach().numpy()[:, 0]):
                np.testing.assert_allclose(found_B, values_B.numpy(), TOLERANCE, TOLERANCE)


def test_lists_without_any_value_are_scored_too(tmp_path: Path) -> None:
    model = twins("esmm")
    inputs = inputs_of(FEATURES)
    write_onnx(trace(model.served, inputs), tmp_path / "model.onnx", inputs, model.served,
               model.whole, None)
    given = of_batch(batch_of_values(4), FEATURES)
    empty = {name: values if name in ("user", "item", "last_item") else values[:, :0]
             for name, values in given.items()}
    zeros = {name: values if name in ("user", "item", "last_item") else np.zeros_like(values)
             for name, values in given.items()}
    onnx = OnnxModel(tmp_path / "model.onnx")
    np.testing.assert_array_equal(onnx.run(empty, ["p_ctcvr"])["p_ctcvr"],
                                  onnx.run(zeros, ["p_ctcvr"])["p_ctcvr"])


# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two folds, trained in this process."""
    return train_experiment(tmp_path_factory.mktemp("export"))


def trained(experiment: Experiment) -> TrainedRun:
    return open_run(load_config(experiment.config_path), experiment.run_path)


def index_in(folder: Path) -> ExportIndex:
    return ExportIndex.parse((folder / EXPORT_INDEX).read_text(), str(folder))


@pytest.fixture(scope="module")
def exported(experiment: Experiment) -> Path:
    """The folder that the command tells of; exports of the same files alone take its place."""
    with redirect_stdout(StringIO()) as told:
        assert run_command(main, ["--config", str(experiment.config_path)]) == 0
    return Path(told.getvalue().splitlines()[-1])


def test_the_last_folds_model_is_exported_with_a_repository_for_triton(
    experiment: Experiment, exported: Path
) -> None:
    folder = exported
    index, run = index_in(folder), trained(experiment)
    assert folder == experiment.run_path / "export"
    assert index.checkpoint == run.folds[-1].digest and run.folds[-1].fold.name == FOLDS[-1]
    assert index.fingerprint == experiment.manifest.fingerprint
    assert index.num_rows_checked == 3000 and 0 < index.max_difference <= 1e-6
    assert index.outputs == ("p_ctr", "p_cvr", "p_ctcvr", "ctr_logit", "cvr_logit")
    assert index.tables is None and index.onnx == "repository/small/1/model.onnx"
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "config.pbtxt", "export.json", "model.onnx", "model.pt2"
    ]
    text = (folder / "repository" / "small" / "config.pbtxt").read_text()
    assert text.startswith('name: "small"') and 'name: "tags" data_type: TYPE_INT32' in text
    graph = onnx_ir.load(folder / index.onnx).graph
    assert [value.name for value in graph.inputs] == [one.name for one in index.inputs]
    assert [str(value.shape) for value in graph.inputs][3:4] == ["[batch,tags_length]"]


def test_the_same_model_is_the_same_files_which_name_no_path_of_the_machine(
    experiment: Experiment, exported: Path
) -> None:
    def files() -> dict[str, bytes]:
        paths = sorted(path for path in exported.rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in paths}

    run, found = trained(experiment), [files()]
    export_fold(run, run.folds[-1])
    found.append(files())
    assert found[0] == found[1]
    paths = [str(Path(module.__file__).parents[1]).encode() for module in (export, torch)
             if module.__file__]
    assert [name for name, content in found[0].items() if any(p in content for p in paths)] == []


def test_probabilities_are_served_as_the_evaluation_calibrates_them(
    experiment: Experiment, tmp_path: Path
) -> None:
    copy = experiment.copy(tmp_path)
    flags = ["--config", str(copy.config_path), "--set", "calibrate.method=platt", "--set",
             f"calibrate.days={{first: {FOLDS[0]}, last: {FOLDS[0]}}}"]
    assert run_command(main, flags) == 2, "it has not been evaluated"
    assert run_command(evaluate.main, flags) == run_command(main, flags) == 0
    index = index_in(copy.run_path / "export")
    assert set(index.calibration.maps) == {"ctr", "cvr"} and index.max_difference <= 1e-6
    given = {one.name: np.ones((3, 2 if one.max_length else 1), np.int32) for one in index.inputs}
    found = OnnxModel(copy.run_path / "export" / index.onnx).run(given, index.outputs)
    by = index.calibration.maps["ctr"]
    assert isinstance(by, PlattMap)
    logit_B = by.slope * found["ctr_logit"] + by.intercept
    np.testing.assert_allclose(found["p_ctr"], 1 / (1 + np.exp(-logit_B)), rtol=1e-5)


def test_large_tables_lie_beside_the_model_and_say_the_same(
    experiment: Experiment, exported: Path, tmp_path: Path
) -> None:
    run, inside = trained(experiment.copy(tmp_path)), index_in(exported)
    folder = run.path / "export"
    given = {one.name: np.ones((3, 2 if one.max_length else 1), np.int32) for one in inside.inputs}
    wanted = OnnxModel(folder / inside.onnx).run(given, inside.outputs)
    num_bytes = os.path.getsize(folder / inside.onnx)
    beside = export_fold(run, run.folds[-1], max_bytes_inside=0)
    assert beside.tables is not None and beside.tables.startswith("repository/small/1/tables-")
    listed = {folder / part.path for part in beside.files}
    assert {folder / beside.tables, folder / beside.onnx} <= listed
    assert listed == {path for path in folder.rglob("*") if path.is_file()} - {
        folder / EXPORT_INDEX
    }
    # 5,000 + 6 + 800 + 50 + 7 rows of 6 numbers of 4 bytes
    assert os.path.getsize(folder / beside.onnx) < num_bytes - 5863 * 6 * 4 + 4096
    found = OnnxModel(folder / beside.onnx).run(given, beside.outputs)
    for name in inside.outputs:
        np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.usefixtures("exported")
def test_a_model_that_says_something_else_is_not_exported(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = experiment.copy(tmp_path)
    before = index_in(copy.run_path / "export")

    def spoilt(*arguments: Any) -> Any:
        model, tables = assembly.load_served(*arguments)
        tables.of_network["shared"]["user_id"][1] += 1e-3  # a frequent row
        return model, tables

    monkeypatch.setattr(export, "load_served", spoilt)
    assert run_command(main, ["--config", str(copy.config_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "ONNX and PyTorch differ by" in error and "nothing was exported" in error
    assert index_in(copy.run_path / "export") == before, "what was there stays"
    assert [p.name for p in copy.run_path.iterdir() if p.name.startswith(".export")] == []


def test_a_fold_that_the_run_has_not_is_refused_by_name(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--config", str(experiment.config_path), "--fold", "2024-01-09"]
    assert run_command(main, flags) == 2
    assert capsys.readouterr().err.strip().endswith(
        f"it has no fold '2024-01-09': give --fold one of {', '.join(FOLDS)}"
    )


def test_a_damaged_checkpoint_is_refused_and_an_earlier_export_stays(
    experiment: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = experiment.copy(tmp_path)
    shutil.rmtree(copy.run_path / "export", ignore_errors=True)
    (copy.run_path / "export").mkdir()
    (copy.run_path / "export" / "export.json").write_text(json.dumps({}))
    (shard,) = (copy.run_path / "checkpoints" / FOLDS[-1]).glob("step-*/tables-*")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert run_command(main, ["--config", str(copy.config_path)]) == 2
    assert "its checksum differs" in capsys.readouterr().err
    assert (copy.run_path / "export" / "export.json").read_text() == "{}"
