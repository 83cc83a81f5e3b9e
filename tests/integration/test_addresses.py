"""Samples, runs and bundles on an object store: a loopback S3, spoken to over HTTP."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from moto.server import ThreadedMotoServer
from safetensors.torch import load_file

from esmm_dist.audit import main as audit
from esmm_dist.compare import main as compare
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluate import main as evaluate
from esmm_dist.export import main as export
from esmm_dist.gate import main as gate
from esmm_dist.publish import main as publish
from esmm_dist.serving.predictor import Predictor, differences_on_sample
from esmm_dist.serving.store import BundleStore
from esmm_dist.storage import files
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import at_hand, files_below, put_folder
from esmm_dist.train import main as train
from esmm_dist.train import train_run
from esmm_dist.training.checkpoint import Index, latest_checkpoint
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import ROOT

FOLD, NEXT_FOLD = "2024-01-03", "2024-01-04"
SECONDS_TO_GET_THERE = 120


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty bucket on a free port of loopback."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for key, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            environment.setenv(key, value)
        path_of("s3://models").fs.mkdir("models")  # type: ignore[attr-defined]
        yield "s3://models"
    server.stop()


class Twins:
    """One experiment on this machine's disk and on the object store."""

    def __init__(self, folder: Path, bucket: str) -> None:
        here = small_document(folder, num_test_days=2)
        here["train"] |= {"steps_per_checkpoint": 5, "steps_per_log": 1}
        here["publish"] = {"path": str(folder / "bundles")}
        here["gate"] = {"quality": "ignored", "bounds": [{"metric": "ctr_auc", "min": 0.5}]}
        here["audit"] = {"methods": ["esmm"], "num_replicates": 1}
        write_samples(here, num_rows_of_day=2_400)
        put_folder(folder / "samples", path_of(f"{bucket}/samples"))
        there: dict[str, Any] = here | {
            "runs_path": f"{bucket}/runs", "publish": {"path": f"{bucket}/bundles"},
            "samples": here["samples"] | {"path": f"{bucket}/samples"},
        }
        self.configs = []
        for name, document in (("here", here), ("there", there)):
            (folder / name).mkdir()
            self.configs.append(write_config(folder / name, document))
        self.here, self.there = folder / "runs" / "small", path_of(f"{bucket}/runs/small")
        self.store = BundleStore(f"{bucket}/bundles")

    def run(self, command: Any, *arguments: str) -> None:
        """A command on each of the two."""
        for config in self.configs:
            assert run_command(command, ["--config", str(config), *arguments]) == 0


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, bucket: str) -> Twins:
    """Trained: here in one go, there by a process that was killed, and another that went on."""
    folder = tmp_path_factory.mktemp("twins")
    twins = Twins(folder, bucket)
    here, there = twins.configs
    train_run(load_config(here), SoloWorld(), resume=False)
    killed = subprocess.Popen(
        [sys.executable, "-m", "esmm_dist.train", "--config", str(there)], cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
    )
    deadline = time.monotonic() + SECONDS_TO_GET_THERE
    try:
        while latest_checkpoint(twins.there / "checkpoints" / FOLD) is None:
            assert killed.poll() is None and time.monotonic() < deadline, "it never got there"
            time.sleep(0.05)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    left = latest_checkpoint(twins.there / "checkpoints" / FOLD)
    assert left is not None and Index.read(left).step < Index.read(left).num_steps
    assert run_command(train, ["--config", str(there), "--resume"]) == 0
    return twins


def tensors(run: Path, fold: str = FOLD) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(run / "checkpoints" / fold)
    assert checkpoint is not None
    with at_hand(checkpoint) as folder:
        return {f"{file.name}:{key}": tensor for file in sorted(folder.glob("*.safetensors"))
                for key, tensor in load_file(file).items()}


