"""Petastorm's reading, held to the order asked for, on real files."""

import gc
import pickle
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from petastorm.workers_pool.ventilator import ConcurrentVentilator

from esmm_dist.contract.errors import InputError
from esmm_dist.reader.parquet import read_files


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def write_numbered(folder: Path, num_files: int, rows_per_file: int = 10) -> list[Path]:
    paths = [folder / f"{number}.parquet" for number in range(num_files)]
    for number, path in enumerate(paths):
        table = pa.table({
            "number": pa.array([number] * rows_per_file, pa.int32()),
            "number_2": pa.array(range(rows_per_file), pa.int32()),
        })
        pq.write_table(table, path)
    return paths


def numbers_read(paths: list[Path]) -> list[int]:
    return [table["number"][0].as_py() for table in read_files(paths, ["number"])]


def test_files_come_in_the_order_asked_for_and_twice_if_asked_twice(tmp_path: Path) -> None:
    paths = write_numbered(tmp_path, 12)
    order = [5, 0, 11, 5, 3, 3, 10, 1, 2, 4, 6, 7, 8, 9, 5]
    assert numbers_read([paths[number] for number in order]) == order


def test_only_the_columns_asked_for_are_read_whatever_others_begin_alike(tmp_path: Path) -> None:
    (path,) = write_numbered(tmp_path, 1)
    assert pq.read_schema(path).names == ["number", "number_2"]
    (table,) = read_files([path], ["number"])
    assert table.column_names == ["number"]


@pytest.mark.parametrize("name", ["class", "_x", "größe"])
def test_a_column_may_have_any_plain_name(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({name: [1, 2]}), tmp_path / "a.parquet")
    (table,) = read_files([tmp_path / "a.parquet"], [name])
    assert table[name].to_pylist() == [1, 2]


def test_no_file_is_read_as_nothing() -> None:
    assert list(read_files([], ["number"])) == []


def test_a_path_may_hold_spaces_and_signs(tmp_path: Path) -> None:
    folder = tmp_path / "day=1 of 50%, ü"
    folder.mkdir()
    assert numbers_read(write_numbered(folder, 3)) == [0, 1, 2]


@pytest.mark.parametrize("sign", ["#", "?"])
def test_a_path_that_petastorm_would_misread_is_refused(tmp_path: Path, sign: str) -> None:
    folder = tmp_path / f"a{sign}b"
    folder.mkdir()
    with pytest.raises(InputError, match="move the samples"):
        numbers_read(write_numbered(folder, 1))


def test_a_generator_closed_early_stops_petastorm(tmp_path: Path) -> None:
    paths = write_numbered(tmp_path, 30)
    with closing(read_files(paths, ["number"])) as files:
        next(files)
        assert threading.active_count() > 1


def test_damaged_pages_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    paths = write_numbered(tmp_path, 3, rows_per_file=5000)
    content = bytearray(paths[1].read_bytes())
    content[4:200] = b"\xff" * 196
    paths[1].write_bytes(content)
    with pytest.raises(InputError, match=r"1.parquet: cannot be decoded") as caught:
        numbers_read(paths)
    with warnings.catch_warnings(action="ignore"):  # the file that Petastorm left open
        del caught
        gc.collect()


def test_no_work_is_lost_when_petastorm_sees_its_end_too_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that costs rows: work is handed out between two looks at the counters.

    Here the thread that hands out work waits until the reader has looked at the first counter, and
    the reader looks at the second one when all work has been handed out.
    """
    completed = ConcurrentVentilator.completed
    reader_looks = threading.Event()
    answers: list[bool] = []

    def completed_in_the_worst_order(self: ConcurrentVentilator) -> bool:
        if threading.current_thread() is not threading.main_thread():
            assert reader_looks.wait(timeout=10)
            return completed(self)
        reader_looks.set()
        while not answers and not completed(self):
            time.sleep(0.001)
        answers.append(completed(self))
        return answers[-1]

    monkeypatch.setattr(ConcurrentVentilator, "completed", completed_in_the_worst_order)
    assert numbers_read(write_numbered(tmp_path, 2)) == [0, 1]
    assert answers[0] is True, "the race was not provoked"


def test_a_pickled_schema_beside_the_files_is_never_loaded(tmp_path: Path) -> None:
    paths = write_numbered(tmp_path, 1)
    touched = tmp_path / "touched"
    schema = pa.schema([("number", pa.int32())]).with_metadata({
        b"dataset-toolkit.unischema.v1": pickle.dumps(_Touch(str(touched)))
    })
    pq.write_metadata(schema, tmp_path / "_common_metadata")
    assert numbers_read(paths) == [0]
    assert not touched.exists()


class _Touch:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def test_petastorm_warns_of_nothing_that_a_user_could_mend(tmp_path: Path) -> None:
    paths = write_numbered(tmp_path, 2)
    program = (
        "from pathlib import Path\n"
        "from esmm_dist.reader.parquet import read_files\n"
        f"for table in read_files([Path(p) for p in {[str(p) for p in paths]}], ['number']):\n"
        "    print(table['number'][0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("0\n1\n", "")
