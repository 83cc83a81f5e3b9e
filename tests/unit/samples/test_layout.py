"""Where rows go: files of a day, and the partitions that Spark's hash sends them to."""

from typing import TYPE_CHECKING

import pytest

from esmm_dist.samples.layout import keys_of_partitions, num_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize(
    ("num_rows", "files"), [(0, 1), (1, 1), (4096, 1), (4097, 2), (40_960, 10)]
)
def test_a_day_has_as_many_files_as_its_rows_fill(num_rows: int, files: int) -> None:
    assert num_files(num_rows, 4096) == files


@pytest.mark.spark
@pytest.mark.parametrize("num_partitions", [1, 2, 7, 64])
def test_spark_sends_each_files_key_to_the_partition_of_its_number(
    spark: "SparkSession", num_partitions: int
) -> None:
    from pyspark.sql import functions as F

    keys = keys_of_partitions(num_partitions)
    assert len(set(keys)) == num_partitions
    rows = spark.createDataFrame(list(enumerate(keys)), "file int, k int")
    found = rows.repartition(num_partitions, "k").select("file", F.spark_partition_id()).collect()
    assert sorted(tuple(row) for row in found) == [(n, n) for n in range(num_partitions)]
