"""What Spark says about bad input, as one line that names the file and says what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from esmm_dist.contract.errors import InputError

# What a text of Spark's error holds, and what it means for whoever wrote the log. In order.
CHANGED_BYTES = "SAMPLE_BYTES_CHANGED"
_MEANINGS = (
    (CHANGED_BYTES, "its values are not those that were written: build its day again first"),
    ("ChecksumException", "its bytes are not those that were written: build its day again first"),
    ("PATH_NOT_FOUND", "there is no such path: correct it in the config"),
    ("PATH_ALREADY_EXISTS", "something is there already: remove it, or give another path"),
    (
        "COLUMN_ALREADY_EXISTS",
        "two columns differ in nothing but the case of their letters: rename one",
    ),
    ("UNABLE_TO_INFER_SCHEMA", "there are no data files: correct the path, or write the log"),
    ("DATA_SOURCE_NOT_FOUND", "Spark knows no such format: correct it in the config"),
    ("is not a Parquet file", "this is no whole Parquet file: write it again"),
    ("CANNOT_READ_FILE_FOOTER", "the file is truncated or corrupt: write it again"),
    ("PARQUET_TYPE_ILLEGAL", "a column has a type that Spark cannot read"),
    ("PARQUET_COLUMN_DATA_TYPE_MISMATCH", "a column's type differs from the other files'"),
    ("FAILED_READ_FILE", "the file is truncated or corrupt: write it again"),
)
_FILE = re.compile(r"(?:[a-z0-9]+:)?/[^\s,;'\"\])]+?\.(?:parquet|orc|json|csv|gz|snappy)\b")


@contextmanager
def naming_the_file(source: str) -> Iterator[None]:
    """Turns Spark's complaints about input files into an InputError; others pass as they are.

    Args:
        source: what was being read, for complaints that name no file.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        for sign, meaning in _MEANINGS:
            if sign in text:
                raise InputError(f"{_file_in(text) or source}: {meaning}") from None
        raise


def _file_in(text: str) -> str | None:
    found = _FILE.search(text)
    return plain_path(found.group()) if found else None


def plain_path(uri: str) -> str:
    """A local file without its scheme, which Spark writes in two ways; other addresses as is."""
    return re.sub(r"^file:(?://)?(?=/)", "", uri)
