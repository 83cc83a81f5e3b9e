"""What is cleaned away, and what never is: anything that somebody may still be using."""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import Day, EncodingsReference, Manifest, SampleFile
from tests.factories.numbered_samples import make_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


class Directory:
    """A samples directory whose files have the ages that a test gives them."""

    def __init__(self, spark: "SparkSession", path: Path) -> None:
        from esmm_dist.samples.files import Files

        self.path = path
        self.files = Files(spark, str(path))

    def write(self, name: str, hours_ago: float, text: str = "x" * 10) -> str:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        at = (NOW - hours_ago * HOUR).timestamp()
        for aged in (path, *path.parents[: len(Path(name).parts) - 1]):
            os.utime(aged, (at, at))
        return name

    def build(self, day: date, name: str, hours_ago: float) -> str:
        """A build of a day, one file of 10 bytes; its folder."""
        return str(Path(self.write(f"day={day}/build={name}/00000.parquet", hours_ago)).parent)

    def manifest(
        self, number: int, hours_ago: float, builds: Sequence[str], encodings: str = "_encodings/a"
    ) -> str:
        days = [_day(build) for build in builds]
        manifest = make_manifest(days).model_copy(update={
            "number": number, "created_at": NOW - hours_ago * HOUR,
            "encodings": EncodingsReference(path=f"{encodings}.json", content_hash="none"),
        })
        return self.write(manifest.path, hours_ago, manifest.model_dump_json())

    def leftovers(self, num_kept: int = 1, grace_hours: float = 72, **more: Any) -> list[str]:
        from esmm_dist.samples.cleaning import inventory, listing_of_samples

        found = inventory(
            self.files, listing_of_samples, num_kept, more.get("pinned", ()), grace_hours * HOUR,
            NOW,
        )
        return [leftover.path for leftover in found.leftovers]


def _day(build: str) -> Day:
    file = SampleFile(path=f"{build}/00000.parquet", num_rows=1, num_bytes=10)
    day = date.fromisoformat(build[len("day="):].partition("/")[0])
    return Day(
        day=day, build_id="b", built_at=NOW, as_of=None, files=(file,), num_rows=1, num_clicks=0,
        num_conversions=0, first_event_time=NOW, last_event_time=NOW, counters={},
    )


@pytest.fixture
def directory(spark: "SparkSession", tmp_path: Path) -> Directory:
    return Directory(spark, tmp_path / "samples")


def test_a_replaced_build_goes_with_the_manifest_that_listed_it(directory: Directory) -> None:
    old, new, other = (
        directory.build(FIRST, "old", 400), directory.build(FIRST, "new", 200),
        directory.build(SECOND, "only", 400),
    )
    first = directory.manifest(1, 400, [old, other])
    directory.manifest(2, 200, [new, other])
    assert directory.leftovers() == [first, old], "the manifest first: it lists what goes"
    assert directory.leftovers(num_kept=2) == []
    assert directory.leftovers(pinned=(1,)) == []


def test_a_manifest_stays_for_the_grace_from_when_it_was_superseded(directory: Directory) -> None:
    """Whoever pinned it did so before; its own age says nothing."""
    old, new = directory.build(FIRST, "old", 4000), directory.build(FIRST, "new", 71)
    first = directory.manifest(1, 4000, [old])
    directory.manifest(2, 71, [new])
    assert directory.leftovers(grace_hours=72) == []
    assert directory.leftovers(grace_hours=70) == [first, old]


def test_what_was_written_lately_may_be_a_build_in_progress(directory: Directory) -> None:
    kept = directory.build(FIRST, "kept", 400)
    directory.manifest(1, 400, [kept])
    left = [
        directory.build(FIRST, "stray", 71), directory.write("_encodings/b.json", 71),
        str(Path(directory.write("_drafts/killed/_temporary/part", 71)).parents[1]),
    ]
    assert directory.leftovers() == []
    assert directory.leftovers(grace_hours=70) == left


