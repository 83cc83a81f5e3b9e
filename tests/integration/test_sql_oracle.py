"""The whole build against DuckDB: equal labels row by row and equal counters.

On dirty rows for each way of attribution, and on the example's logs.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from esmm_dist.contract.config import load_config
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.manifest import Day
from esmm_dist.contract.sections import Config
from tests.factories.built_samples import SPARK_HASH_SEED
from tests.factories.dirty_tables import write_dirty_tables
from tests.factories.raw_logs import config_of
from tests.oracles.log_rows import Rules
from tests.oracles.sql_build import SqlDay, built_by_sql
from tests.oracles.sql_causes import Names

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
NEW_YORK = ZoneInfo("America/New_York")
# The clocks of New York go back on 2 November, which has 25 hours.
BEFORE, FIRST, LAST, AFTER = (date(2025, 10, 31) + n * timedelta(days=1) for n in range(4))
BY_ID = Rules(NEW_YORK, 24 * HOUR, 30 * HOUR, ("order", "lead"), max_skew=30 * SECOND,
              has_value=True)
RULES = {
    "by impression id": BY_ID._replace(implies_click=True, has_ids=True),
    "by click id": BY_ID._replace(
        conversions_by="click_id", has_ids=True, bots=(120, 600), double_click=SECOND
    ),
    "by last of keys": BY_ID._replace(
        clicks_by="keys", conversions_by="keys", num_conversion_keys=1, bots=(120, 600),
        double_click=SECOND, has_ids=True, conversion_repeat=100 * HOUR, lateness=30 * HOUR,
    ),
    "by first of keys": BY_ID._replace(clicks_by="keys", conversions_by="keys", is_first=True),
}
# Some 35,000 rows; 640,000 make 1.1 million, of which SQL and the generator alone take a minute.
NUM_IMPRESSIONS = 20_000


def built(spark: "SparkSession", config: Config, days: Sequence[date]) -> dict[date, Day]:
    from esmm_dist.samples.build import Builder

    return {day.day: day for day in Builder(spark, config, refit=False).build(days).days}


def labels_of(samples: Path, day: Day) -> pa.Table:
    """sample_id, click, conversion and value, by rising id."""
    files = [pq.ParquetFile(samples / file.path).read() for file in day.files]
    rows = pa.concat_tables(files)
    if "conversion_value" not in rows.column_names:
        rows = rows.append_column("conversion_value", pa.array(np.zeros(rows.num_rows)))
    return rows.select(["sample_id", "click", "conversion", "conversion_value"]).sort_by(
        "sample_id"
    )


def assert_equal(found: pa.Table, wanted: SqlDay) -> None:
    ids = wanted.samples["impression_id"].to_pylist()
    hashed = [xxhash.xxh64_intdigest(text.encode(), SPARK_HASH_SEED) for text in ids]
    sample_id_K = np.array(hashed, np.uint64).view(np.int64)
    order_K = np.argsort(sample_id_K)
    assert np.array_equal(np.asarray(found["sample_id"]), sample_id_K[order_K])
    pairs = {"click": "click", "conversion": "conversion", "conversion_value": "value"}
    for ours, theirs in pairs.items():
        wanted_K = np.asarray(wanted.samples[theirs], float)[order_K]
        differ_K = np.flatnonzero(np.asarray(found[ours], float) != wanted_K)
        assert not len(differ_K), (ours, [ids[order_K[place]] for place in differ_K[:5]])


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_dirty_rows_come_to_what_sql_says(
    spark: "SparkSession", tmp_path: Path, rules: Rules
) -> None:
    write_dirty_tables(
        tmp_path, NUM_IMPRESSIONS, [BEFORE, FIRST, LAST, AFTER], rules, seed=7
    )
    config = config_of(tmp_path, True, rules, FIRST, LAST)
    samples = config.samples.model_copy(update={"rows_per_file": 65_536})
    days = built(spark, config.model_copy(update={"samples": samples}), [FIRST, LAST])
    wanted = built_by_sql(tmp_path, [FIRST, LAST], rules)
    for day in (FIRST, LAST):
        counters = Counter(days[day].counters)
        assert counters == wanted[day].counters
        assert counters["samples_converted"] > 100
        assert_equal(labels_of(tmp_path / "samples", days[day]), wanted[day])


def test_the_example_comes_to_what_sql_says(spark: "SparkSession", tmp_path: Path) -> None:
    logs = ROOT / "examples" / "kuairand"
    config = load_config(
        ROOT / "conf" / "kuairand.yaml",
        [f"samples.path={tmp_path}/samples",
         *[f"logs.{log}.path={logs / log}" for log in ("impressions", "clicks", "conversions")]],
    )
    days = list(days_of(config.samples.days))
    rules = Rules(ZoneInfo("Asia/Shanghai"), 24 * HOUR, 24 * HOUR, ("like",))
    content = [feature.name for feature in config.features]
    # Nothing goes by keys there, and clicks have no columns but these.
    names = Names(content=(*content, "user_id"), type="event", keys=("impression_id",))
    found, wanted = built(spark, config, days), built_by_sql(logs, days, rules, names)
    for day in days:
        # Values that share an id are one to us and two to SQL: conflicts are told from repeats by
        # ids, so the two are compared as one number.
        ours, theirs = Counter(found[day].counters), wanted[day].counters
        for counters in (ours, theirs):
            counters["again"] = (
                counters.pop("impressions_repeated", 0) + counters.pop("impressions_conflicting", 0)
            )
        del ours["samples_tags_cut"]
        assert ours == theirs
        assert_equal(labels_of(tmp_path / "samples", found[day]), wanted[day])
