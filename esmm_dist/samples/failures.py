"""What Spark says about bad input, as one line that names the file and says what to do."""

import re
from collections.abc import Callable, Iterator, Sequence
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
    ("TABLE_OR_VIEW_NOT_FOUND", "Spark's catalog has no such table: correct it in the config"),
    ("SINGLE_PART_NAMESPACE", "Spark has no such catalog: correct the name, or configure it"),
    ("PARSE_SYNTAX_ERROR", "this is no table's name: put what is no plain name into `backquotes`"),
    ("INVALID_IDENTIFIER", "this is no table's name: put what is no plain name into `backquotes`"),
    (
        "Parse Mode: FAILFAST",
        "a line is not of its format: mend it, or have such lines read as nulls by the option "
        "mode: PERMISSIVE",
    ),
    ("UNABLE_TO_INFER_SCHEMA", "there are no data files: correct the path, or write the log"),
    ("DATA_SOURCE_NOT_FOUND", "Spark knows no such format: correct it in the config"),
    ("is not a Parquet file", "this is no whole Parquet file: write it again"),
    ("CANNOT_READ_FILE_FOOTER", "the file is truncated or corrupt: write it again"),
    ("PARQUET_COLUMN_DATA_TYPE_MISMATCH", "a column's type differs from the other files'"),
    ("FAILED_READ_FILE", "the file is truncated or corrupt: write it again"),
    (
        "No FileSystem for scheme",
        "Spark knows no such file system: correct the address, or submit with its connector",
    ),
    ("FileSystem not found", "Spark lacks this file system's connector: submit with its packages"),
    ("UnknownHostException", "there is no such host: correct the address"),
    ("ConnectException", "its server does not answer: correct the address, or try again later"),
    ("ParentNotDirectoryException", "something above it is a file: give another path"),
    ("(Is a directory)", "this is a directory: give a file"),
    ("FileNotFoundException", "there is no such file: correct the path, or restore it"),
    ("AccessControlException", "no permission: give another path, or ask for it"),
    ("No space left on device", "the disk is full: free some space and run this again"),
)
_UNREADABLE = re.compile(
    r"PARQUET_TYPE_(?:ILLEGAL|NOT_SUPPORTED)\] [^:]*: (?P<kind>.+?)\.(?:\s|$)"
)
_OTHER_TYPE = re.compile(
    r"Parquet column \W*(?P<column>.+?)\W?\. Expected Spark type (?P<wanted>\S+), "
    r"actual Parquet type (?P<found>\w+)"
)
_FILE = re.compile(r"(?:[a-z0-9]+:)?/[^\s,;'\"\])]+?\.(?:parquet|orc|json|csv|gz|snappy)\b")


@contextmanager
def naming_the_file(
    source: str, columns_of_type: Callable[[str], Sequence[str]] = lambda kind: ()
) -> Iterator[None]:
    """Turns Spark's complaints about input files into an InputError; others pass as they are.

    Args:
        source: what was being read, for complaints that name no file.
        columns_of_type: finds the columns of a Parquet type, which Spark does not name.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        text = str(error)
        meaning = _of_types(text, columns_of_type) or next(
            (meaning for sign, meaning in _MEANINGS if sign in text), None
        )
        if meaning is None:
            raise
        raise InputError(f"{_file_in(text) or source}: {meaning}") from None


def _of_types(text: str, columns_of_type: Callable[[str], Sequence[str]]) -> str | None:
    """What a complaint about a column's type means; None if it is another one."""
    if other := _OTHER_TYPE.search(text):
        return (
            f"the column {other['column']!r} is {other['found']} there and {other['wanted']} in "
            "the other files: write it alike in all"
        )
    if unreadable := _UNREADABLE.search(text):
        kind = unreadable["kind"].strip('"')
        columns = ", ".join(map(repr, columns_of_type(kind)))
        remedy = "microseconds" if "NANOS" in kind else "another type"
        return (
            f"the column {columns or 'of that type'} is {kind}, which Spark cannot read: write it "
            f"as {remedy}"
        )
    return None


def _file_in(text: str) -> str | None:
    found = _FILE.search(text)
    return plain_path(found.group()) if found else None


def plain_path(uri: str) -> str:
    """A local file without its scheme, which Spark writes in two ways; other addresses as is."""
    return re.sub(r"^file:(?://)?(?=/)", "", uri)
