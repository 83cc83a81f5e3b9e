"""The columns of sample files, decoded in the background by Petastorm, in the order asked for.

It knows no plan and no feature, and gives out columns as they lie in the file.

One Petastorm worker, because several finish files in any order and name none; the columns of a
file are decoded by Arrow's own threads all the same. Files are listed one by one, so that Petastorm
never looks at a directory, whose metadata may hold a pickled schema that it would load.
"""

import warnings
from collections.abc import Generator, Sequence
from pathlib import Path

import pyarrow
from petastorm import make_batch_reader
from petastorm.reader import Reader
from petastorm.workers_pool import EmptyResultError
from petastorm.workers_pool.thread_pool import ThreadPool
from pyarrow.filesystem import DaskFileSystem, FileSystem, LocalFileSystem

from esmm_dist.contract.errors import InputError
from esmm_dist.storage.address import fsspec_of, is_local

# Petastorm is written for the interfaces of an older pyarrow; both versions are pinned.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")


class _MappedFiles(LocalFileSystem):
    """Lets Arrow's threads read files by themselves: Petastorm's own way of opening them asks for
    Python, and so for its lock, at every read."""

    def open(self, path: str, mode: str = "rb") -> pyarrow.NativeFile:
        """The file, read only."""
        return pyarrow.memory_map(path)


class _ObjectFiles(DaskFileSystem):
    """Files of an object store, each looked at before it is listed here."""

    def isfile(self, path: str) -> bool:
        """Asks nobody."""
        return True

    def isdir(self, path: str) -> bool:
        """Asks nobody."""
        return False


def _file_system(path: Path) -> FileSystem:
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return _MappedFiles() if is_local(path) else _ObjectFiles(fsspec_of(path))


def read_files(
    paths: Sequence[Path], columns: Sequence[str]
) -> Generator[pyarrow.Table, None, None]:
    """Decodes files of one row group each.

    Args:
        paths: the files, in the order in which they are wanted; one may stand there twice.
        columns: the names of the columns to read.

    Yields:
        For each file its columns.

    Raises:
        InputError: a file cannot be read.
    """
    if not paths:
        return
    with make_batch_reader(
        [_url_of(path) for path in paths],
        schema_fields=[f"^{column}$" for column in columns],  # patterns
        reader_pool_type="thread", workers_count=1, shuffle_row_groups=False, num_epochs=1,
        filesystem=_file_system(paths[0]),
    ) as reader:
        for path in paths:
            yield _next_table(reader, path)


def _next_table(reader: Reader, path: Path) -> pyarrow.Table:
    try:
        return _next_result(reader._workers_pool)
    except EmptyResultError:
        raise InputError(f"{path}: no rows came from it: rebuild the samples of its day") from None
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: cannot be decoded ({reason}): rebuild the samples of its day"
        ) from error


def _next_result(pool: ThreadPool) -> pyarrow.Table:
    """The next file as the pool hands it to Petastorm's reader, which would make Pandas series of
    its columns, floats of integers with nulls, and an object of each packed value.

    Petastorm may say too early that there is none: the pool compares counters first and asks only
    then whether more work is to come, and work that arrives in between is taken for done. By the
    second time all work is known.
    """
    try:
        return pool.get_results()
    except EmptyResultError:
        return pool.get_results()


def _url_of(path: Path) -> str:
    url = f"file://{path.resolve()}" if is_local(path) else str(path)
    if "?" in url or "#" in url:
        raise InputError(f"{path}: Petastorm reads no path with ? or # in it: move the samples")
    return url
