"""Where an address leads: local paths without any library, others to fsspec's file systems."""

import subprocess
import sys
from pathlib import Path

import pytest

from esmm_dist.storage.address import is_local, path_of, reason_of


def test_a_path_of_this_machine_is_the_standard_librarys() -> None:
    assert type(path_of("runs/small")) is type(Path())
    assert path_of("file:///tmp/runs") == Path("/tmp/runs")
    assert path_of(Path("runs")) == Path("runs")
    assert is_local(path_of("runs"))


def test_an_address_answers_to_the_same_methods() -> None:
    runs = path_of("memory://address/runs")
    assert not is_local(runs) and str(runs / "a" / "b") == "memory://address/runs/a/b"
    (runs / "a").write_text("x")
    assert (runs / "a").read_text() == "x" and path_of("memory://address/runs/a").is_file()


def test_a_path_loads_no_file_system() -> None:
    code = ("import sys; from esmm_dist.storage.address import path_of; path_of('a'); "
            "sys.exit(any(name in sys.modules for name in ('fsspec', 'upath')))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_address_that_no_file_system_answers_to_is_told() -> None:
    with pytest.raises(OSError, match="nosuch") as caught:
        path_of("nosuch://bucket/runs")
    assert caught.value.filename == "nosuch://bucket/runs" and caught.value.strerror


def test_a_missing_object_is_told_like_a_missing_file() -> None:
    with pytest.raises(OSError) as of_object:
        path_of("memory://address/nothing").read_text()
    with pytest.raises(OSError) as of_file:
        Path("/nothing/there").read_text()
    assert reason_of(of_object.value) == reason_of(of_file.value) == "No such file or directory"
