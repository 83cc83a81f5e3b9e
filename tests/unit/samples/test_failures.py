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
        ("[CANNOT_READ_FILE_FOOTER] file `hdfs://n:9/k.parquet`", "hdfs://n:9/k.parquet: the file"),
    ],
)
def test_a_complaint_names_the_file_or_else_the_log(said: str, line: str) -> None:
    with pytest.raises(InputError) as raised:
        with naming_the_file("logs.clicks (x)"):
            raise AnalysisException(said + "\n  and a stack trace")
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


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
