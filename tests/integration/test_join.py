"""A build of dirty logs against an oracle, row by row and counter by counter."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from esmm_dist.contract.manifest import Day
from tests.factories.built_samples import Labels, built, sample_id
from tests.factories.raw_logs import dirty_logs
from tests.oracles.join import Joined, join
from tests.oracles.log_rows import Rules

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

HOURS = timedelta(hours=1)
ONE_DAY = timedelta(days=1)


def assert_equal(day: Day, labels: Labels, wanted: Joined) -> None:
    assert len(labels) == len(wanted.samples) == day.num_rows
    for impression_id, sample in wanted.samples.items():
        click, conversion, value_id, worth, times = labels[sample_id(impression_id)]
        wanted_labels = (sample.click, sample.conversion, sample.value)
        assert (click, conversion, worth) == wanted_labels, impression_id
        assert times == (sample.click_delay_s, sample.conversion_delay_s, sample.observed_s,
                         sample.mature), impression_id
        assert value_id in {1 + value for value, _ in sample.contents}, impression_id
    assert Counter(day.counters) == wanted.counters
    shown = [sample.event_time for sample in wanted.samples.values()]
    assert (day.first_event_time, day.last_event_time) == (min(shown), max(shown))


def assert_identities(counters: Counter[str]) -> None:
    """Rows in are rows out and rows dropped; whatever is counted is of one of three logs."""
    given = ("_in", "_from_other_days")
    aside = ("clicks_untimely", "conversions_null_conversion_id")
    for log in ("impressions", "clicks", "conversions"):
        of_log = {name: n for name, n in counters.items()
                  if name.startswith(f"{log}_") and name not in aside}
        num_in = sum(n for name, n in of_log.items() if name.endswith(given))
        assert num_in == sum(n for name, n in of_log.items() if not name.endswith(given)) > 0


# The last of the days, a Sunday, lasts 25 hours there.
NEW_YORK, SHANGHAI = ZoneInfo("America/New_York"), ZoneInfo("Asia/Shanghai")
# What only some rules or logs know.
OF_KEYS = {"clicks_misfiled", "conversions_misfiled"}
OF_CLICK_RULES = {"clicks_of_bots", "clicks_double"}
OF_IMPLYING = {"conversions_implying_click", "samples_click_implied"}
# Where causes are looked up, nothing outside a window finds one.
OF_LOOKING = {"clicks_before_impression", "clicks_after_window", "conversions_before_click",
              "conversions_after_window"}
# Where clicks carry impression_id and conversions are looked up.
OF_BOTH = {"clicks_untimely"}
OF_SKEW = {"clicks_skewed", "conversions_skewed"}
# Fates of other builds: logs that are not complete, thinned samples, deleted users.
OF_OTHER_BUILDS = {"samples_immature", "samples_left_out", "samples_deleted"}
OF_PARTITIONS = {"impressions_misfiled", "impressions_null_time", "clicks_null_time",
                 "conversions_null_time"}


@pytest.mark.parametrize(
    "seed, is_partitioned, rules, never",
    [
        (1, True, Rules(NEW_YORK, 24 * HOURS, 24 * HOURS, ("order", "lead"), max_skew=HOURS,
                        implies_click=True, has_value=True, has_ids=True),
         OF_KEYS | OF_CLICK_RULES | OF_BOTH),
        (2, False, Rules(SHANGHAI, 6 * HOURS, 60 * HOURS, ()),
         OF_KEYS | OF_CLICK_RULES | OF_IMPLYING | OF_SKEW | OF_PARTITIONS | OF_BOTH
         | {"conversions_conflicting", "conversions_other_type"}),
        (3, True, Rules(NEW_YORK, 24 * HOURS, 24 * HOURS, ("order", "lead"), has_value=True,
                        conversions_by="click_id", has_ids=True, bots=(4, 14_400),
                        double_click=HOURS / 2),
         OF_KEYS | OF_IMPLYING | OF_SKEW | OF_BOTH),
        (4, True, Rules(NEW_YORK, 24 * HOURS, 24 * HOURS, ("order", "lead"), max_skew=HOURS,
                        clicks_by="keys", conversions_by="keys", num_conversion_keys=1,
                        bots=(5, 14_400), double_click=HOURS / 20, has_ids=True),
         OF_IMPLYING | OF_LOOKING | OF_BOTH | {"conversions_without_click"}),
        (5, True, Rules(NEW_YORK, 24 * HOURS, 24 * HOURS, ("order", "lead"), max_skew=HOURS,
                        clicks_by="keys", conversions_by="keys", is_first=True, has_ids=True),
         OF_IMPLYING | OF_LOOKING | OF_CLICK_RULES | OF_BOTH | {"conversions_without_click"}),
        (6, True, Rules(NEW_YORK, 24 * HOURS, 24 * HOURS, ("order", "lead"), max_skew=HOURS,
                        conversions_by="keys", num_conversion_keys=1, lateness=30 * HOURS),
         {"clicks_misfiled", "conversions_conflicting", "conversions_before_click",
          "conversions_after_window"} | OF_IMPLYING | OF_CLICK_RULES),
        (7, True, Rules(NEW_YORK, 24 * HOURS, 24 * HOURS, ("order", "lead"), max_skew=HOURS,
                        clicks_by="keys", conversions_by="click_id", double_click=HOURS / 2),
         {"clicks_of_bots", "conversions_misfiled", "clicks_before_impression",
          "clicks_after_window", "conversions_conflicting", "conversions_without_click"}
         | OF_IMPLYING | OF_BOTH),
    ],
    ids=["partitioned", "by event time", "by click id", "by last of keys", "by first of keys",
         "orders alone by keys", "clicks alone by keys"],
)
def test_dirty_logs_come_to_what_the_oracle_says(
    spark: "SparkSession", tmp_path: Path, seed: int, is_partitioned: bool, rules: Rules,
    never: set[str],
) -> None:
    before, *days = [date(2025, 10, 31) + n * ONE_DAY for n in range(3)]
    logs = dirty_logs(seed, 1_000, [before, *days], rules, is_partitioned)
    found = built(spark, logs, tmp_path, is_partitioned, rules, tuple(days), seed)
    assert list(found) == days
    all_counters: Counter[str] = Counter()
    for day, (published, labels) in found.items():
        assert_equal(published, labels, join(day, *logs, rules))
        assert_identities(Counter(published.counters))
        all_counters += Counter(published.counters)
    unmet = {name for name in published.counters if not all_counters[name]}
    assert unmet - OF_OTHER_BUILDS == never


TOGETHER = Rules(
    SHANGHAI, 24 * HOURS, 40 * HOURS, ("order", "lead"), max_skew=HOURS, clicks_by="keys",
    conversions_by="keys", num_conversion_keys=1, double_click=HOURS / 20,
)


@pytest.mark.parametrize(
    "rules",
    [TOGETHER, TOGETHER._replace(is_first=True), TOGETHER._replace(clicks_by="impression_id")],
    ids=["last of keys", "first of keys", "orders alone by keys"],
)
def test_labels_depend_neither_on_the_order_of_rows_nor_on_which_days_are_built_together(
    spark: "SparkSession", tmp_path: Path, rules: Rules
) -> None:
    """Of a month, where rivals of a day's events lie on all sides of it."""
    days = [date(2025, 5, 10) + n * ONE_DAY for n in range(4)]
    logs = dirty_logs(8, 1_500, days, rules, is_partitioned=True)
    together = built(spark, logs, tmp_path / "together", True, rules, tuple(days))
    # No day is built beside a neighbour.
    for seed, some in enumerate([days[::2], days[1::2]], start=1):
        for day, found in built(
            spark, logs, tmp_path / f"cut {seed}", True, rules, tuple(some), seed
        ).items():
            assert found[1] == together[day][1]
            assert found[0].counters == together[day][0].counters
