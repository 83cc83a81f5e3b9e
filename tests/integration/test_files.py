"""Files that come into being whole or not at all, and never twice."""

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from esmm_dist.contract.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from esmm_dist.samples.files import Files

pytestmark = pytest.mark.spark


@pytest.fixture
def files(spark: "SparkSession", tmp_path: Path) -> "Files":
    from esmm_dist.samples.files import Files

    return Files(spark, str(tmp_path))


@pytest.fixture(params=["link", "rename"])
def any_files(request: pytest.FixtureRequest, files: "Files") -> "Files":
    """By a link, as on a local disk, and by Hadoop's rename, as elsewhere."""
    files._is_local = request.param == "link"
    return files


def test_a_file_is_made_with_its_folder_and_reads_back(any_files: "Files") -> None:
    assert any_files.create("below/there.json", "Größe 😀\n")
    assert any_files.read("below/there.json") == "Größe 😀\n"
    assert any_files.exists("below/there.json")


def test_a_name_that_is_taken_keeps_its_file_and_no_draft_stays(
    any_files: "Files", tmp_path: Path
) -> None:
    assert any_files.create("a/one", "first")
    assert not any_files.create("a/one", "second")
    assert any_files.read("a/one") == "first"
    assert [name for name in os.listdir(tmp_path / "a") if not name.endswith(".crc")] == ["one"]


def test_of_many_that_make_one_file_at_once_one_succeeds(files: "Files", tmp_path: Path) -> None:
    made: list[tuple[str, bool]] = []
    ready = threading.Barrier(8)

    def make(text: str) -> None:
        ready.wait()
        made.append((text, files.create("m/00000001.json", text)))

    threads = [threading.Thread(target=make, args=(f"text {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [text for text, is_made in made if is_made]
    assert len(made) == 8
    assert (tmp_path / "m" / "00000001.json").read_text() == winner


def test_what_a_file_system_refuses_is_told_with_the_path(
    files: "Files", spark: "SparkSession", tmp_path: Path
) -> None:
    from esmm_dist.samples.files import Files

    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for name, ask, told in (
        ("nothing", files.read, "there is no such file"),
        ("folder", files.read, "this is a directory: give a file"),
        ("file/below", files.make_directory, "something above it is a file: give another path"),
    ):
        with pytest.raises(InputError, match=f"^{tmp_path}/{name}: {told}"):
            ask(name)
    for write in (files.write, files.create):
        with pytest.raises(InputError, match=f"^{tmp_path}/file/below/x: something above it is"):
            write("file/below/x", "text")
    with pytest.raises(InputError, match="^s4://bucket/samples: Spark knows no such file system"):
        Files(spark, "s4://bucket/samples")


def test_a_folder_that_is_not_there_is_empty(files: "Files") -> None:
    assert files.names("nothing") == [] and files.sizes("nothing") == {}
