"""What Spark says of a file, as one line."""

import pytest
from pyspark.errors import AnalysisException

from esmm_dist.contract.errors import InputError
from esmm_dist.samples.failures import naming_the_file, plain_path


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("[PATH_NOT_FOUND] Path does not exist: file:/a/b.", "logs.clicks (x): there is no such"),
        ("file:/d/p-0.parquet is not a Parquet file. tail", "/d/p-0.parquet: this is no whole"),
        ("[FAILED_READ_FILE.NO_HINT] s3a://b/k.parquet. SQLSTATE", "s3a://b/k.parquet: the file"),
        ("[COLUMN_ALREADY_EXISTS] The column `c` exists.", "logs.clicks (x): two columns differ"),
        ("UnsupportedFileSystemException: No FileSystem for scheme \"s4\"",
         "logs.clicks (x): Spark knows no such file system"),
        ("ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found",
         "logs.clicks (x): Spark lacks this file system's connector"),
        ("java.net.UnknownHostException: nn", "logs.clicks (x): there is no such host"),
        ("java.net.ConnectException: Call From a to nn:9 failed", "logs.clicks (x): its server"),
        ("AccessControlException: Permission denied: user=u", "logs.clicks (x): no permission"),
        ("IOException: No space left on device", "logs.clicks (x): the disk is full"),
        ("[CANNOT_READ_FILE_FOOTER] file `hdfs://n:9/k.parquet`", "hdfs://n:9/k.parquet: the file"),
    ],
)
def test_a_complaint_names_the_file_or_else_the_log(said: str, line: str) -> None:
    with pytest.raises(InputError) as raised:
        with naming_the_file("logs.clicks (x)"):
            raise AnalysisException(said + "\n  and a stack trace")
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


def test_a_columns_type_is_told_with_the_column() -> None:
    said = (
        "[FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH] Encountered error while reading file "
        "file:///d/p-0.parquet. Data type mismatches when reading Parquet column <[price]>. "
        "Expected Spark type <double>, actual Parquet type <BINARY>. SQLSTATE: KD001"
    )
    said = said.replace("<", "").replace(">", "")
    with pytest.raises(InputError) as raised:
        with naming_the_file("logs"):
            raise AnalysisException(said)
    assert str(raised.value) == (
        "/d/p-0.parquet: the column 'price' is BINARY there and double in the other files: write "
        "it alike in all"
    )


def test_a_type_that_spark_cannot_read_is_told_with_the_columns_that_have_it() -> None:
    asked = []

    def columns_of_type(kind: str) -> list[str]:
        asked.append(kind)
        return ["event_time", "seen"]

    with pytest.raises(InputError) as raised:
        with naming_the_file("logs.clicks (x)", columns_of_type):
            raise AnalysisException(
                "[PARQUET_TYPE_ILLEGAL] Illegal Parquet type: INT64 (TIMESTAMP(NANOS,true)). "
                "SQLSTATE: 42846"
            )
    assert asked == ["INT64 (TIMESTAMP(NANOS,true))"]
    assert str(raised.value) == (
        "logs.clicks (x): the column 'event_time', 'seen' is INT64 (TIMESTAMP(NANOS,true)), which "
        "Spark cannot read: write it as microseconds"
    )


def test_what_no_input_caused_passes_as_it_is() -> None:
    with pytest.raises(AnalysisException, match="something else"):
        with naming_the_file("logs"):
            raise AnalysisException("something else")


@pytest.mark.parametrize(
    ("uri", "path"),
    [("file:///a/b", "/a/b"), ("file:/a/b", "/a/b"), ("s3a://b/k", "s3a://b/k"), ("/a", "/a")],
)
def test_local_addresses_lose_their_scheme(uri: str, path: str) -> None:
    assert plain_path(uri) == path
