"""The audit by its command: on worlds that it draws and builds itself, and on samples of real logs,
where there is no truth."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from esmm_dist.audit import main
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluation.audit import REFERENCES
from esmm_dist.evaluation.audit_document import AS_DECLARED, Audit
from tests.factories.simulated_logs import simulation_document
from tests.factories.written_samples import small_document, write_config, write_samples


def audit(folder: Path, name: str, *arguments: str) -> Audit:
    argv = ["--config", str(folder / "config.yaml"), *arguments]
    assert run_command(main, argv) == 0
    text = (folder / "runs" / name / "audit.json").read_text(encoding="utf-8")
    return Audit.model_validate_json(text)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worlds_are_drawn_built_and_held_against_their_truth_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = simulation_document(tmp_path, impressions_per_day=20_000)
    document["model"] = {"embedding_dim": 4, "hidden_units": [16, 8]}
    document["train"] |= {"batch_size": 64, "num_epochs": 2, "towers": {"learning_rate": 0.01},
                          "tables": {"name": "adagrad", "learning_rate": 0.05}}
    document["audit"] = {"methods": ["division"], "num_replicates": 1, "methods_where_varied": [],
                         "vary": {"ctr": [0.3, 0.5], "num_epochs": [1]}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    found = audit(tmp_path, "simulated.audit-quick", "--quick")
    assert found.varied == {"ctr": (AS_DECLARED, "ctr=0.5"),
                            "num_epochs": ("num_epochs=1", AS_DECLARED)}
    assert capfd.readouterr().err.count("building as-declared-1") == 1
    declared, clicked_more, shorter = found.scenarios
    assert set(clicked_more.methods) == {"esmm", "base", "aman", *REFERENCES}
    assert set(declared.methods) == {*clicked_more.methods, "division"}
    assert set(shorter.methods) == {"esmm", "base", *REFERENCES}
    assert shorter.truth == declared.truth, "the same worlds, and the same tenths"
    assert shorter.methods["esmm"]["num_steps"].value == pytest.approx(
        declared.methods["esmm"]["num_steps"].value / 2)
    for scenario, rate in ((declared, 0.2), (clicked_more, 0.5)):
        assert scenario.truth["click_rate"].value == pytest.approx(rate, rel=0.05)
        assert scenario.truth["given_to_do"].value == pytest.approx(1, abs=1e-6)
    for method in ("esmm", "base"):
        assert 0.3 < declared.methods[method]["true_cvr_pcoc_click"].value < 3
    aman, base = declared.methods["aman"], declared.methods["base"]
    assert aman["cvr_to_base"].value == pytest.approx(
        aman["true_cvr_pcoc"].value / base["true_cvr_pcoc"].value)
    assert aman["cvr_to_true_ctcvr"].value < 0.5 * base["cvr_to_true_ctcvr"].value
    trained = load_config(next((tmp_path / "runs").rglob("aman-seed1/config.yaml")))
    assert trained.model.options.share_of_unclicked == 1, "the pole, whatever the config says"
    page = (tmp_path / "runs" / "simulated.audit-quick" / "audit.html").read_text()
    assert "As ctr varies" in page
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    capfd.readouterr()
    again = audit(tmp_path, "simulated.audit-quick", "--quick")
    assert again.scenarios == found.scenarios
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    told = capfd.readouterr().err
    assert "drawing" not in told and "building" not in told


def test_real_logs_are_judged_by_their_clicks_and_what_is_implied_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = small_document(tmp_path) | {"audit": {"methods": ["esmm"], "num_replicates": 2}}
    write_samples(document, num_rows_of_day=1500)
    write_config(tmp_path, document)
    found = audit(tmp_path, "small.audit")
    (scenario,) = found.scenarios
    assert not found.is_simulated and scenario.truth == {} and scenario.num_impressions == 1500
    esmm = scenario.methods["esmm"]
    assert 0.2 < esmm["cvr_pcoc_click"].value < 5 and esmm["cvr_pcoc_click"].low is not None
    assert esmm["implied_rate_unclicked"].value < esmm["implied_rate_click"].value
    assert "Nothing in these logs can tell" in capsys.readouterr().out
    (path,) = (tmp_path / "runs" / "small.audit" / "base-seed2" / "predictions").rglob("*.parquet")
    rows = pq.read_table(path)
    others = pa.array(1 - rows["click"].to_numpy())
    place = rows.column_names.index("click")
    pq.write_table(rows.set_column(place, rows.schema.field("click"), others), path)
    assert run_command(main, ["--config", str(tmp_path / "config.yaml")]) == 2
    assert "base-seed2: its rows are not those of the first run: click differs" in (
        capsys.readouterr().err)


def test_methods_that_cannot_be_trained_are_named_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = small_document(tmp_path) | {"audit": {"methods": ["esmm", "fnw"]}}
    write_samples(document, num_rows_of_day=150)
    assert run_command(main, ["--config", str(write_config(tmp_path, document))]) == 2
    told = capsys.readouterr().err
    last = told.splitlines()[-1]
    assert "since of the methods 3 cannot be (base, fnw, independent): base: train.batch" in last
    assert "it learns from fake negatives" in last and "[1/" not in told


def test_several_processes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class OneOfTwo(SoloWorld):
        num_ranks = 2

    @contextmanager
    def connect() -> Iterator[SoloWorld]:
        yield OneOfTwo()

    monkeypatch.setattr("esmm_dist.audit.connect", connect)
    config = write_config(tmp_path, small_document(tmp_path))
    assert run_command(main, ["--config", str(config)]) == 2
    assert "takes one process" in capsys.readouterr().err


def test_worlds_are_drawn_on_no_object_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = simulation_document(tmp_path, impressions_per_day=100)
    config = write_config(tmp_path, document | {"runs_path": "memory://audited/runs"})
    assert run_command(main, ["--config", str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: runs_path = memory://audited/runs: worlds are drawn")
