"""The instant as of which logs are looked at: never a future one, and told with what it goes by."""

from datetime import UTC, datetime, timedelta

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.samples.horizon import known_by, refuse_the_future, text_of_horizon

AS_OF = "samples.as_of=2022-05-03T00:00:00+08:00"
INSTANT = datetime(2022, 5, 2, 16, tzinfo=UTC)


def test_the_future_is_refused_and_the_present_is_not() -> None:
    config = load_config(overrides=[AS_OF])
    refuse_the_future(config, INSTANT)
    refuse_the_future(load_config(), INSTANT)
    with pytest.raises(InputError, match=r"^samples\.as_of = 2022-05-03T00:00:00\+08:00.*future"):
        refuse_the_future(config, INSTANT - timedelta(microseconds=1))


def test_a_log_goes_by_its_ingest_time_or_else_by_its_event_time() -> None:
    config = load_config(overrides=[AS_OF, "logs.clicks.ingest_time=arrived"])
    columns = {"impressions": "event_time", "clicks": "arrived", "conversions": "event_time"}
    assert known_by(config) == columns
    assert text_of_horizon(config) == (
        " as of 2022-05-03T00:00:00+08:00 (impressions by event_time, clicks by arrived, "
        "conversions by event_time)"
    )


def test_complete_logs_have_no_horizon() -> None:
    assert known_by(load_config()) == {} and text_of_horizon(load_config()) == ""


@pytest.mark.parametrize("text", ["2022-05-03", "2022-05-03T00:00:00", "yesterday"])
def test_an_instant_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"samples\.as_of"):
        load_config(overrides=[f"samples.as_of={text}"])
