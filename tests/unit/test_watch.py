"""What Prometheus is told of an experiment."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.gating import Gate
from esmm_dist.gating.verdict import VERDICT, Check, Verdict
from esmm_dist.serving.aliases import in_service
from esmm_dist.serving.store import BundleStore
from esmm_dist.watch import main
from tests.factories.bundles import add_bundle, bundle_config, places
from tests.factories.written_samples import small_document, write_config, write_samples

DAYS = DayRange.model_validate({"first": "2024-01-03", "last": "2024-01-03"})


def told(path: Path) -> dict[tuple[str, ...], float]:
    """Every value by its name and labels, of which the experiment must be the config's."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            assert sample.labels.pop("experiment") == "small"
            found[(sample.name, *sample.labels.values())] = sample.value
    return found


def document(folder: Path) -> dict[str, Any]:
    return small_document(folder) | {"publish": {"path": str(folder / "bundles")}}


def run(folder: Path, *flags: str) -> dict[tuple[str, ...], float]:
    main(["--config", str(folder / "config.yaml"), *flags])
    return told(folder / "runs" / "small.prom")


def test_what_does_not_exist_has_no_line(tmp_path: Path) -> None:
    write_config(tmp_path, document(tmp_path))
    assert run(tmp_path) == {}


def test_the_last_day_and_the_model_in_service_and_the_verdict(tmp_path: Path) -> None:
    write_config(tmp_path, document(tmp_path))
    manifest = write_samples(document(tmp_path))
    store = BundleStore(tmp_path / "bundles")
    bundle = add_bundle(store, bundle_config(tmp_path), places("a"), ctr_auc=0.75)
    store.aliases.switch(lambda aliases: in_service(aliases, bundle.name))
    judged_at = datetime(2024, 1, 4, 3, tzinfo=UTC)
    check = Check(kind="bound", name="ctr_auc", passed=False, text="too low")
    verdict = Verdict(
        candidate=bundle.name, current=None, days=DAYS, num_impressions=5, declared=Gate(),
        judged_at=judged_at, accepted=False, checks=(check, check),
    )
    night = tmp_path / "runs" / "small-2024-01-03"
    night.mkdir(parents=True)
    (night / VERDICT).write_text(verdict.model_dump_json())
    found = run(tmp_path, "--for-day", "2024-01-03")
    last = manifest.days[-1]
    assert found[("esmm_dist_samples_until_timestamp_seconds",)] == \
        datetime(2024, 1, 4, tzinfo=UTC).timestamp()
    assert found[("esmm_dist_samples_of_last_day", "clicks")] == last.num_clicks
    assert found[("esmm_dist_samples_of_last_day", "impressions")] == last.num_rows
    assert found[("esmm_dist_rate_of_last_day", "ctr")] == last.num_clicks / last.num_rows
    assert found[("esmm_dist_rate_of_last_day", "cvr")] == last.num_conversions / last.num_clicks
    assert found[("esmm_dist_model_learned_until_timestamp_seconds",)] == \
        datetime(2024, 1, 3, tzinfo=UTC).timestamp()
    assert found[("esmm_dist_model_metric", "ctr_auc")] == 0.75
    assert ("esmm_dist_model_metric", "ctcvr_pcoc") not in found  # it has no value
    assert found[("esmm_dist_gate_accepted",)] == 0
    assert found[("esmm_dist_gate_refusing_checks",)] == 2
    assert found[("esmm_dist_gate_judged_timestamp_seconds",)] == judged_at.timestamp()


def test_of_a_damaged_model_nothing_is_told_and_of_the_rest_all(tmp_path: Path) -> None:
    write_config(tmp_path, document(tmp_path))
    write_samples(document(tmp_path))
    store = BundleStore(tmp_path / "bundles")
    bundle = add_bundle(store, bundle_config(tmp_path), places("a"), ctr_auc=0.75)
    store.aliases.switch(lambda aliases: in_service(aliases, bundle.name))
    assert ("esmm_dist_model_metric", "ctr_auc") in run(tmp_path)
    (bundle.path / "encodings.json").write_text("{}")
    with pytest.raises(InputError, match="encodings.json: its checksum differs"):
        run(tmp_path)
    names = {name for name, *_ in told(tmp_path / "runs" / "small.prom")}
    assert "esmm_dist_samples_until_timestamp_seconds" in names
    assert not [name for name in names if name.startswith("esmm_dist_model")]


def test_of_damaged_samples_nothing_is_told_but_that_they_are(tmp_path: Path) -> None:
    write_config(tmp_path, document(tmp_path))
    manifest = write_samples(document(tmp_path))
    path = tmp_path / "samples" / manifest.path
    path.write_text(path.read_text().replace('"days"', '"dayz"'))
    with pytest.raises(InputError, match=path.name):
        run(tmp_path)
    assert told(tmp_path / "runs" / "small.prom") == {}


@pytest.mark.parametrize("override", [
    "runs_path=memory://watched/runs", "retraining.metrics_file=s3://watched/small.prom",
])
def test_a_file_that_no_collector_could_read_is_refused(
    override: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, document(tmp_path))
    assert run_command(main, ["--config", str(config), "--set", override]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "://watched/" in line and "give retraining.metrics_file a local path" in line


def test_the_verdict_of_another_night_is_not_told(tmp_path: Path) -> None:
    write_config(tmp_path, document(tmp_path))
    (tmp_path / "runs" / "small-2024-01-02").mkdir(parents=True)
    (tmp_path / "runs" / "small-2024-01-02" / VERDICT).write_text("not looked at")
    assert not any("gate" in name for name, *_ in run(tmp_path, "--for-day", "2024-01-03"))


def test_what_a_night_s_commands_took_is_told_once_a_scheduler_ran_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, document(tmp_path))
    flags = ["--config", str(tmp_path / "config.yaml"), "--for-day", "2024-01-03"]
    assert run_command(main, flags) == 0
    assert not (tmp_path / "runs" / "small-2024-01-03.seconds").exists(), "by hand"
    monkeypatch.setenv("ESMM_DIST_RUN_ID", "scheduled")
    assert run_command(main, [*flags, "--set", "train.batch=1"]) == 2
    assert not (tmp_path / "runs" / "small-2024-01-03.seconds").exists(), "it failed"
    assert run_command(main, flags) == 0
    found = run(tmp_path, "--for-day", "2024-01-03")
    assert list(found) == [("esmm_dist_command_duration_seconds", "watch")]
    assert 0 < found[("esmm_dist_command_duration_seconds", "watch")] < 60
    (tmp_path / "runs" / "small-2024-01-03.seconds" / "train").write_text("soon")
    with pytest.raises(InputError, match="'soon' is no number of seconds"):
        run(tmp_path, "--for-day", "2024-01-03")


def test_of_ranks_the_first_alone_notes_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, document(tmp_path))
    monkeypatch.setenv("ESMM_DIST_RUN_ID", "scheduled")
    monkeypatch.setenv("HOROVOD_RANK", "1")
    assert run_command(main, ["--config", str(tmp_path / "config.yaml")]) == 0
    assert not (tmp_path / "runs" / "small.seconds").exists()
