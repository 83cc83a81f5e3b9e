"""Methods trained, predicted and compared by one command: figures are those of the predictions,
and nothing is done twice."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from esmm_dist.compare import main
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.evaluation.comparison_document import COMMON_CTR_AUC, Comparison
from esmm_dist.simulation.record import RECORD, digest_of
from esmm_dist.trials import method_of_role
from tests.factories.simulated_logs import FIELDS
from tests.factories.written_samples import small_document, write_config, write_samples

METHODS = ["base", "esmm", "division"]
NUM_UNKNOWN = 40


class Compared:
    """A config with samples and their truth, and what the command left."""

    def __init__(self, folder: Path) -> None:
        document = small_document(folder) | {
            "note": "Made up for tests.",
            "simulate": {
                "path": str(folder / "simulated"), "impressions_per_day": 2000,
                "users": {"count": 100}, "items": {"count": 100}, "fields": FIELDS,
                "rates": {"ctr": 0.2, "cvr": 0.2},
            },
        }
        self.manifest = write_samples(document, num_rows_of_day=2000)
        self.samples = Path(document["samples"]["path"])
        self.config_path = write_config(folder, document)
        self.folder = folder / "runs" / "small.compare"
        self.simulated = folder / "simulated"
        self._write_truth()

    def _write_truth(self) -> None:
        config, rng = load_config(self.config_path), np.random.default_rng(1)
        day = self.manifest.days[-1]
        id_N = np.concatenate([pq.ParquetFile(self.samples / file.path).read()["sample_id"]
                               for file in day.files])[NUM_UNKNOWN:]
        p_N = rng.uniform(0.01, 0.5, (3, len(id_N)))
        path = self.simulated / "truth" / f"day={day.day}" / "0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({
            "sample_id": id_N, "p_click": p_N[0], "p_conversion_do_click": p_N[1],
            "p_conversion_given_click": p_N[2],
            "potential_conversion": (rng.random(len(id_N)) < p_N[1]).astype(np.int8),
        }), path)
        record = {"digest": digest_of(config), "is_complete": True}
        (self.simulated / RECORD).write_text(json.dumps(record), encoding="utf-8")

    def compare(self, *arguments: str) -> int:
        """The command's exit status."""
        return run_command(main, ["--config", str(self.config_path), "--methods", *METHODS,
                                  "--seeds", "2", *arguments])

    def read(self) -> Comparison:
        """What it left."""
        return Comparison.model_validate_json((self.folder / "comparison.json").read_text())

    def predictions(self, run: str) -> dict[str, np.ndarray[Any, Any]]:
        """A run's predictions, as any other tool would read them."""
        table = pa.concat_tables([pq.read_table(path) for path in sorted(
            (self.folder / run / "predictions").rglob("*.parquet"))]).sort_by("sample_id")
        return {name: table[name].to_numpy() for name in table.column_names}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    found = Compared(tmp_path_factory.mktemp("compare"))
    assert found.compare() == 0
    return found


