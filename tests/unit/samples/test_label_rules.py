"""What of the config the labelling of a file goes by."""

from datetime import date

from esmm_dist.contract.config import load_config
from esmm_dist.contract.days import DayRange
from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.samples.label_rules import credit_rules, rate_of_day, thinning


def test_the_config_says_which_days_are_thinned() -> None:
    config = load_config()
    assert thinning(config) is None
    day = date(2024, 3, 31)  # the day on which summer time begins: 23 hours
    some = DayRange(first=day, last=day)
    samples = config.samples.model_copy(update={"unclicked_rate": 0.5, "unclicked_days": some})
    logs = config.logs.model_copy(update={"day_timezone": "Europe/Berlin"})
    config = config.model_copy(update={"samples": samples, "logs": logs})
    found = thinning(config)
    assert found is not None
    assert [rate_of_day(date(2024, 3, number), config) for number in (30, 31)] == [1, 0.5]
    assert (found.rate, found.seed) == (0.5, config.samples.shuffle_seed)
    assert found.end_time - found.first_time == 23 * 3600 * 10**6
    assert found.first_time == 1711839600 * 10**6


def test_the_rules_of_credit_are_those_of_the_config_in_microseconds() -> None:
    second, hour = 10**6, 3_600 * 10**6
    assert credit_rules(load_config()) == CreditRules(24 * hour, 24 * hour, hour)
    declared = load_config(overrides=[
        "logs.max_clock_skew_seconds=2", "logs.impressions.repeat_seconds=5",
        "samples.click_window_hours=1.5", "samples.conversion_window_hours=48",
        "logs.conversions.value=price", "logs.conversions.without_click=imply_click",
        "logs.clicks.double_click_seconds=1",
    ])
    assert credit_rules(declared) == CreditRules(
        3 * hour // 2, 48 * hour, 5 * second, 2 * second, implies_click=True, has_value=True,
        has_bursts=True,
    )
    by_click_id = load_config(overrides=["logs.conversions.attribute_by=click_id"])
    assert credit_rules(by_click_id).names_click
