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
from tests.oracles.join import Joined, Rules, join

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
    for log in ("impressions", "clicks", "conversions"):
        of_log = {name: n for name, n in counters.items() if name.startswith(f"{log}_")}
        num_in = sum(n for name, n in of_log.items() if name.endswith(given))
        assert num_in == sum(n for name, n in of_log.items() if not name.endswith(given)) > 0


@pytest.mark.parametrize(
    "seed, is_partitioned, rules",
    [
        # The last of the days, a Sunday, lasts 25 hours there.
        (1, True, Rules(ZoneInfo("America/New_York"), 24 * HOURS, 24 * HOURS, ("order", "lead"),
                        max_skew=HOURS, implies_click=True, has_value=True)),
        (2, False, Rules(ZoneInfo("Asia/Shanghai"), 6 * HOURS, 60 * HOURS, ())),
    ],
    ids=["partitioned", "by event time"],
)
def test_dirty_logs_come_to_what_the_oracle_says(
    spark: "SparkSession", tmp_path: Path, seed: int, is_partitioned: bool, rules: Rules
) -> None:
    before, *days = [date(2026, 10, 30) + n * ONE_DAY for n in range(3)]
    logs = dirty_logs(seed, 1_000, [before, *days], rules, is_partitioned)
    found = built(spark, logs, tmp_path, is_partitioned, rules, tuple(days), seed)
    assert list(found) == days
    all_counters: Counter[str] = Counter()
    for day, (published, labels) in found.items():
        assert_equal(published, labels, join(day, *logs, rules))
        assert_identities(Counter(published.counters))
        all_counters += Counter(published.counters)
    never = {name for name in published.counters if not all_counters[name]}
    never -= {"samples_immature"}  # complete logs have none
    # A log without partitions files rows by their time, one without types has none to drop.
    assert never == set() if is_partitioned else {
        "impressions_misfiled", "impressions_null_time", "clicks_null_time",
        "conversions_null_time", "conversions_other_type", "clicks_skewed", "conversions_skewed",
        "conversions_conflicting", "conversions_implying_click", "samples_click_implied",
    }
