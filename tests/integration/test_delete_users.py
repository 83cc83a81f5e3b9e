"""Users leave the samples; every other row, file and count stays as it was."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xxhash

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import Day, Manifest, read_manifest
from esmm_dist.contract.sections import Config
from tests.factories.raw_logs import config_of, dirty_logs, write_logs
from tests.integration.killed_job import kill_when
from tests.oracles.log_rows import Row, Rules, start_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from esmm_dist.samples.deletion import Deletion

pytestmark = pytest.mark.spark

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
HOUR = timedelta(hours=1)
ZONE = ZoneInfo("UTC")
RULES = Rules(ZONE, 24 * HOUR, 24 * HOUR, ("order",))
SPARK_SEED = 42


@pytest.fixture(scope="module")
def built(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days, of which the second alone knows the users rare and 77; no test changes them."""
    from esmm_dist.samples.build import Builder

    logs = dirty_logs(11, 700, [FIRST, SECOND], RULES, True)
    noon = start_of(SECOND, ZONE) + 12 * HOUR
    for number, user in enumerate(("rare", "rare", "77")):
        logs.impressions.append(Row(f"extra{number}", noon, SECOND, content=(1.0, user)))
    logs.clicks.append(Row("extra0", noon + HOUR, SECOND))
    folder = tmp_path_factory.mktemp("users")
    write_logs(logs, folder, True, 1, seed=1)
    Builder(spark, config_in(folder), False).build([FIRST, SECOND])
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def config_in(folder: Path) -> Config:
    return config_of(folder, True, RULES, FIRST, SECOND)


def delete(
    spark: "SparkSession", folder: Path, *users: str, config: Config | None = None
) -> "Deletion":
    from esmm_dist.samples.deletion import delete_users
    from esmm_dist.samples.io import Store

    store = Store(spark, str(folder / "samples"))
    return delete_users(spark, store, config or config_in(folder), users)


def findings(
    spark: "SparkSession", folder: Path, manifest: Manifest, config: Config | None = None
) -> tuple[object, ...]:
    from esmm_dist.samples.inspection import inspect
    from esmm_dist.samples.io import Store

    store = Store(spark, str(folder / "samples"))
    return inspect(spark, store, manifest, config or config_in(folder), manifest.days).findings


def rows_of(folder: Path, day: Day) -> pa.Table:
    return pa.concat_tables(
        [pq.ParquetFile(folder / "samples" / file.path).read() for file in day.files]
    )


def group_id(user: str) -> int:
    unsigned = xxhash.xxh64_intdigest(user.encode(), SPARK_SEED)
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned


def test_a_users_rows_go_and_nothing_else_changes(spark: "SparkSession", copy: Path) -> None:
    before = read_manifest(copy / "samples")
    deletion = delete(spark, copy, "rare", "nobody", "v")
    after = read_manifest(copy / "samples")
    assert after == deletion.manifest and after.number == before.number + 1
    assert deletion.num_users_found == 2
    for old, new in zip(before.days, after.days, strict=True):
        rows = rows_of(copy, old)
        gone = pc.is_in(rows["group_id"], pa.array([group_id("rare"), group_id("v")]))
        kept = rows.filter(pc.invert(gone))
        assert rows_of(copy, new).equals(kept)
        num_gone = len(rows) - len(kept)
        assert deletion.num_rows_of_day[str(old.day)] == num_gone > 0
        assert (new.num_rows, new.counters["samples_deleted"]) == (len(kept), num_gone)
        assert new.num_clicks == pc.sum(kept["click"]).as_py() < old.num_clicks
        assert new.num_conversions == pc.sum(kept["conversion"]).as_py()
    assert findings(spark, copy, after) == ()
    assert before == read_manifest(copy / "samples", before.number), "it stays readable"


def test_days_and_files_without_the_user_are_the_same_bytes(
    spark: "SparkSession", copy: Path
) -> None:
    before = read_manifest(copy / "samples")
    deletion = delete(spark, copy, "rare")
    first, second = deletion.manifest.days
    assert first == before.days[0] and list(deletion.num_rows_of_day) == [str(SECOND)]
    same: list[str] = []
    other: list[str] = []
    for old, new in zip(before.days[1].files, second.files, strict=True):
        bytes_of = [(copy / "samples" / file.path).read_bytes() for file in (old, new)]
        (same if bytes_of[0] == bytes_of[1] else other).append(new.path)
        assert old.path.rpartition("/")[2] == new.path.rpartition("/")[2]
    assert same and 1 <= len(other) <= 2
    again = delete(spark, copy, "77")
    assert again.manifest.days[1].counters["samples_deleted"] == 3
    assert delete(spark, copy, "rare", "77").manifest == again.manifest, "there is nothing to do"
    assert findings(spark, copy, again.manifest) == ()