def sigmoid(logit_N: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(1 / (1 + np.exp(-logit_N)))


def test_the_papers_protocol_multiplies_every_pcvr_by_one_pctr(compared: Compared) -> None:
    comparison = compared.read()
    for seed in (1, 2):
        common = compared.predictions(f"independent-seed{seed}")
        for method in ("base", "esmm"):
            own = compared.predictions(f"{method}-seed{seed}")
            clicked, converted = own["click"] == 1, own["conversion"] == 1
            figures = comparison.of(method).seeds[seed]
            assert figures["cvr_auc_click"] == pytest.approx(
                roc_auc_score(converted[clicked], own["cvr_logit"][clicked]))
            product = sigmoid(common["ctr_logit"]) * sigmoid(own["cvr_logit"])
            assert figures[COMMON_CTR_AUC] == pytest.approx(roc_auc_score(converted, product))
    own = sigmoid(own["ctr_logit"]) * sigmoid(own["cvr_logit"])
    assert figures["ctcvr_auc"] == pytest.approx(roc_auc_score(converted, own))
    assert "ctcvr_auc" not in comparison.of("base").metrics
    assert COMMON_CTR_AUC in comparison.of("division").metrics


def test_differences_are_paired_by_seed(compared: Compared) -> None:
    comparison = compared.read()
    assert comparison.baseline == "base" and not comparison.of("base").differences
    base, esmm = comparison.of("base"), comparison.of("esmm")
    gaps = [esmm.seeds[s]["cvr_auc_click"] - base.seeds[s]["cvr_auc_click"] for s in (1, 2)]
    gap = esmm.differences["cvr_auc_click"]
    assert gap.mean == pytest.approx(np.mean(gaps)) and gap.num_seeds == 2
    assert gap.std == pytest.approx(np.std(gaps, ddof=1))
    assert gap.low is not None and gap.high is not None and gap.low < gap.mean < gap.high
    assert gap.delong_low is not None and gap.delong_high is not None
    assert (gap.delong_low + gap.delong_high) / 2 == pytest.approx(gap.mean)


def test_the_truth_is_read_and_what_it_does_not_know_is_told(compared: Compared) -> None:
    comparison = compared.read()
    assert comparison.num_unknown_to_truth == NUM_UNKNOWN
    assert comparison.best["true_cvr_excess"] == pytest.approx(0, abs=1e-9)
    for method in METHODS:
        metrics = comparison.of(method).metrics
        for space in ("", "_click", "_unclicked"):
            assert metrics[f"true_cvr_auc{space}"].num_seeds == 2
            assert f"true_cvr_pcoc{space}" in metrics and f"potential_cvr_auc{space}" in metrics
        assert metrics["true_cvr_auc"].mean < comparison.best["true_cvr_auc"]


def test_costs_are_those_of_whole_trainings(compared: Compared) -> None:
    for method in METHODS:
        for cost in compared.read().of(method).costs.values():
            assert cost.is_whole and cost.train_seconds > 0 and 50 < cost.peak_memory_mb < 50_000


def test_table_csv_and_page_tell_of_every_method(
    compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in compared.folder.glob("*/checkpoints/**/*")}
    assert compared.compare() == 0
    after = {path: path.stat().st_mtime_ns for path in compared.folder.glob("*/checkpoints/**/*")}
    assert before == after != {}, "nothing is trained twice"
    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == str(compared.folder / "comparison.html")
    assert "[8/8] independent, seed 2" in output.err
    lines = list(csv.DictReader((compared.folder / "comparison.csv").read_text().splitlines()))
    assert {line["method"] for line in lines} == set(METHODS)
    page = (compared.folder / "comparison.html").read_text(encoding="utf-8")
    assert "http" not in page.replace("http://www.w3.org", "") and "Made up for tests." in page
    for method in METHODS:
        assert method in output.out and method in page


def test_an_interrupted_comparison_ends_as_one_that_was_not(compared: Compared) -> None:
    before = compared.read()
    for path in (compared.folder / "esmm-seed2" / "predictions").rglob("*.parquet"):
        path.unlink()
    assert compared.compare() == 0
    after = compared.read()
    assert [m.seeds for m in after.methods] == [m.seeds for m in before.methods]
    assert [m.differences for m in after.methods] == [m.differences for m in before.methods]


@pytest.mark.parametrize("arguments, message", [
    (["--set", "train.batch_size=120"], "small.compare"),
    (["--set", "simulate.seed=2"], "simulation.json: it was drawn by other settings"),
])
def test_another_config_is_refused_in_one_line(
    compared: Compared, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared.compare(*arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last


def test_an_unknown_method_is_refused_by_name(
    compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        compared.compare("--baseline", "esm")
    assert "esm: no such method; known are esmm, " in capsys.readouterr().err


def test_rates_are_chosen_on_the_last_training_day_by_equal_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = small_document(tmp_path, num_train_days=3)
    days = document["train"]["days"]
    document["samples"]["fit_days"] = {"first": days["first"], "last": days["first"]}
    rates = [{"towers": 1e-7, "tables": 1e-7}, {"towers": 0.003, "tables": 0.05}]
    document["tune"] = {"learning_rates": rates, "options": {"share_of_unclicked": [0.2, 1.0]}}
    write_samples(document, num_rows_of_day=1500)
    config_path = write_config(tmp_path, document)
    argv = ["--config", str(config_path), "--methods", "base", "ctcvr_direct", "aman"]
    assert run_command(main, argv) == 0
    folder = tmp_path / "runs" / "small.compare"
    comparison = Comparison.model_validate_json((folder / "comparison.json").read_text())
    assert [choice.method for choice in comparison.tuning] == [
        "base", "ctcvr_direct", "aman", "common_ctr"]
    assert [choice.metric for choice in comparison.tuning] == [
        "cvr_auc_click", "ctcvr_auc", "cvr_auc_click", "ctr_auc"]
    for choice in comparison.tuning:
        assert [trial.rates.model_dump() for trial in choice.trials] == rates
        assert choice.best and choice.best.rates.towers == 0.003, "what hardly learned ranks worse"
        (path,) = folder.glob(f"{method_of_role(choice.method)}-seed1-towers0.003-tables0.05*")
        trained = load_config(path / "config.yaml")
        assert trained.train.towers.learning_rate == 0.003
        shares = [trial.options.get("share_of_unclicked") for trial in choice.trials]
        if choice.method == "aman":
            assert set(shares) == {0.2, 1.0}
            assert trained.model.options.share_of_unclicked == shares[1]
        else:
            assert shares == [None, None]
        assert trained.train.days.last == load_config(config_path).train.days.last
    tried = load_config(folder / "tuning" / "base-towers0.003-tables0.05" / "config.yaml")
    assert tried.train.days.last < tried.evaluate.days.first == tried.evaluate.days.last
    assert tried.evaluate.days.first == load_config(config_path).train.days.last
    capsys.readouterr()
    document["samples"]["fit_days"]["last"] = document["train"]["days"]["last"]
    write_config(tmp_path, document)
    assert run_command(main, argv) == 2
    assert "tune: the validation day is train.days.last" in capsys.readouterr().err
