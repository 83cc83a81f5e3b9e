"""Spark's hash partitioning sends each file's rows to the partition that makes the file."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from esmm_dist.samples.layout import keys_of_partitions


@pytest.mark.spark
@pytest.mark.parametrize("num_partitions", [1, 2, 7, 64])
def test_spark_sends_each_files_key_to_the_partition_of_its_number(
    spark: SparkSession, num_partitions: int
) -> None:
    keys = keys_of_partitions(num_partitions)
    assert len(set(keys)) == num_partitions
    rows = spark.createDataFrame(list(enumerate(keys)), "file int, k int")
    found = rows.repartition(num_partitions, "k").select("file", F.spark_partition_id()).collect()
    assert sorted(tuple(row) for row in found) == [(n, n) for n in range(num_partitions)]
