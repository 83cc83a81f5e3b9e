"""What Spark makes of a build's plan; no row is read."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.parts.one_day import DAY, config_of, generate
from esmm_dist.contract.encodings import Encodings
from tests.factories import raw_logs
from tests.factories.keyed_timelines import KEYED_STORIES
from tests.factories.timelines import FIRST

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_a_day_of_twenty_features_is_code_that_hotspot_compiles(
    spark: "SparkSession", tmp_path: Path
) -> None:
    """Beyond its limit rows are copied first and read, encoded and packed in pieces."""
    from esmm_dist.samples.day_rows import rows_of_days
    from esmm_dist.samples.io import open_logs
    from esmm_dist.samples.session import SETTINGS

    generate(tmp_path, num_rows=1_000, is_skewed=False, num_threads=1)
    config = config_of(tmp_path)
    assert len(config.features) == 20
    rows = rows_of_days(open_logs(spark, config), {}, config, [DAY], Encodings(), {})
    jvm: Any = spark._jvm
    told = jvm.PythonSQLUtils.explainString(rows._jdf.queryExecution(), "codegen")
    num_bytes = [int(number) for number in re.findall(r"maxMethodCodeSize:(\d+)", told)]
    assert 2_000 < max(num_bytes) < int(SETTINGS["spark.sql.codegen.hugeMethodLimit"])


def test_no_window_is_gone_through_anew_at_each_of_its_rows(
    spark: "SparkSession", tmp_path: Path
) -> None:
    """Frames that reach from a row to the end are: of a key with a million clicks, for hours."""
    from esmm_dist.samples.day_rows import rows_of_days
    from esmm_dist.samples.io import open_logs

    rules = KEYED_STORIES["by keys, orders by click id"].rules
    logs = raw_logs.dirty_logs(1, 50, [FIRST], rules, is_partitioned=True)
    raw_logs.write_logs(logs, tmp_path, is_partitioned=True, num_files=1, seed=0)
    config = raw_logs.config_of(tmp_path, True, rules, FIRST, FIRST)
    rows = rows_of_days(open_logs(spark, config), {}, config, [FIRST], Encodings(), {})
    jvm: Any = spark._jvm
    plan = jvm.PythonSQLUtils.explainString(rows._jdf.queryExecution(), "simple")
    assert "unboundedpreceding$(), currentrow$()" in plan
    assert "currentrow$(), unboundedfollowing$()" not in plan
