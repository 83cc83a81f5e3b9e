"""Comparisons that meet what cannot be trained, what diverges, and what was trained otherwise."""

import csv
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from esmm_dist.compare import main
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.manifest import Manifest
from esmm_dist.evaluation.comparison_document import COMMON_CTR_AUC, Comparison
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import horovodrun

Spoil = Callable[[date, pa.Table], pa.Table]


def with_conversions(rows: pa.Table, column: Any) -> pa.Table:
    """The same rows with other labels."""
    place = rows.column_names.index("conversion")
    return rows.set_column(place, rows.schema.field("conversion"), column)


class Comparing:
    """A config with samples of few rows."""

    def __init__(self, folder: Path, spoil: Spoil = lambda day, rows: rows, **changes: Any) -> None:
        self.document = small_document(folder, num_train_days=3)
        days = self.document["train"]["days"]
        self.document["samples"]["fit_days"] = {"first": days["first"], "last": days["first"]}
        self.document |= changes
        self.manifest = write_samples(self.document, num_rows_of_day=900, spoil=spoil)
        self.samples = Path(self.document["samples"]["path"])
        self.config_path = write_config(folder, self.document)
        self.folder = folder / "runs" / "small.compare"

    def compare(self, *methods: str, set_to: tuple[str, ...] = ()) -> int:
        """The command's exit status."""
        overrides = [part for value in set_to for part in ("--set", value)]
        return run_command(main, ["--config", str(self.config_path), *overrides, "--methods",
                                  *methods])

    def read(self) -> Comparison:
        """What it left."""
        return Comparison.model_validate_json((self.folder / "comparison.json").read_text())

    def build_anew(self, *, changes_last_day: bool) -> None:
        """The next manifest; one day of it may have another build, with later labels."""
        days = list(self.manifest.days)
        if changes_last_day:
            day = days[-1]
            files = []
            for file in day.files:
                path = file.path.replace("build=written", "build=again")
                rows = pq.ParquetFile(self.samples / file.path).read()
                (self.samples / path).parent.mkdir(exist_ok=True, parents=True)
                pq.write_table(with_conversions(rows, rows["click"]), self.samples / path)
                num_bytes = (self.samples / path).stat().st_size
                files.append(file.model_copy(update={"path": path, "num_bytes": num_bytes}))
            days[-1] = day.model_copy(update={"files": tuple(files), "build_id": "again"})
        built: Manifest = self.manifest.model_copy(update={"number": 2, "days": tuple(days)})
        (self.samples / built.path).write_text(built.model_dump_json(), encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Comparing:
    found = Comparing(tmp_path_factory.mktemp("compare"))
    assert found.compare("base") == 0
    return found


def copy_of(trained: Comparing, folder: Path) -> Comparing:
    """The same trainings on samples of the same content, to be spoilt."""
    found = Comparing(folder)
    shutil.copytree(trained.folder, found.folder)
    return found


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What it ended with."""
    return capsys.readouterr().err.splitlines()[-1]


def test_a_diverging_tuning_trial_is_the_worst_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With rates of which the names would hold a +, too."""
    rates = [{"towers": 2e6, "tables": 1e6}, {"towers": 0.003, "tables": 0.05}]
    comparing = Comparing(tmp_path, tune={"learning_rates": rates})
    assert comparing.compare("escm2_dr") == 0
    comparison = comparing.read()
    assert [choice.method for choice in comparison.tuning] == ["escm2_dr", "common_ctr"]
    choice = comparison.tuning[0]
    diverged, chosen = choice.trials
    assert diverged.value is None and "not finite" in (diverged.failure or "")
    assert chosen.value is not None and choice.best == chosen
    assert choice.metric == "cvr_auc_click" and not comparison.of("escm2_dr").failures
    assert "diverged" in (comparing.folder / "comparison.html").read_text(encoding="utf-8")
    assert (comparing.folder / "tuning" / "escm2_dr-towers2e06-tables1e06").is_dir()
    before = capsys.readouterr().err
    assert before.count("failed: ") >= 1
    configs = comparing.folder.glob("tuning/*/config.yaml")
    marks = {path: path.stat().st_mtime_ns for path in configs}
    assert comparing.compare("escm2_dr") == 0
    assert marks == {path: path.stat().st_mtime_ns for path in marks}, "nothing is tried twice"


def test_a_method_of_which_no_trial_ends_is_a_failed_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = [{"towers": 0.001, "tables": 0.05}, {"towers": 0.003, "tables": 0.05}]
    comparing = Comparing(tmp_path, tune={"learning_rates": rates})
    assert comparing.compare("base", "escm2_ips", set_to=("model.options.cvr_weight=1e300",)) == 2
    comparison = comparing.read()
    assert "all 2 tuning trials diverged" in comparison.of("escm2_ips").failures[1]
    assert "cvr_auc_click" in comparison.of("base").metrics


def test_changed_tuning_trains_beside_what_was_chosen_before(tmp_path: Path) -> None:
    rates = [{"towers": 1e-7, "tables": 1e-7}, {"towers": 0.003, "tables": 0.05}]
    comparing = Comparing(tmp_path, tune={"learning_rates": rates})
    assert comparing.compare("base") == 0
    comparing.document["tune"]["learning_rates"][1]["towers"] = 0.004
    write_config(tmp_path, comparing.document)
    assert comparing.compare("base") == 0
    assert {path.name for path in comparing.folder.glob("base-seed1*")} == {
        "base-seed1-towers0.003-tables0.05", "base-seed1-towers0.004-tables0.05"}


def test_a_training_that_fails_is_a_row_that_says_so_and_the_others_are_compared(
    trained: Comparing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparing = copy_of(trained, tmp_path)
    overflow = ("model.options.cvr_weight=1e300",)
    assert comparing.compare("base", "escm2_ips", "esmm", set_to=overflow) == 2
    output = capsys.readouterr()
    last = output.err.splitlines()[-1]
    assert last.startswith("error: 1 trainings failed") and "escm2_ips, seed 1: step 0" in last
    comparison = comparing.read()
    failed = comparison.of("escm2_ips")
    assert "the loss is not finite" in failed.failures[1] and not failed.metrics
    assert "cvr_auc_click" in comparison.of("esmm").differences
    lines = list(csv.DictReader((comparing.folder / "comparison.csv").read_text().splitlines()))
    (line,) = [line for line in lines if line["method"] == "escm2_ips"]
    assert line["note"].startswith("seed 1 failed: step 0")
    page = (comparing.folder / "comparison.html").read_text(encoding="utf-8")
    for text in (page, output.out):
        assert "escm2_ips, seed 1: failed: step 0: the loss is not finite" in text
    assert comparing.compare("base", "escm2_ips", "esmm", set_to=overflow) == 2
    assert "rank 0" in last_line(capsys), "it is remembered why"


def test_a_baseline_that_fails_leaves_figures_without_differences(
    trained: Comparing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparing = copy_of(trained, tmp_path)
    assert comparing.compare("escm2_ips", "base",
                             set_to=("model.options.cvr_weight=1e300",)) == 2
    base = comparing.read().of("base")
    assert COMMON_CTR_AUC in base.metrics and not base.differences


def test_all_methods_that_cannot_be_trained_are_named_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparing = Comparing(tmp_path, model={"embedding_dim": 6, "hidden_units": [24]})
    assert comparing.compare("base", "fnw", "es_dfm", "ple") == 2
    output = capsys.readouterr().err
    last = output.splitlines()[-1]
    assert "3 cannot be (fnw, es_dfm, ple)" in last
    assert last.count("holds none: build it") == 2
    assert "model.hidden_units = [24]: the method ple shares" in last
    assert "[1/" not in output and not comparing.folder.exists()


def test_trainings_on_samples_that_were_built_anew_are_refused(
    trained: Comparing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparing = copy_of(trained, tmp_path)
    comparing.build_anew(changes_last_day=True)
    assert comparing.compare("base") == 0, "all that is compared saw the same samples"
    assert comparing.compare("base", "esmm") == 2
    last = last_line(capsys)
    assert last.startswith(f"error: {comparing.folder}/base-seed1: it was trained on manifest 1")
    assert f"remove {comparing.folder}/base-seed1, {comparing.folder}/independent-seed1 to" in last
    assert not (comparing.folder / "esmm-seed1").exists()


def test_other_test_days_are_predicted_by_what_is_trained(tmp_path: Path) -> None:
    comparing = Comparing(tmp_path)
    begun = ("train.days.last=2024-01-02", "evaluate.days.first=2024-01-03")
    trained = []
    for last, num_days in (("2024-01-03", 1), ("2024-01-04", 2), ("2024-01-03", 1)):
        assert comparing.compare("base", set_to=(*begun, f"evaluate.days.last={last}")) == 0
        assert comparing.read().num_impressions == 900 * num_days
        trained.append({path: path.stat().st_mtime_ns
                        for path in comparing.folder.rglob("*.safetensors")})
    assert trained[0] and trained[0] == trained[1] == trained[2], "once"


def test_a_manifest_that_changes_nothing_of_the_days_is_gone_on_with(
    trained: Comparing, tmp_path: Path
) -> None:
    comparing = copy_of(trained, tmp_path)
    comparing.build_anew(changes_last_day=False)
    assert comparing.compare("base", "esmm") == 0


def test_predictions_of_other_labels_are_not_compared(
    trained: Comparing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the manifests say."""
    comparing = copy_of(trained, tmp_path)
    assert comparing.compare("base") == 0
    (path,) = (comparing.folder / "independent-seed1" / "predictions").rglob("*.parquet")
    rows = pq.ParquetFile(path).read()
    pq.write_table(with_conversions(rows, rows["click"]), path)
    assert comparing.compare("base") == 2
    last = last_line(capsys)
    assert f"{comparing.folder}/independent-seed1: " in last and "conversion differs" in last


def test_another_config_is_told_by_its_key_and_the_folder_to_remove(
    trained: Comparing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparing = copy_of(trained, tmp_path)
    for change in ("train.batch_size=120", "model.embedding_dim=4"):
        assert comparing.compare("esmm", "base", set_to=(change,)) == 2
        key, _, value = change.partition("=")
        last = last_line(capsys)
        assert f"{key} = " in last
        assert f"the config says {value}: remove {comparing.folder}/" in last
    assert not (comparing.folder / "esmm-seed1").exists()
    assert comparing.compare("base", set_to=("train.steps_per_log=3",)) == 0


def test_a_test_day_without_conversions_is_told_metric_by_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test_day = small_document(tmp_path, num_train_days=3)["evaluate"]["days"]["first"]

    def without(day: date, rows: pa.Table) -> pa.Table:
        nothing = pa.array(np.zeros(len(rows), np.int8))
        return with_conversions(rows, nothing) if day == test_day else rows

    comparing = Comparing(tmp_path, spoil=without)
    assert comparing.compare("base", "esmm") == 0
    output = capsys.readouterr().out
    assert "cvr_auc_click is not defined (base, esmm): one class only: 0 positives in" in output
    assert f"{COMMON_CTR_AUC} is not defined (base, esmm): one class only" in output
    assert "ctcvr_auc is not defined (esmm): one class only: 0 positives in 900 rows" in output
    assert "does not predict it" not in output


@pytest.mark.distributed
def test_two_ranks_go_on_after_a_training_that_failed(trained: Comparing, tmp_path: Path) -> None:
    comparing = copy_of(trained, tmp_path)
    ended = horovodrun(2, "-m", "esmm_dist.compare", "--config", comparing.config_path,
                       "--set", "model.options.cvr_weight=1e300",
                       "--methods", "base", "escm2_ips", "esmm")
    assert ended.returncode != 0 and "error: 1 trainings failed" in ended.stdout
    assert "cvr_auc_click" in comparing.read().of("esmm").differences
