"""Files there whole or not at all, alike on a local disk and where nothing can be renamed."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from esmm_dist.storage import files
from esmm_dist.storage.address import fsspec_of, path_of
from esmm_dist.storage.desk import Desk
from esmm_dist.storage.files import (
    at_hand,
    create,
    drafted,
    fetch,
    files_below,
    kept_at_hand,
    make_folder,
    put_folder,
    remove,
    replacing,
    write,
)

NUMBERS = itertools.count()


@pytest.fixture(params=["local", "elsewhere"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "local":
        return tmp_path / "home"
    return path_of(f"memory://home-{next(NUMBERS)}/home")


def names(folder: Path) -> list[str]:
    return [str(path)[len(str(folder)) + 1:] for path in files_below(folder)]


def test_a_file_is_written_and_replaced_whole(home: Path) -> None:
    make_folder(home)
    write(home / "a.txt", "one")
    write(home / "a.txt", b"two")
    assert (home / "a.txt").read_text() == "two" and names(home) == ["a.txt"]


def test_a_draft_that_fails_leaves_what_was_there(home: Path) -> None:
    make_folder(home)
    write(home / "a.txt", "before")
    with pytest.raises(ZeroDivisionError), drafted(home / "a.txt") as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert (home / "a.txt").read_text() == "before" and names(home) == ["a.txt"]


def test_what_a_full_disk_says_without_a_name_gets_one(
    tmp_path: Path, limited_files: Callable[[int], None]
) -> None:
    write(tmp_path / "a.txt", "before")
    limited_files(1_000)
    with pytest.raises(OSError, match="File too large: '.*/a.txt'"):
        write(tmp_path / "a.txt", "x" * 1_001)
    assert (tmp_path / "a.txt").read_text() == "before" and names(tmp_path) == ["a.txt"]


def test_of_two_writers_of_one_name_one_wins(home: Path) -> None:
    assert create(home / "1.json", "first")
    assert not create(home / "1.json", "second")
    assert (home / "1.json").read_text() == "first" and names(home) == ["1.json"]


def test_a_file_and_a_folder_come_to_hand(home: Path) -> None:
    for name in ("folder/a", "folder/below/b"):
        make_folder((home / name).parent)
        write(home / name, name)
    with at_hand(home / "folder") as own:
        assert isinstance(own, Path) and names(own) == ["a", "below/b"]
        assert (own / "below" / "b").read_text() == "folder/below/b"
    with at_hand(home / "folder" / "a") as own:
        assert own.name == "a" and own.read_text() == "folder/a"


def test_what_never_changes_is_fetched_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(home)
    write(home / "a", "x")
    own = kept_at_hand(home)
    assert (own / "a").read_text() == "x"
    monkeypatch.setattr(files, "fetch", None)
    assert kept_at_hand(home) == own


def test_a_copy_holds_all_files(home: Path, tmp_path: Path) -> None:
    for name in ("a", "below/b"):
        make_folder((home / name).parent)
        write(home / name, name)
    assert names(fetch(home, tmp_path / "copy")) == ["a", "below/b"]
    assert fetch(home / "a", tmp_path / "one").read_text() == "a"


def test_the_file_that_says_that_all_are_there_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    for name in ("a", "index.json", "z/b"):
        (source / name).parent.mkdir(exist_ok=True, parents=True)
        (source / name).write_text(name)
    target = path_of(f"memory://home-{next(NUMBERS)}/bundle")
    put: list[str] = []
    system = fsspec_of(target)
    put_file = system.put_file

    def noted(own: str, key: str) -> None:
        put.append(Path(own).name)
        put_file(own, key)

    monkeypatch.setattr(system, "put_file", noted)
    put_folder(source, target, last="index.json")
    assert put == ["a", "b", "index.json"] and names(target) == ["a", "index.json", "z/b"]


def test_a_folder_is_replaced_whole_or_stays(home: Path) -> None:
    make_folder(home)
    for content in ("one", "two"):
        with replacing(home / "export", "index") as folder:
            (folder / "index").write_text(content)
            (folder / content).write_text(content)
        assert names(home / "export") == sorted(["index", content])
    with pytest.raises(ZeroDivisionError), replacing(home / "export", "index") as folder:
        (folder / "index").write_text("half")
        raise ZeroDivisionError
    assert (home / "export" / "index").read_text() == "two" and names(home / "export") == \
        ["index", "two"]


def test_removing_leaves_the_neighbours_and_asks_for_nothing(home: Path) -> None:
    for name in ("a/b", "ab", "c"):
        make_folder((home / name).parent)
        write(home / name, name)
    remove(home / "a")
    remove(home / "c")
    remove(home / "never")
    assert names(home) == ["ab"]


def test_what_grows_is_saved_again_and_again(home: Path) -> None:
    desk = Desk(home)
    with desk.file("curves/a.jsonl").open("a") as curve:
        for lines in (1, 2):
            curve.write("line\n")
            curve.flush()
            desk.save()
            assert (home / "curves" / "a.jsonl").read_text() == lines * "line\n"
    desk.folder("events").mkdir(parents=True)
    (desk.folder("events") / "e").write_text("x")
    desk.save()
    desk.clear()
    assert names(home) == ["curves/a.jsonl", "events/e"]
    again = Desk(home)
    assert again.file("curves/a.jsonl").read_text() == "line\nline\n"
    again.clear()