def losses(run: Path) -> list[float]:
    lines = (run / "curves" / f"{FOLD}.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def days(section: str, first: str, last: str) -> list[str]:
    return ["--set", f"{section}.days.first={first}", "--set", f"{section}.days.last={last}"]


def names(run: Path) -> set[str]:
    """Of all files; what TensorBoard calls its own is left out."""
    below = {str(path)[len(str(run)) + 1:] for path in files_below(run)}
    return {name for name in below if not name.startswith("events/")}


@pytest.mark.slow
def test_a_run_killed_there_and_resumed_is_the_run_here_bit_for_bit(twins: Twins) -> None:
    here, there = tensors(twins.here), tensors(twins.there)
    assert here.keys() == there.keys()
    assert all(torch.equal(here[name], there[name]) for name in here)
    assert losses(twins.here) == losses(twins.there)
    assert names(twins.here) == names(twins.there), "older checkpoints are removed, none is half"
    assert any(path.name.startswith("events.") for path in files_below(twins.there / "events"))


@pytest.mark.slow
def test_what_is_trained_there_is_measured_published_and_served(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (evaluate, export, gate, publish):
        twins.run(command)
    here, there = (json.loads((run / "metrics.json").read_text())["pooled"]
                   for run in (twins.here, twins.there))
    assert here == there
    assert names(twins.here) == names(twins.there)

    bundle = twins.store.current()
    assert bundle is not None and twins.store.names() == [bundle.name]
    assert max(differences_on_sample(bundle).values()) < 1e-6
    request = {"user_id": 7, "age": 20, "item_id": 3, "tags": ["a"], "slot": 1}
    (answer,) = Predictor.open(f"{twins.store.path}/{bundle.name}").predict([request])
    assert 0 < answer["p_ctcvr"] < answer["p_ctr"] < 1

    twins.run(train, "--set", "name=next", "--set", "train.warm_start=current",
              *days("train", "2024-01-01", "2024-01-03"), *days("evaluate", *2 * [NEXT_FOLD]))
    next_here, next_there = (tensors(run.parent / "next", NEXT_FOLD)
                             for run in (twins.here, twins.there))
    assert all(torch.equal(next_here[name], next_there[name]) for name in next_here)

    (twins.store.path / bundle.name / "metrics.json").write_text("{}")
    monkeypatch.setattr(files, "_KEPT", {})  # as another process opens it
    with pytest.raises(ValueError, match="s3://models/bundles/.*metrics.json: its checksum"):
        BundleStore(str(twins.store.path)).open("current")


@pytest.mark.slow
def test_methods_are_compared_and_audited_there_and_nothing_is_done_twice(twins: Twins) -> None:
    day = [*days("evaluate", *2 * [FOLD]), "--set", "train.steps_per_checkpoint=1000"]
    twins.run(compare, "--methods", "esmm", *day)
    here, there = (json.loads((run.parent / "small.compare/comparison.json").read_text())
                   for run in (twins.here, twins.there))
    for of_one in (*here["methods"], *there["methods"]):
        assert of_one.pop("costs")["1"]["is_whole"]
    assert here["methods"] == there["methods"]
    config = ["--config", str(twins.configs[1]), *day]
    assert run_command(audit, config) == 0
    files = files_below(twins.there.parent / "small.audit")
    assert {"audit.json", "audit.html"} <= {path.name for path in files}
    trained = {str(path): path.stat().st_mtime for path in files if path.name == "index.json"}
    assert run_command(audit, config) == 0
    assert trained == {path: path_of(path).stat().st_mtime for path in trained}


@pytest.mark.slow
def test_what_is_missing_there_is_one_line(
    twins: Twins, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(twins.configs[1])]
    for override, told in (
        ("samples.path=s3://models/nothing", "s3://models/nothing: no samples manifest there"),
        ("runs_path=s3://elsewhere/runs", "error: s3://elsewhere/runs/small/config.yaml: The spec"),
    ):
        assert run_command(train, [*config, "--set", override]) == 2
        assert told in capsys.readouterr().err
    assert not (ROOT / "s3:").exists()