def test_a_draft_is_as_young_as_its_youngest_file(directory: Directory) -> None:
    directory.manifest(1, 400, [directory.build(FIRST, "kept", 400)])
    directory.write("_drafts/one/_temporary/0/new", 1)
    old = (NOW - 400 * HOUR).timestamp()
    for folder in ("_drafts/one", "_drafts/one/_temporary", "_drafts/one/_temporary/0"):
        os.utime(directory.path / folder, (old, old))
    assert directory.leftovers() == []


def test_encodings_stay_with_any_kept_manifest(directory: Directory) -> None:
    kept = directory.build(FIRST, "kept", 400)
    _, second = (directory.write(f"_encodings/{name}.json", 400) for name in ("a", "b"))
    oldest = directory.manifest(1, 400, [kept], "_encodings/a")
    middle = directory.manifest(2, 300, [kept], "_encodings/b")
    directory.manifest(3, 200, [kept], "_encodings/a")
    assert directory.leftovers() == [oldest, middle, second]
    assert directory.leftovers(num_kept=2) == [oldest]


def test_a_report_stays_with_its_manifest(directory: Directory) -> None:
    kept = directory.build(FIRST, "kept", 400)
    older = directory.manifest(1, 400, [kept])
    directory.manifest(2, 300, [kept])
    reports = [directory.write(f"_reports/0000000{number}.{ending}", 400)
               for number in (1, 2) for ending in ("html", "json")]
    assert directory.leftovers() == [older, *reports[:2]]


def test_saving_encodings_again_makes_them_young(spark: "SparkSession", tmp_path: Path) -> None:
    from esmm_dist.contract.encodings import Encodings
    from esmm_dist.samples.io import Store

    store = Store(spark, str(tmp_path))
    path = tmp_path / store.save(Encodings()).path
    os.utime(path, (1, 1))
    assert store.save(Encodings()).path == str(path.relative_to(tmp_path))
    assert datetime.now(UTC).timestamp() - path.stat().st_mtime < 600


def test_a_manifest_cut_off_goes_and_one_that_nobody_can_read_stops_everything(
    directory: Directory,
) -> None:
    kept = directory.build(FIRST, "kept", 400)
    directory.manifest(1, 400, [kept])
    cut = directory.write("_manifests/00000002.json", 400, '{"format_version": 1, "num')
    draft = directory.write("_manifests/.1f.draft", 400)
    assert directory.leftovers() == [draft, cut]
    directory.write("_manifests/00000003.json", 1, '{"format_version": 99}')
    with pytest.raises(InputError, match="00000003.json.*nobody knows what it lists"):
        directory.leftovers()


def test_nothing_is_needed_by_a_directory_without_manifests(directory: Directory) -> None:
    directory.build(FIRST, "one", 400)
    with pytest.raises(InputError, match="no manifest there"):
        directory.leftovers()
    directory.manifest(1, 400, [])
    with pytest.raises(InputError, match="there is no manifest 7 to keep"):
        directory.leftovers(pinned=(7,))


def test_what_is_not_ours_is_left_alone(directory: Directory) -> None:
    directory.manifest(1, 400, [directory.build(FIRST, "kept", 400)])
    for name in ("notes.txt", "other/file", "_success/x", "_manifests/notes.txt",
                 f"day={FIRST}/mine/file", "_encodings/notes.txt", "_reports/week.html"):
        directory.write(name, 400)
    assert directory.leftovers() == []


def test_removing_removes_what_was_listed_and_leaves_the_rest(directory: Directory) -> None:
    from esmm_dist.samples.cleaning import inventory, listing_of_samples, remove

    old, new = directory.build(FIRST, "old", 400), directory.build(FIRST, "new", 200)
    directory.manifest(1, 400, [old])
    newest = directory.manifest(2, 200, [new])
    found = inventory(directory.files, listing_of_samples, 1, (), 72 * HOUR, NOW)
    assert [leftover.num_bytes for leftover in found.leftovers][1:] == [10]
    remove(directory.files, found.leftovers)
    assert not (directory.path / old).exists()
    assert (directory.path / new / "00000.parquet").exists()
    assert Manifest.parse((directory.path / newest).read_text(), newest).number == 2
    assert directory.leftovers() == []
