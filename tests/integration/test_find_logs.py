"""What a schedule waits for: the day's rows in all three logs, as of the config's instant."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.sections import Config

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
DAY = "2022-05-02"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The nightly example on a copy of the logs of one day and the day before."""
    overrides = []
    for log in ("impressions", "clicks", "conversions"):
        for day in ("2022-05-01", DAY):
            part = f"{log}/dt={day}"
            shutil.copytree(ROOT / "examples" / "kuairand" / part, tmp_path / part)
        overrides.append(f"logs.{log}.path={tmp_path / log}")
    return load_config(ROOT / "conf" / "kuairand_nightly.yaml", overrides)


def test_a_day_that_all_logs_hold_has_come(
    spark: "SparkSession", config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    from jobs.find_logs import demand_last_day

    demand_last_day(spark, config)
    folder = Path(str(config.logs.impressions.path)) / f"dt={DAY}"
    num_rows = sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"logs.impressions: {num_rows:,} rows of {DAY}"
    assert len(lines) == 3


def test_a_log_without_the_day_is_waited_for(
    spark: "SparkSession", config: Config, tmp_path: Path
) -> None:
    from jobs.find_logs import NotYet, demand_last_day

    shutil.rmtree(tmp_path / "conversions" / f"dt={DAY}")
    with pytest.raises(NotYet, match=f"no rows of {DAY} in logs.conversions"):
        demand_last_day(spark, config)


def test_rows_of_after_the_instant_have_not_come(spark: "SparkSession", config: Config) -> None:
    from jobs.find_logs import NotYet, demand_last_day

    assert config.samples.as_of is not None
    early = config.samples.model_copy(update={"as_of": config.samples.as_of.replace(day=1)})
    with pytest.raises(NotYet, match="impressions.*clicks.*conversions"):
        demand_last_day(spark, config.model_copy(update={"samples": early}))


def test_waiting_and_failing_have_exit_statuses_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jobs import find_logs

    class Session:
        def stop(self) -> None:
            pass

    def not_yet(spark: object, config: object) -> None:
        raise find_logs.NotYet("not yet: no rows")

    monkeypatch.setattr(find_logs, "open_session", lambda name: Session())
    monkeypatch.setattr(find_logs, "demand_last_day", not_yet)
    with pytest.raises(SystemExit) as ended:
        run_command(find_logs.find_logs, [])
    assert ended.value.code == find_logs.EXIT_NOT_YET == 3
    assert capsys.readouterr().err == "not yet: no rows\n"
    assert run_command(find_logs.find_logs, ["--config", "nowhere.yaml"]) == 2
