"""A trained run goes into service whole and out again, whoever publishes and whatever is killed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from esmm_dist.assembly import load_predictor
from esmm_dist.contract.bundle import Aliases
from esmm_dist.contract.command_line import run_command
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.publish import main
from esmm_dist.reader.listed_rows import ListedRow, batch_of
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.store import BundleStore
from tests.factories.experiments import Experiment, train_experiment
from tests.integration.horovodrun import ROOT


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A run of two folds, trained and evaluated."""
    experiment = train_experiment(tmp_path_factory.mktemp("publish"))
    assert experiment.evaluate() == 0
    return experiment


class Publisher:
    """The command on an experiment whose bundles lie in a folder of their own."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self._experiment, self._folder = experiment, folder
        self.store = BundleStore(folder)

    def __call__(self, *arguments: str) -> int:
        """Its exit status."""
        return run_command(main, ["--config", str(self._experiment.config_path), "--set",
                                  f"publish.path={self._folder}", *arguments])

    def current(self) -> Bundle:
        bundle = self.store.current()
        assert bundle is not None
        return bundle

    def another(self, seed: int) -> str:
        """Puts a bundle of other figures into service; returns its name."""
        metrics = self._experiment.run_path / "metrics.json"
        before = metrics.read_text(encoding="utf-8")
        document = json.loads(before)
        document["pooled"]["model"]["ctr_auc"]["value"] = seed / 100
        metrics.write_text(json.dumps(document), encoding="utf-8")
        try:
            assert self() == 0
        finally:
            metrics.write_text(before, encoding="utf-8")
        return self.current().name


@pytest.fixture
def publish(evaluated: Experiment, tmp_path: Path) -> Publisher:
    return Publisher(evaluated, tmp_path / "bundles")


# ---------------------------------------------------------------------------------------------
# What is published
# ---------------------------------------------------------------------------------------------


def test_the_model_in_the_bundle_is_the_one_that_was_measured(
    publish: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish() == 0
    bundle = publish.current()
    assert capsys.readouterr().out.splitlines()[-1] == str(bundle.path)
    assert len(bundle.sample.rows) == 64
    predict = load_predictor(bundle.model_path, bundle.config, bundle.encodings, SoloWorld(),
                             torch.device("cpu"))
    rows = [ListedRow(row.sample_id, row.ids, row.weights) for row in bundle.sample.rows]
    found = predict(batch_of(rows, bundle.config.features))
    for name in ("ctr_logit", "cvr_logit"):
        expected = np.array([getattr(row, name) for row in bundle.sample.rows], dtype=float)
        np.testing.assert_allclose(getattr(found, f"{name}_B"), expected, rtol=0, atol=1e-6)
    row = bundle.sample.rows[0]
    assert row.p_ctr is not None and row.p_cvr is not None
    assert row.p_ctcvr == pytest.approx(row.p_ctr * row.p_cvr, rel=1e-12)


def test_the_bundle_says_what_it_learned_from(publish: Publisher) -> None:
    assert publish() == 0
    bundle = publish.current()
    assert str(bundle.index.train_days.last) == "2024-01-03", "the last fold's"
    assert str(bundle.index.test_days) and bundle.index.run == "small"
    card = bundle.text("model_card.md")
    assert "| learned from | 1 to 3 January 2024 | 9,000 |" in card
    assert "| ctcvr_auc | 0." in card and "Rows made up for tests." in card


def test_publishing_again_changes_nothing(publish: Publisher) -> None:
    assert publish() == 0
    before = sorted(publish.store.path.rglob("*"))
    assert publish() == 0
    assert sorted(publish.store.path.rglob("*")) == before


def test_without_the_optimizers_state_a_bundle_is_smaller(publish: Publisher) -> None:
    assert publish() == 0
    with_state = publish.current()
    assert publish("--set", "publish.optimizer_state=false") == 0
    without = publish.current()
    assert sum(part.num_bytes for part in without.index.parts) < sum(
        part.num_bytes for part in with_state.index.parts
    )


# ---------------------------------------------------------------------------------------------
# Aliases
# ---------------------------------------------------------------------------------------------


def test_a_rollback_is_one_command(publish: Publisher) -> None:
    assert publish() == 0
    first = publish.current().name
    second = publish.another(1)
    assert publish("--rollback") == 0 and publish.current().name == first
    assert publish("--rollback") == 0 and publish.current().name == first, "a retry"
    assert publish("--alias", "current=withdrawn") == 0 and publish.current().name == second


@pytest.mark.parametrize("how", ["damaged", "lost"])
def test_a_rollback_does_not_go_back_to_a_bundle_that_is_not_whole(
    publish: Publisher, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    first = (publish.another(1), publish.another(2))[0]
    before = publish.store.aliases.of_alias()
    if how == "lost":
        shutil.rmtree(publish.store.path / first)
    else:
        (publish.store.path / first / "sample.json").write_text("{}", encoding="utf-8")
    assert publish("--rollback") == 2
    assert first[:12] in capsys.readouterr().err
    assert publish.store.aliases.of_alias() == before


def test_a_withdrawn_run_is_not_published_by_a_retry(
    publish: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    first = publish.another(1)
    assert publish() == 0 and publish("--rollback") == 0
    assert publish() == 2
    assert "was taken out of service by a rollback" in capsys.readouterr().err
    assert publish.current().name == first


def test_another_alias_leaves_current_alone(publish: Publisher) -> None:
    assert publish("--as", "trial") == 0
    assert publish.store.current() is None
    assert publish.store.open("trial").index.run == "small"
    assert publish("--alias", "current=trial") == 0
    assert publish.current().name == publish.store.open("trial").name


def test_a_bundle_is_given_an_alias_by_its_folder_if_it_lies_among_the_others(
    publish: Publisher, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert publish() == 0
    bundle = publish.current()
    assert publish("--alias", f"trial={bundle.path}") == 0
    assert publish.store.aliases.of_alias()["trial"] == bundle.name
    elsewhere = tmp_path / "elsewhere" / bundle.name
    shutil.copytree(bundle.path, elsewhere)
    shutil.rmtree(bundle.path)
    assert publish("--alias", f"other={elsewhere}") == 2
    assert "it does not lie in" in capsys.readouterr().err


def test_bundles_are_listed_and_compared(
    publish: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    second = (publish.another(1), publish.another(2))[1]
    capsys.readouterr()
    assert publish("--diff", "previous", "current") == 0
    assert "ctr_auc: 0.0100 -> 0.0200 (+0.0100)" in capsys.readouterr().out
    assert publish("--list") == 0
    listed = capsys.readouterr().out
    assert second[:12] in listed and "current" in listed and "previous" in listed


@pytest.mark.parametrize("how", ["lost", "metrics lost", "metrics damaged", "index damaged"])
def test_a_bundle_that_is_not_whole_hides_no_other_from_the_list(
    publish: Publisher, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    first, second = publish.another(1), publish.another(2)
    path = publish.store.path / first
    if how == "lost":
        shutil.rmtree(path)
    elif how == "metrics lost":
        (path / "metrics.json").unlink()
    else:
        (path / f"{'bundle' if 'index' in how else 'metrics'}.json").write_text("{")
    capsys.readouterr()
    assert publish("--list") == 2
    told = capsys.readouterr()
    _, line_of_second, line_of_first = told.out.splitlines()
    assert line_of_second.split()[:2] == [second[:12], "current"]
    assert line_of_first.split()[:3] == [first[:12], "previous", "damaged"]
    (reason,) = told.err.splitlines()
    assert reason.startswith("error: ") and first in reason


@pytest.mark.parametrize("arguments, reason", [
    (["--rollback"], "nothing is in service"),
    (["--alias", "current"], "write it as NAME=BUNDLE"),
    (["--alias", "current=nothing"], "no bundle is called 'nothing'"),
    (["--as", "Trial"], "write small letters"),
    (["--as", "previous"], "the alias 'previous' is given by publishing"),
    (["--alias", "withdrawn=current"], "the alias 'withdrawn' is given by publishing"),
    (["--run", "nobody"], "no such run"),
])
def test_what_cannot_be_done_is_told_in_one_line(
    publish: Publisher, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert publish(*arguments) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and reason in told[0]
    assert publish.store.aliases.of_alias() == {}


def test_a_run_that_was_not_evaluated_is_refused(
    evaluated: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = evaluated.copy(tmp_path / "copy")
    publish = Publisher(copy, tmp_path / "bundles")
    (copy.run_path / "metrics.json").unlink()
    assert publish() == 2
    assert "run esmm_dist.evaluate first" in capsys.readouterr().err
    assert not publish.store.path.exists()


def test_predictions_of_another_checkpoint_are_refused(
    evaluated: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = evaluated.copy(tmp_path / "copy")
    predictions = copy.run_path / "predictions"
    shutil.rmtree(predictions / "2024-01-04")
    shutil.copytree(predictions / "2024-01-03", predictions / "2024-01-04")
    assert Publisher(copy, tmp_path / "bundles")() == 2
    assert "predicted by another checkpoint" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------
# Several at once, and kills
# ---------------------------------------------------------------------------------------------


def switching(folder: Path, how_often: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.integration.switching", str(folder), how_often]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)


def history(store: BundleStore) -> list[Aliases]:
    paths = sorted((store.path / "_aliases").glob("*.json"))
    return [Aliases.model_validate_json(path.read_bytes()) for path in paths]


def test_no_switch_is_lost_between_publishers_at_once(tmp_path: Path) -> None:
    publishers = [switching(tmp_path, "15") for _ in range(3)]
    for publisher in publishers:
        publisher.communicate()
    assert [publisher.returncode for publisher in publishers] == [0, 0, 0]
    switches = history(BundleStore(tmp_path / "bundles"))
    assert [aliases.number for aliases in switches] == list(range(1, 46))
    for before, after in zip(switches, switches[1:]):
        assert after.bundle_of_alias["previous"] == before.bundle_of_alias["current"]


def test_a_kill_at_any_moment_leaves_a_whole_bundle_in_service(tmp_path: Path) -> None:
    """Before each of the things that a publisher does to the disk, one after the other."""
    store = BundleStore(tmp_path / "bundles")
    in_service: list[str] = []
    with switching(tmp_path, "killed") as publisher:
        assert publisher.stdin is not None and publisher.stdout is not None
        for told in publisher.stdout:
            for name in store.names():
                Bundle.open(store.path / name)
            switches = history(store)
            assert [aliases.number for aliases in switches] == list(range(1, len(switches) + 1))
            current = store.current()
            in_service.append(current.name if current else "")
            if told != "killed\n":
                break
            publisher.stdin.write("go on\n")
            publisher.stdin.flush()
    assert (told, publisher.returncode) == ("through\n", 0)
    num_kills, num_names = len(in_service) - 1, len(store.names())
    assert num_kills > 15, "everything that it does to the disk"
    # Switched or not: the earliest kills changed nothing, the latest came after the switch.
    assert in_service[0] == "" and in_service[-1] not in in_service[:-1]
    assert 2 <= len(set(in_service)) - 1 == len(history(store)) <= num_names
