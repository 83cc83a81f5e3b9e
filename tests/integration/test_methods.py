"""Every method from samples to metrics by the ordinary commands, and what ranks and kills change.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file

from esmm_dist.contract.command_line import EXIT_BAD_INPUT, run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.method_options import MethodName
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluate import main as evaluate
from esmm_dist.train import main as train
from esmm_dist.train import train_run
from esmm_dist.training.checkpoint import Index, latest_checkpoint
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import horovodrun

NAMES = get_args(MethodName)
FOLD = "2024-01-03"
BATCH_SIZE = 240

NO_CTR = {"base", "aman", "oversampling", "fnw", "es_dfm"}
OPTIONS: dict[str, dict[str, Any]] = {
    "aman": {"share_of_unclicked": 0.3}, "oversampling": {"times_converted": 3},
}

# One launch for all of them: starting the ranks takes longer than the steps.
TRAIN_EACH = """
import sys
from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import connect
from esmm_dist.train import train_run
with connect() as world:
    for path in sys.argv[1:]:
        train_run(load_config(path), world, resume=False)
"""
COMPARED = ("aman", "esmm_ns", "unbias", "nise", "ple")

ConfigOf = Callable[..., Path]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two days of 3,000 rows, and a test day; two epochs, so that draws differ between them. Fake
    negatives lie beside the samples, of which all but two methods take no notice."""
    document = small_document(tmp_path_factory.mktemp("methods"))
    document["samples"]["label_stream"] = "fake_negative"
    document["train"] |= {"precision": "float64", "num_epochs": 2, "steps_per_log": 1}
    write_samples(document, num_rows_of_day=3000)
    return document


