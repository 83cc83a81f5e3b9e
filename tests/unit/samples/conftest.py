"""The shared Spark session, set as the job sets its own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def job_spark(spark: "SparkSession") -> "Iterator[SparkSession]":
    """Without them Spark's optimizer takes minutes over wide rows."""
    from esmm_dist.samples.session import SETTINGS

    names = [name for name in SETTINGS if spark.conf.isModifiable(name)]
    before = {name: spark.conf.get(name, None) for name in names}
    for name in names:
        spark.conf.set(name, SETTINGS[name])
    yield spark
    for name, value in before.items():
        if value is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, value)
