"""Which columns of Parquet files are of a type that Spark cannot read: it names the type alone."""

import re
from typing import Any

from pyspark.sql import SparkSession

from esmm_dist.samples.files import Files

MAX_FILES = 100


def columns_of_type(spark: SparkSession, path: str, kind: str) -> list[str]:
    """The columns of the first file that has any; none if no file looked at has.

    Args:
        path: as Spark reads it.
        kind: as Spark names it, such as `INT64 (TIMESTAMP(NANOS,true))`.
    """
    files = spark.read.format("binaryFile").load(path).select("path").limit(MAX_FILES)
    for row in files.collect():
        folder, _, name = row.path.rpartition("/")
        schema = Files(spark, folder).footer(name).getFileMetaData().getSchema()
        found = [str(field.getName()) for field in schema.getFields() if _holds(field, kind)]
        if found:
            return found
    return []


def _holds(field: Any, kind: str) -> bool:
    """Whether a field, or one inside it, is of a type. A field prints as `optional int64 name
    (TIMESTAMP(NANOS,true))`."""
    primitive, _, annotation = kind.partition(" ")
    of_type = rf"\b{re.escape(primitive.lower())}(\(\d+\))? \S+"
    wanted = f"{of_type} {re.escape(annotation)}" if annotation else rf"{of_type}(;|$)"
    return re.search(wanted, str(field.toString())) is not None