def test_a_day_that_was_built_again_meanwhile_is_not_overwritten(
    spark: "SparkSession", copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from esmm_dist.samples import deletion
    from esmm_dist.samples.build import Builder
    from esmm_dist.samples.publication import publish

    def build_first(*arguments: object, **others: object) -> Manifest:
        Builder(spark, config_in(copy), False).build([SECOND])
        return publish(*arguments, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(deletion, "publish", build_first)
    number = read_manifest(copy / "samples").number
    with pytest.raises(InputError, match=f"{SECOND} was built again meanwhile"):
        delete(spark, copy, "rare")
    assert read_manifest(copy / "samples").number == number + 1


def test_a_damaged_file_is_not_written_again_as_if_it_were_whole(
    spark: "SparkSession", copy: Path
) -> None:
    before = read_manifest(copy / "samples")
    for file in before.days[1].files:
        path = copy / "samples" / file.path
        whole = path.read_bytes()
        path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
        path.with_name(f".{path.name}.crc").unlink()
    with pytest.raises(InputError, match="its values are not those that were written"):
        delete(spark, copy, "77")
    assert read_manifest(copy / "samples") == before


@pytest.mark.parametrize(("num_bytes", "told"), [(None, "no such file"), (200, "holds 200 bytes")])
def test_nothing_is_deleted_while_a_file_is_missing_or_cut_off(
    spark: "SparkSession", copy: Path, num_bytes: int | None, told: str
) -> None:
    before = read_manifest(copy / "samples")
    path = copy / "samples" / before.days[0].files[0].path
    if num_bytes is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(InputError, match=f"^{path}: .*{told}.*nothing is deleted, build {FIRST}"):
        delete(spark, copy, "77")
    assert read_manifest(copy / "samples") == before


def test_a_deletion_that_is_killed_while_it_writes_leaves_the_last_manifest(copy: Path) -> None:
    before = read_manifest(copy / "samples")
    config = copy / "config.yaml"  # JSON is YAML
    config.write_text(config_in(copy).model_dump_json(exclude_none=True))

    def has_begun() -> bool:
        return any((copy / "samples" / "_drafts").glob("*/**/part-*"))

    kill_when(
        has_begun, ["jobs/delete_users.py", "--config", str(config), "--user", "v"], copy
    )
    assert read_manifest(copy / "samples") == before
    for day in before.days:
        assert rows_of(copy, day).num_rows == day.num_rows
        assert pc.sum(pc.equal(rows_of(copy, day)["group_id"], group_id("v"))).as_py() > 0


def test_fake_negatives_are_checked_and_go_with_their_samples(
    spark: "SparkSession", tmp_path: Path
) -> None:
    from esmm_dist.samples.build import Builder

    def fakes_of(day: Day) -> pa.Table:
        rows = rows_of(tmp_path, day)
        return rows.filter(pc.equal(rows["fake_negative"], 1))

    write_logs(dirty_logs(3, 300, [FIRST], RULES, True), tmp_path, True, 1, seed=1)
    stream = {"label_stream": "fake_negative", "fake_negative_after_hours": 1.0}
    config = config_of(tmp_path, True, RULES, FIRST, FIRST)
    config = config.model_copy(update={"samples": config.samples.model_copy(update=stream)})
    before = Builder(spark, config, False).build([FIRST])
    (old,) = before.days
    assert findings(spark, tmp_path, before, config) == ()
    users = pq.read_table(tmp_path / "impressions")["user_id"].unique().to_pylist()
    late = set(fakes_of(old)["group_id"].to_pylist())
    user = next(user for user in users if user is not None and group_id(user) in late)
    deletion = delete(spark, tmp_path, user, config=config)
    (new,) = deletion.manifest.days
    kept = pc.not_equal(fakes_of(old)["group_id"], group_id(user))
    assert fakes_of(new).equals(fakes_of(old).filter(kept))
    assert 0 < len(fakes_of(new)) < len(fakes_of(old))
    assert new.counters["samples_fake_negative"] == len(fakes_of(new))
    assert new.num_rows + len(fakes_of(new)) == rows_of(tmp_path, new).num_rows
    assert findings(spark, tmp_path, deletion.manifest, config) == ()


def test_a_key_is_found_by_the_hash_of_any_type_that_it_may_have_in_the_log(
    spark: "SparkSession",
) -> None:
    from pyspark.sql import functions as F

    from esmm_dist.samples.deletion import _hashes

    wanted = spark.range(1).select(
        F.xxhash64(F.lit("77")), F.xxhash64(F.lit(77)), F.xxhash64(F.lit(77).cast("bigint"))
    ).collect()[0]
    found = {(row.user, row.group_id) for row in _hashes(spark, ["77", "007", "a"]).collect()}
    assert {group for user, group in found if user == "77"} == set(wanted)
    assert len([user for user, _ in found if user in ("007", "a")]) == 2, "texts alone"
