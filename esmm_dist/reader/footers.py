"""Sample files against the manifest, by their sizes and footers alone, before a row is read.

It decodes nothing: a value that is wrong inside a sound file is found where it is decoded.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import SampleFile
from esmm_dist.storage.address import is_local

# Where Petastorm keeps a pickled schema, which would be run as code by whoever loads it.
PICKLED_SCHEMA_KEY = b"dataset-toolkit.unischema.v1"

_REBUILD = "rebuild the samples of its day"


def check_file(path: Path, file: SampleFile, types: Mapping[str, str]) -> None:
    """Refuses a file that is not what the manifest lists.

    Args:
        path: where the file lies.
        file: what the manifest says of it.
        types: the columns wanted, with their types as NumPy names them, or `binary`.

    Raises:
        InputError: names the file, what is wrong with it, and the column if it is one.
    """
    _check_size(path, file)
    footer = _footer(path)
    if PICKLED_SCHEMA_KEY in (footer.metadata or {}):
        raise InputError(f"{path}: its footer holds pickled code, which is refused: {_REBUILD}")
    if footer.num_rows != file.num_rows:
        raise InputError(
            f"{path}: holds {footer.num_rows:,} rows, the manifest says {file.num_rows:,}: "
            f"{_REBUILD}"
        )
    if footer.num_row_groups != 1:
        raise InputError(
            f"{path}: holds {footer.num_row_groups} row groups instead of one: {_REBUILD}"
        )
    _check_columns(path, footer, types)


def _check_size(path: Path, file: SampleFile) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file, though the manifest lists it: {_REBUILD}")
    num_bytes = path.stat().st_size
    if num_bytes != file.num_bytes:
        raise InputError(
            f"{path}: holds {num_bytes:,} bytes, the manifest says {file.num_bytes:,}: it was cut "
            f"off or replaced: {_REBUILD}"
        )


def _footer(path: Path) -> pq.FileMetaData:
    try:
        with nullcontext(path) if is_local(path) else path.open("rb") as source:
            return pq.read_metadata(source)
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: no readable Parquet file ({reason}): {_REBUILD}") from None


def _check_columns(path: Path, footer: pq.FileMetaData, types: Mapping[str, str]) -> None:
    schema = footer.schema.to_arrow_schema()
    row_group = footer.row_group(0)
    place_of = {
        row_group.column(place).path_in_schema: place for place in range(row_group.num_columns)
    }
    for name, type_name in types.items():
        if name not in schema.names:
            raise InputError(f"{path}: the column {name!r} is missing: {_REBUILD}")
        found = schema.field(name).type
        if found != pyarrow.type_for_alias(type_name):
            raise InputError(
                f"{path}: the column {name!r} is {found} instead of {type_name}: {_REBUILD}"
            )
        statistics = row_group.column(place_of[name]).statistics
        if statistics is not None and statistics.has_null_count and statistics.null_count:
            raise InputError(
                f"{path}: the column {name!r} holds {statistics.null_count:,} nulls: {_REBUILD}"
            )