@pytest.fixture(scope="module")
def config_of(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> ConfigOf:
    """Writes a method's config under another run's name."""

    def write(method: str, name: str) -> Path:
        model = document["model"] | {"method": method, "options": OPTIONS.get(method, {})}
        folder = tmp_path_factory.mktemp(name)
        return write_config(folder, document | {"name": name, "model": model})

    return write


@pytest.fixture(scope="module")
def run_of(document: dict[str, Any], config_of: ConfigOf) -> Callable[[str], Path]:
    """A method's finished run by one process; each is trained once."""

    @cache
    def run(method: str) -> Path:
        train_run(load_config(config_of(method, method)), SoloWorld(), resume=False)
        return Path(document["runs_path"]) / method

    return run


def curve(run: Path) -> list[dict[str, float]]:
    lines = (run / "curves" / f"{FOLD}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def final_tensors(run: Path) -> dict[str, torch.Tensor]:
    last = latest_checkpoint(run / "checkpoints" / FOLD)
    assert last is not None and Index.read(last).step == Index.read(last).num_steps
    return {f"{file.name}:{key}": tensor for file in sorted(last.glob("*.safetensors"))
            for key, tensor in load_file(file).items()}


@pytest.mark.parametrize("method", NAMES)
def test_a_method_learns_and_evaluation_gives_its_metrics(
    run_of: Callable[[str], Path], method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(method)
    assert run_command(evaluate, ["--config", str(run / "config.yaml"), "--run", method]) == 0
    assert (run / "report.html").stat().st_size > 10_000
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["run"]["method"] == method
    of_model = metrics["pooled"]["model"]
    predicted = {"ctr", "cvr", "ctcvr"}
    if method in NO_CTR:
        predicted = {"cvr"}
    if method == "ctcvr_direct":
        predicted = {"ctcvr"}
    for task, name in (("ctr", "ctr_auc"), ("cvr", "cvr_auc_click"), ("ctcvr", "ctcvr_auc")):
        if task in predicted:
            assert of_model[name]["value"] > 0.53, "it has learned something"
        else:
            assert of_model[name]["reason"] == "the method does not predict it"


def test_a_method_trains_on_the_rows_it_declares(
    run_of: Callable[[str], Path], document: dict[str, Any]
) -> None:
    manifest = json.loads(
        next((Path(document["samples"]["path"]) / "_manifests").iterdir()).read_text()
    )
    clicks, conversions = (sum(day[count] for day in manifest["days"][:2])
                           for count in ("num_clicks", "num_conversions"))
    of_all = 2 * (6000 // BATCH_SIZE)
    of_clicks = 2 * (clicks // BATCH_SIZE)
    num_steps = {method: len(curve(run_of(method)))
                 for method in ("esmm", "base", "oversampling", "aman", "independent", "division",
                                "fnw", "esdf")}
    assert num_steps["esmm"] == of_all
    assert num_steps["base"] == of_clicks
    assert num_steps["oversampling"] == 2 * ((clicks + 2 * conversions) // BATCH_SIZE)
    drawn = num_steps["aman"] * BATCH_SIZE / 2 - clicks
    assert abs(drawn - 0.3 * (6000 - clicks)) < BATCH_SIZE + 150
    assert num_steps["fnw"] == 2 * ((clicks + conversions) // BATCH_SIZE)
    assert num_steps["esdf"] == of_all
    assert num_steps["independent"] == of_all + of_clicks
    assert num_steps["division"] == 2 * of_all


def test_stages_share_nothing(run_of: Callable[[str], Path]) -> None:
    """Each network comes out as if it had been trained alone, Adam's momentum included."""
    one, other = final_tensors(run_of("independent")), final_tensors(run_of("division"))
    of_ctr = {key for key in one if ":ctr/" in key or ".ctr." in key}
    assert len(of_ctr) > 10
    assert all(torch.equal(one[key], other[key]) for key in of_ctr)


@pytest.mark.distributed
@pytest.mark.slow
def test_two_ranks_agree_with_one(
    run_of: Callable[[str], Path], config_of: ConfigOf, document: dict[str, Any]
) -> None:
    configs = [config_of(method, f"{method}-of-two") for method in COMPARED]
    done = horovodrun(2, "-c", TRAIN_EACH, *configs, timeout_seconds=280)
    assert done.returncode == 0, done.stdout
    for method in COMPARED:
        alone = curve(run_of(method))
        together = curve(Path(document["runs_path"]) / f"{method}-of-two")
        for name in (key for key in alone[0] if key.endswith("loss")):
            torch.testing.assert_close(
                torch.tensor([point.get(name, 0.0) for point in together]),
                torch.tensor([point.get(name, 0.0) for point in alone]), rtol=1e-9, atol=0,
            )


@pytest.mark.parametrize("steps_left", [10, 60])
def test_a_run_resumes_in_either_stage_to_the_same_weights_bit_for_bit(
    run_of: Callable[[str], Path], config_of: ConfigOf, document: dict[str, Any], steps_left: int
) -> None:
    name = f"unbias-broken-{steps_left}"
    config = config_of("unbias", name)
    argv = ["--config", str(config), "--set", "train.num_checkpoints_kept=100",
            "--set", "train.steps_per_checkpoint=5"]
    assert run_command(train, argv) == 0
    broken = Path(document["runs_path"]) / name
    checkpoints = sorted((broken / "checkpoints" / FOLD).iterdir())
    num_steps = len(curve(broken))
    for checkpoint in checkpoints:  # as if it had been killed
        if int(checkpoint.name.removeprefix("step-")) > num_steps - steps_left:
            (checkpoint / "index.json").unlink()
    assert run_command(train, [*argv, "--resume"]) == 0
    expected, found = final_tensors(run_of("unbias")), final_tensors(broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert [p["loss"] for p in curve(broken)] == [p["loss"] for p in curve(run_of("unbias"))]


@pytest.mark.parametrize(("override", "named"), [
    ("model.options.cvr_weight=3", ["model.options.cvr_weight = 3.0", "base", "none"]),
    ("train.batch_size=5000", ["5,000", "of 6,000 that take part"]),
    ("model.method=ezmm", ["model.method", "ezmm"]),
    ("model.method=fnw --set samples.fake_negative_after_hours=1",
     ["samples.fake_negative_after_hours = 1", "fnw", "es_dfm"]),
    ("model.method=esdf --set samples.conversion_window_hours=48",
     ["model.options.delay_slot_hours", "samples.conversion_window_hours = 48"]),
])
def test_a_mistake_is_one_line_and_leaves_no_run(
    config_of: ConfigOf, document: dict[str, Any], override: str, named: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = config_of("base", "mistaken")
    argv = ["--config", str(config), "--set", *override.split(" ")]
    assert run_command(train, argv) == EXIT_BAD_INPUT
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert all(text in line for text in named), line
    assert not (Path(document["runs_path"]) / "mistaken").exists()


@pytest.mark.parametrize("reference", ["trees_apart", "trees_jointly"])
def test_boosted_trees_are_a_reference_on_the_same_samples(
    run_of: Callable[[str], Path], reference: str
) -> None:
    run = run_of("esmm")
    argv = ["--run", "esmm", "--config", str(run / "config.yaml"),
            "--set", f"evaluate.reference={reference}", "--set", "evaluate.trees.num_rounds=60"]
    assert run_command(evaluate, argv) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["run"]["reference"] == reference
    of_reference = metrics["pooled"]["reference"]
    for name in ("ctr_auc", "cvr_auc_click", "ctcvr_auc"):
        assert of_reference[name]["value"] > 0.6
    assert "boosted trees" in (run / "report.html").read_text()
