"""Whatever is wrong with built samples is found: each way of spoiling them by its own words."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.expectations import Quality
from esmm_dist.contract.manifest import Manifest, SampleFile, read_manifest
from esmm_dist.labelling.content import CONTENT_HASH, content_hash
from tests.factories.raw_logs import config_of, dirty_logs, write_logs
from tests.oracles.log_rows import Rules

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from esmm_dist.samples.inspection import Inspection

pytestmark = pytest.mark.spark

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
HOUR = timedelta(hours=1)
RULES = Rules(ZoneInfo("UTC"), 24 * HOUR, 24 * HOUR, ("order",))


@dataclass
class Samples:
    """Built samples that a test may spoil."""

    spark: "SparkSession"
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "samples"

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.path)

    @property
    def file(self) -> SampleFile:
        """The first file of the second day."""
        return self.manifest.days[1].files[0]

    def inspect(self) -> "Inspection":
        from esmm_dist.samples.inspection import inspect
        from esmm_dist.samples.io import Store

        config = config_of(self.folder, True, RULES, FIRST, SECOND)
        return inspect(
            self.spark, Store(self.spark, str(self.path)), self.manifest, config,
            self.manifest.days,
        )

    def change_day(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Lets the manifest say something else of the second day."""
        path = self.path / self.manifest.path
        document = json.loads(path.read_text())
        change(document["days"][1])
        path.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def built(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with logs and samples of two days, several files a day; no test changes it."""
    from esmm_dist.samples.build import Builder

    folder = tmp_path_factory.mktemp("check")
    write_logs(dirty_logs(7, 900, [FIRST, SECOND], RULES, True), folder, True, 1, seed=1)
    Builder(spark, config_of(folder, True, RULES, FIRST, SECOND), False).build([FIRST, SECOND])
    return folder


@pytest.fixture
def samples(spark: "SparkSession", built: Path, tmp_path: Path) -> Samples:
    shutil.copytree(built, tmp_path / "copy")
    return Samples(spark, tmp_path / "copy")


def test_nothing_is_found_in_samples_as_they_were_built(
    spark: "SparkSession", built: Path
) -> None:
    inspection = Samples(spark, built).inspect()
    assert inspection.findings == ()
    manifest = read_manifest(built / "samples")
    for profile, day in zip(inspection.profiles, manifest.days, strict=True):
        rows = pa.concat_tables([
            pq.ParquetFile(built / "samples" / file.path).read() for file in day.files
        ])
        assert len(day.files) > 1
        values, groups = rows["value"].to_pylist(), rows["group_id"].to_pylist()
        value, group = profile.columns["value"], profile.columns["group_id"]
        assert (profile.num_rows, value.num_values) == (day.num_rows, day.num_rows)
        assert value.num_null_rows == values.count(0)
        assert value.num_of_id == {id_: values.count(id_) for id_ in {*values} - {0}}
        assert value.num_distinct == len({*values} - {0})
        assert group.num_null_rows == groups.count(0) == day.counters["samples_null_group"]


def flip_a_byte(path: Path, has_checksums: bool) -> None:
    """Hadoop keeps checksums beside files on local disks, as HDFS does; object stores do not."""
    whole = path.read_bytes()
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    if not has_checksums:
        path.with_name(f".{path.name}.crc").unlink()


def test_every_file_that_is_not_as_it_was_written_is_named(samples: Samples) -> None:
    first, second = samples.manifest.days
    cut, gone, refused, changed = (file.path for file in [*second.files[:3], first.files[0]])
    whole = (samples.path / cut).read_bytes()
    (samples.path / cut).write_bytes(whole[:-1])
    (samples.path / gone).unlink()
    flip_a_byte(samples.path / refused, has_checksums=True)
    flip_a_byte(samples.path / changed, has_checksums=False)
    inspection = samples.inspect()
    found = {finding.path: finding.what for finding in inspection.findings}
    assert found.keys() == {cut, gone, refused, changed}
    assert f"holds {len(whole) - 1:,} bytes" in found[cut]
    assert "no such file" in found[gone]
    assert "its file system found other bytes" in found[refused]
    assert "bytes have changed" in found[changed]
    assert inspection.profiles == (), "a day that is not whole says nothing"


def test_a_manifest_that_says_other_than_its_files_or_itself_is_told(samples: Samples) -> None:
    def lie(day: dict[str, Any]) -> None:
        day["num_clicks"] += 1
        day["first_event_time"] = "2026-03-02T12:34:56Z"
        day["counters"]["conversions_in"] += 1
        for name in ("clicks_in", "clicks_credited"):  # an identity that still holds
            day["counters"][name] += 1

    samples.change_day(lie)
    inspection = samples.inspect()
    whats = [finding.what for finding in inspection.findings]
    assert len(whats) == 4
    for words in (f"num_clicks of {SECOND} is", f"its times of {SECOND} are",
                  f"clicks_credited of {SECOND} is", "conversions_in + conversions_from_"):
        assert any(words in what for what in whats), whats
    assert [profile.day for profile in inspection.profiles] == [FIRST]


def test_a_missing_row_is_missed_though_its_file_agrees(samples: Samples) -> None:
    path = samples.path / samples.file.path
    table = pq.ParquetFile(path).read()
    rows = table.slice(1)
    notes = table.schema.metadata | {CONTENT_HASH.encode(): content_hash(rows).encode()}
    pq.write_table(rows.replace_schema_metadata(notes), path)
    path.with_name(f".{path.name}.crc").unlink()
    samples.change_day(lambda day: day["files"][0].update(
        num_bytes=path.stat().st_size, content_hash=content_hash(rows), num_rows=len(rows)
    ))
    assert any(
        "its footer counts impressions_out" in finding.what
        for finding in samples.inspect().findings
    )


def test_files_that_changed_places_are_told(samples: Samples) -> None:
    def change(day: dict[str, Any]) -> None:
        one, other = day["files"][:2]
        paths = samples.path / one["path"], samples.path / other["path"]
        contents = [path.read_bytes() for path in paths]
        for path, content in zip(paths, reversed(contents)):
            path.write_bytes(content)
            path.with_name(f".{path.name}.crc").unlink()
        one["path"], other["path"] = other["path"], one["path"]

    samples.change_day(change)
    (finding,) = samples.inspect().findings
    assert finding.what == "rows lie in other files than their hash says"


def test_the_report_lies_beside_the_manifest_and_broken_expectations_fail_by_name(
    spark: "SparkSession", built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from jobs.check_samples import check

    config = config_of(built, True, RULES, FIRST, SECOND)
    expected = {"name": "many rows", "metric": "num_rows", "min": 10_000}
    quality = Quality.model_validate({"expectations": [
        expected, {"name": "few nulls", "metric": "null_rate", "feature": "value", "max": 1},
    ]})
    with pytest.raises(InputError, match=r"1 of the declared .* \(many rows\)"):
        check(spark, config.model_copy(update={"quality": quality}), [SECOND], None)
    assert f"many rows: num_rows on {SECOND} is" in capsys.readouterr().out
    reports = built / "samples" / "_reports"
    report = json.loads((reports / "00000001.json").read_text())
    assert list(report["days"]) == [str(SECOND)]
    found = report["days"][str(SECOND)]
    assert found["num_trailing_days"] == 1 and found["columns"]["value"]["psi"] < 1
    assert [e["holds"] for e in report["expectations"]] == [False, True]
    day = read_manifest(built / "samples").days[1]
    assert sum(found["delays"]["click_delay_s"]) == day.num_clicks
    assert "many rows" in (reports / "00000001.html").read_text()
    shutil.rmtree(reports)


def test_the_days_looked_at_are_those_of_the_config(
    spark: "SparkSession", built: Path, tmp_path: Path
) -> None:
    from jobs.check_samples import check

    config = config_of(built, True, RULES, FIRST, SECOND)

    def checked(first: date, last: date) -> list[str]:
        days = config.samples.model_copy(update={"days": DayRange(first=first, last=last)})
        check(spark, config.model_copy(update={"samples": days}), (), str(tmp_path))
        return list(json.loads((tmp_path / "quality.json").read_text())["days"])

    assert checked(FIRST, SECOND) == [str(FIRST), str(SECOND)]
    assert checked(SECOND, SECOND + timedelta(days=5)) == [str(SECOND)]
    with pytest.raises(InputError, match="no day of samples.days .* is built"):
        checked(SECOND + timedelta(days=1), SECOND + timedelta(days=5))
