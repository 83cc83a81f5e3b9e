"""The columns of sample files, decoded in the background by Petastorm, in the order asked for.

It knows no plan and no feature, and gives out arrays as they lie in the file.

One Petastorm worker, because several finish files in any order and name none; the columns of a
file are decoded by Arrow's own threads all the same. Files are listed one by one, so that Petastorm
never looks at a directory, whose metadata may hold a pickled schema that it would load.
"""

import warnings
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pyarrow
from petastorm import make_batch_reader

from esmm_dist.contract.errors import InputError
from esmm_dist.reader.blocks import Columns

# Petastorm is written for the Parquet interface of an older pyarrow; the version is pinned.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")


def read_files(paths: Sequence[Path], columns: Sequence[str]) -> Generator[Columns, None, None]:
    """Decodes files of one row group each.

    Args:
        paths: the files, in the order in which they are wanted; one may stand there twice.
        columns: the names of the columns to read.

    Yields:
        For each file its columns: read-only arrays (rows,), of objects for a binary column.

    Raises:
        InputError: a file cannot be read.
    """
    if not paths:
        return
    with make_batch_reader(
        [_url_of(path) for path in paths],
        schema_fields=[f"^{column}$" for column in columns],  # patterns
        reader_pool_type="thread", workers_count=1, shuffle_row_groups=False, num_epochs=1,
    ) as reader:
        for path in paths:
            yield _next_file(reader, path)


def _next_file(reader: Any, path: Path) -> Columns:
    try:
        return _next_row_group(reader)._asdict()
    except StopIteration:
        raise InputError(f"{path}: no rows came from it: rebuild the samples of its day") from None
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: cannot be decoded ({reason}): rebuild the samples of its day"
        ) from error


def _next_row_group(reader: Any) -> Any:
    """The next row group, even if Petastorm says too early that there is none.

    Its thread pool compares counters first and asks only then whether more work is to come; work
    that arrives in between is taken for done. By the second time all work is known.
    """
    try:
        return next(reader)
    except StopIteration:
        return next(reader)


def _url_of(path: Path) -> str:
    url = f"file://{path.resolve()}"
    if urlparse(url).path != str(path.resolve()):
        raise InputError(f"{path}: Petastorm reads no path with ? or # in it: move the samples")
    return url
