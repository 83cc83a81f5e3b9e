"""Rows that do not add up are never published."""

from datetime import date

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.samples.counters import (
    IDENTITIES,
    check_identities,
    counters_of,
    refuse_nameless,
    refuse_no_samples,
)

DAY = date(2026, 1, 1)
NAMES = sorted({name for both in IDENTITIES.items() for names in both for name in names})


def whole() -> dict[str, int]:
    """Counters that add up, every fate met."""
    counters = {"samples_clicked": 3, "samples_converted": 2}
    for given, accounted in IDENTITIES.items():
        counters |= {name: 1 + place for place, name in enumerate(accounted)}
        total = sum(counters[name] for name in accounted)
        counters |= {name: 1 for name in given}
        counters[given[0]] = total - (len(given) - 1)
    return counters


def test_rows_that_add_up_pass() -> None:
    check_identities(DAY, whole())
    refuse_nameless(DAY, whole(), load_config())
    refuse_no_samples(DAY, whole(), load_config())


@pytest.mark.parametrize(
    ("counters", "told"),
    [
        ({"impressions_null_id": 7},
         "no row of 2026-01-01 can be used: impressions_null_id 7: correct the log"),
        ({"impressions_null_id": 7, "samples_left_out": 1234},
         "samples.unclicked_rate = 0.001: it leaves out all 1,234 samples of 2026-01-01"),
    ],
)
def test_who_left_nothing_of_a_day_is_told(counters: dict[str, int], told: str) -> None:
    config = load_config(overrides=["samples.unclicked_rate=0.001"])
    with pytest.raises(InputError) as raised:
        refuse_no_samples(DAY, counters_of(DAY, counters, {}), config)
    assert told in str(raised.value)
    assert ("log" in str(raised.value)) == ("samples_left_out" not in counters)


@pytest.mark.parametrize(
    ("log", "keys", "columns"),
    [("impressions", (), "impression_id"), ("clicks", (), "shown"),
     ("clicks", ("user_id", "item_id"), "user_id or item"), ("conversions", (), "click_id"),
     ("conversions", ("user_id",), "user_id")],
)
def test_a_day_of_which_all_rows_lack_what_they_belong_to_is_refused(
    log: str, keys: tuple[str, ...], columns: str
) -> None:
    config = load_config()
    clicks = {"keys": keys, "columns": {"impression_id": "shown", "item_id": "item"}}
    config = config.model_copy(update={"logs": config.logs.model_copy(update={
        "clicks": config.logs.clicks.model_copy(update=clicks),
        "conversions": config.logs.conversions.model_copy(
            update={"keys": keys, "attribute_by": "keys" if keys else "click_id"}
        ),
    })})
    counters = whole() | {f"{log}_in": 1234, f"{log}_null_id": 1234}
    if log == "conversions":
        counters |= {"conversions_other_type": 34, "conversions_null_id": 1200}
    one_named = counters | {f"{log}_null_id": counters[f"{log}_null_id"] - 1}
    refuse_nameless(DAY, one_named, config)
    with pytest.raises(InputError) as raised:
        refuse_nameless(DAY, counters, config)
    num_rows = "1,200" if log == "conversions" else "1,234"
    assert str(raised.value).startswith(f"logs.{log} (")
    assert f"all {num_rows} rows of 2026-01-01 are without {columns} (" in str(raised.value)


def test_a_day_without_events_lacks_no_ids() -> None:
    counters = counters_of(DAY, {"impressions_out": 1}, {"impressions_in": {DAY: 1}})
    refuse_nameless(DAY, counters | {"clicks_in": 0, "conversions_in": 0}, load_config())


@pytest.mark.parametrize("name", NAMES)
def test_a_row_too_many_under_any_fate_is_noticed(name: str) -> None:
    with pytest.raises(AssertionError, match=name):
        check_identities(DAY, whole() | {name: whole()[name] + 1})


def test_more_conversions_than_clicks_are_noticed() -> None:
    with pytest.raises(AssertionError):
        check_identities(DAY, whole() | {"samples_converted": 4})


def test_a_fate_that_no_row_met_counts_nothing() -> None:
    counts = {"impressions_in": {DAY: 7}, "clicks_in": {}, "conversions_in": {}}
    counters = counters_of(DAY, {"clicks_repeated": 2}, counts)
    assert {name: n for name, n in counters.items() if n} == {
        "impressions_in": 7, "clicks_repeated": 2,
    }
    assert counters.keys() == set(NAMES)
