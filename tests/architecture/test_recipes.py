"""Documents that pages tell users to copy, as far as they can be read without a cluster."""

import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from esmm_dist.contract.command_line import config_parser

DOCS = Path(__file__).resolve().parents[2] / "docs"


def documents_of(page: str) -> list[Any]:
    """What the indented blocks of a page that begin with apiVersion say."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^    apiVersion:.*\n(?:(?:    .*)?\n)+", text, re.MULTILINE)
    return [yaml.safe_load(textwrap.dedent(block)) for block in blocks]


def test_the_mpi_job_starts_as_many_ranks_as_it_has_slots_which_share_their_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from horovod.runner.launch import parse_args

    (job,) = documents_of("cluster.md")
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    spec = job["spec"]
    launcher, worker = (spec["mpiReplicaSpecs"][role] for role in ("Launcher", "Worker"))
    pods = [replica["template"]["spec"] for replica in (launcher, worker)]
    (launching,), (working,) = (pod["containers"] for pod in pods)

    command = launching["command"]
    monkeypatch.setattr(sys, "argv", command)
    asked = parse_args()
    assert asked.use_gloo and asked.hostfile == "/etc/mpi/hostfile"
    assert asked.num_proc == launcher["replicas"] * worker["replicas"] * spec["slotsPerWorker"]
    assert asked.command[:3] == ["python", "-m", "esmm_dist.train"]
    parser = config_parser(None)
    parser.add_argument("--resume", action="store_true")
    config = Path(parser.parse_args(asked.command[3:]).config)

    assert pods[0]["volumes"] == pods[1]["volumes"]
    assert launching["volumeMounts"] == working["volumeMounts"]
    assert config.is_relative_to(launching["volumeMounts"][0]["mountPath"])
    assert launching["image"] == working["image"], "horovodrun and its ranks are of one build"
    assert launching["workingDir"] == working["workingDir"]


def test_the_inference_service_names_a_model_repository() -> None:
    (service,) = documents_of("serving.md")
    model = service["spec"]["predictor"]["model"]
    assert model["modelFormat"] == {"name": "triton"}
    assert model["storageUri"].endswith("/export/repository")
