"""Builds again, builds at once, builds that are killed or refused: what is published stays whole.

Small generated logs of two days; one Spark session serves all but the build that is killed.
"""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from esmm_dist.contract.command_line import EXIT_BAD_INPUT, run_command
from esmm_dist.contract.manifest import Day, Manifest, manifest_path, read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.samples.build import Builder
from esmm_dist.samples.publication import publish
from tests.factories.raw_logs import Logs, config_of, dirty_logs, write_logs
from tests.integration.killed_job import kill_when
from tests.oracles.log_rows import Rules

pytestmark = pytest.mark.spark

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
HOUR = timedelta(hours=1)
RULES = Rules(ZoneInfo("Asia/Shanghai"), 24 * HOUR, 24 * HOUR, ("order",))


@pytest.fixture(scope="module")
def logs() -> Logs:
    return dirty_logs(5, 800, [FIRST, SECOND], RULES, is_partitioned=True)


@pytest.fixture(scope="module")
def built(
    spark: SparkSession, logs: Logs, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with logs and the samples of both days; no test changes it."""
    folder = tmp_path_factory.mktemp("built")
    write_logs(logs, folder, is_partitioned=True, num_files=1, seed=1)
    build(spark, config_in(folder))
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(built, folder)
    return folder


def config_in(folder: Path, **samples: object) -> Config:
    """The config of a folder's logs, with some settings of its samples changed."""
    config = config_of(folder, True, RULES, FIRST, SECOND)
    return config.model_copy(update={"samples": config.samples.model_copy(update=samples)})


def build(
    spark: SparkSession, config: Config, days: Sequence[date] = (FIRST, SECOND), refit: bool = False
) -> Manifest:
    return Builder(spark, config, refit).build(days)


def day_of(manifest: Manifest, day: date) -> Day:
    (found,) = manifest.select([day], "the test's samples")
    return found


def rows_of(folder: Path, day: Day) -> pa.Table:
    """A day's rows in the order of its files."""
    files = [folder / "samples" / file.path for file in day.files]
    return pa.concat_tables([pq.ParquetFile(file).read() for file in files])


def test_a_rebuilt_day_has_equal_rows_in_equal_order_whatever_the_logs_files(
    spark: SparkSession, copy: Path, logs: Logs
) -> None:
    before = read_manifest(copy / "samples")
    for log in logs._fields:
        shutil.rmtree(copy / log)
    write_logs(logs, copy, is_partitioned=True, num_files=5, seed=2)
    after = build(spark, config_in(copy), [SECOND])
    assert after.number == before.number + 1
    assert after.encodings == before.encodings
    assert day_of(after, FIRST) == day_of(before, FIRST)
    old, new = day_of(before, SECOND), day_of(after, SECOND)
    assert (old.build_id, old.counters) != (new.build_id, {})
    assert new.counters == old.counters
    assert [file.num_rows for file in new.files] == [file.num_rows for file in old.files]
    assert rows_of(copy, new).equals(rows_of(copy, old))
    assert read_manifest(copy / "samples", before.number) == before


@pytest.mark.parametrize("days", [(FIRST, SECOND), (SECOND, SECOND)], ids=["two days", "one day"])
def test_two_builds_at_once_both_come_to_stand_in_the_manifest(
    spark: SparkSession, copy: Path, days: tuple[date, date]
) -> None:
    """Of one day the build that publishes last; no file of either is lost or mixed."""
    before = read_manifest(copy / "samples")
    builders = [Builder(spark, config_in(copy), refit=False) for _ in days]
    with ThreadPoolExecutor(2) as pool:
        published = list(pool.map(lambda builder, day: builder.build([day]), builders, days))
    after = read_manifest(copy / "samples")
    assert after.number == before.number + 2
    for one, day in zip(published, days):
        old, new = day_of(before, day).build_id, day_of(one, day).build_id
        assert old not in (new, day_of(after, day).build_id)
        assert day_of(one, day).counters == day_of(before, day).counters
        assert rows_of(copy, day_of(one, day)).equals(rows_of(copy, day_of(before, day)))


def test_a_manifest_that_was_not_written_to_its_end_is_passed_over_and_its_number_left(
    spark: SparkSession, copy: Path
) -> None:
    before = read_manifest(copy / "samples")
    damaged = copy / "samples" / manifest_path(before.number + 1)
    damaged.write_text(before.model_dump_json()[:500])
    config = config_in(copy)
    builder = Builder(spark, config, refit=False)
    after = publish(builder.store, config, before.encodings, [], starts_anew=False)
    assert (after.number, after.days) == (before.number + 2, before.days)
    assert read_manifest(copy / "samples") == after


def test_refitting_starts_anew_with_the_days_asked_for(spark: SparkSession, copy: Path) -> None:
    after = build(spark, config_in(copy, click_window_hours=12.0), [SECOND], refit=True)
    assert [day.day for day in after.days] == [SECOND]
    assert read_manifest(copy / "samples") == after


def test_a_build_that_is_killed_while_it_writes_leaves_the_last_manifest(copy: Path) -> None:
    samples = copy / "samples"
    before, known = read_manifest(samples), set((samples / f"day={SECOND}").iterdir())
    config = copy / "config.yaml"  # JSON is YAML
    config.write_text(config_in(copy).model_dump_json(exclude_none=True))
    kill_when(
        lambda: set((samples / f"day={SECOND}").iterdir()) > known,
        ["jobs/build_samples.py", "--config", str(config), "--days", str(SECOND)], copy,
    )
    assert set((samples / f"day={SECOND}").iterdir()) > known
    assert read_manifest(samples) == before
    assert rows_of(copy, day_of(before, SECOND)).num_rows == day_of(before, SECOND).num_rows


def refusal(
    spark: SparkSession, config: Config, capsys: pytest.CaptureFixture[str],
    days: Sequence[date] = (FIRST, SECOND),
) -> str:
    """The one line that a refused build ends with."""
    capsys.readouterr()

    def command(_: Sequence[str]) -> None:
        build(spark, config, days)

    assert run_command(command, []) == EXIT_BAD_INPUT
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert "Exception" not in line
    return line


def test_other_settings_than_the_days_were_built_with_are_refused_with_the_difference(
    spark: SparkSession, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_manifest(built / "samples")
    line = refusal(spark, config_in(built, click_window_hours=12.0), capsys)
    assert "samples.click_window_hours is 12.0, built with 24.0" in line and "--refit" in line
    feature = config_in(built).features[0].model_copy(update={"name": "price"})
    line = refusal(spark, config_in(built).model_copy(update={"features": (feature,)}), capsys)
    assert "features price are new" in line and "features value are gone" in line
    assert read_manifest(built / "samples") == before


def log_file(folder: Path, log: str, name: str = "0.parquet") -> Path:
    return folder / log / f"dt={SECOND}" / name


def rewrite(folder: Path, log: str, name: str, kind: pa.DataType) -> None:
    """Gives a column of a whole log another type, its values all null."""
    for path in sorted((folder / log).rglob("*.parquet")):
        table = pq.ParquetFile(path).read()
        column = pa.nulls(table.num_rows, kind)
        pq.write_table(table.set_column(table.column_names.index(name), name, column), path)


def test_logs_that_are_read_otherwise_or_hold_other_keys_than_the_days_were_built_from_are_refused(
    spark: SparkSession, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_manifest(copy / "samples")
    later = config_in(copy, lateness_hours=5.0)
    line = refusal(spark, later, capsys)
    assert "read otherwise: samples.lateness_hours is 5.0" in line and "--logs-changed" in line
    Builder(spark, later, False, logs_changed=True)._refuse_conflicts([FIRST])
    rewrite(copy, "impressions", "user_id", pa.int64())
    line = refusal(spark, config_in(copy), capsys)
    assert f"(user_id) are numbers in the log, those of {FIRST} were texts" in line
    assert read_manifest(copy / "samples") == before


def a_missing_log(folder: Path) -> list[str]:
    shutil.rmtree(folder / "clicks")
    return ["logs.clicks", str(folder / "clicks"), "there is no such path"]


def a_misnamed_column(folder: Path) -> list[str]:
    for path in sorted((folder / "impressions").rglob("*.parquet")):
        table = pq.ParquetFile(path).read()
        names = ["values" if name == "value" else name for name in table.column_names]
        pq.write_table(table.rename_columns(names), path)
    return ["logs.impressions", "there is no column 'value'", "the nearest is 'values'"]


def a_time_that_is_a_text(folder: Path) -> list[str]:
    rewrite(folder, "clicks", "event_time", pa.string())
    return ["logs.clicks", "'event_time' is string", "a timestamp is wanted"]


def a_number_that_is_a_text(folder: Path) -> list[str]:
    rewrite(folder, "impressions", "value", pa.string())
    return ["logs.impressions", "'value' is string", "a number or a boolean is wanted"]


def ids_of_two_types(folder: Path) -> list[str]:
    rewrite(folder, "conversions", "impression_id", pa.int64())
    return ["logs.conversions", "bigint", "logs.impressions", "string"]


def a_day_without_impressions(folder: Path) -> list[str]:
    shutil.rmtree(log_file(folder, "impressions").parent)
    return ["logs.impressions", f"no rows for the day {SECOND}", "write that day again"]


def a_day_without_usable_impressions(folder: Path) -> list[str]:
    path = log_file(folder, "impressions")
    table = pq.ParquetFile(path).read()
    place = table.column_names.index("impression_id")
    nothing = pa.nulls(table.num_rows, pa.string())
    pq.write_table(table.set_column(place, "impression_id", nothing), path)
    return ["logs.impressions", str(SECOND), "impressions_null_id"]


def a_day_of_clicks_that_lack_their_id(folder: Path) -> list[str]:
    path = log_file(folder, "clicks")
    table = pq.ParquetFile(path).read()
    names = ["shown_id" if name == "impression_id" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), path)
    return ["logs.clicks", f"of {SECOND} are without impression_id", "look at that day's files"]


def a_file_without_rows(folder: Path) -> list[str]:
    empty = log_file(folder, "clicks", "1.parquet")
    pq.write_table(pq.ParquetFile(log_file(folder, "clicks")).read().slice(0, 0), empty)
    return ["logs.clicks", str(empty), "holds no rows"]


def a_file_without_bytes(folder: Path) -> list[str]:
    log_file(folder, "conversions", "1.parquet").touch()
    return [str(log_file(folder, "conversions", "1.parquet"))]


def a_truncated_file(folder: Path) -> list[str]:
    path = log_file(folder, "impressions")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return [str(path), "write it again"]


def a_file_damaged_in_its_middle(folder: Path) -> list[str]:
    path = log_file(folder, "impressions")
    whole = bytearray(path.read_bytes())
    whole[100:2_000] = bytes(1_900)
    path.write_bytes(whole)
    return [str(path), "write it again"]


@pytest.mark.parametrize(
    "spoil",
    [a_missing_log, a_misnamed_column, a_time_that_is_a_text, a_number_that_is_a_text,
     ids_of_two_types, a_day_without_impressions, a_day_without_usable_impressions,
     a_day_of_clicks_that_lack_their_id, a_file_without_rows, a_file_without_bytes,
     a_truncated_file, a_file_damaged_in_its_middle],
    ids=lambda spoil: spoil.__name__,
)
def test_bad_logs_end_in_one_line_that_names_them_and_publish_nothing(
    spoil: Callable[[Path], list[str]], spark: SparkSession, copy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = read_manifest(copy / "samples")
    named = spoil(copy)
    line = refusal(spark, config_in(copy), capsys, [SECOND])
    for text in named:
        assert text in line, line
    assert read_manifest(copy / "samples") == before
