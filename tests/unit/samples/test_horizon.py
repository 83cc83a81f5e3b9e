"""The instant as of which logs are looked at: never a future one, and told with what it goes by."""

from datetime import UTC, datetime, timedelta

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import EncodingsReference
from esmm_dist.samples.horizon import (
    known_by,
    refuse_the_future,
    refuse_what_was_learned_later,
    text_of_horizon,
)

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


@pytest.mark.parametrize(
    "learned, as_of, ingest_time, is_refused",
    [
        # Fit days end on 30 April in Shanghai.
        ("2022-05-09T00:00Z", "2022-04-30T15:59:59Z", "null", True),
        ("2022-05-09T00:00Z", "2022-04-30T16:00:00Z", "null", False),
        ("2022-05-09T00:00Z", "2022-05-08T00:00:00Z", "arrived", True),
        ("2022-05-09T00:00Z", "2022-05-09T00:00:00Z", "arrived", False),
        ("2022-05-09T00:00Z", "null", "arrived", False),
    ],
)
def test_ids_that_were_learned_later_are_refused_unless_no_later_row_taught_them(
    learned: str, as_of: str, ingest_time: str, is_refused: bool
) -> None:
    config = load_config(overrides=[
        f"samples.as_of={as_of}", f"logs.impressions.ingest_time={ingest_time}",
    ])
    reference = EncodingsReference(
        path="e.json", content_hash="e", fit_days=config.samples.fit_days,
        learned_as_of=datetime.fromisoformat(learned),
    )
    if not is_refused:
        refuse_what_was_learned_later(reference, config)
        return
    with pytest.raises(InputError, match=r"samples\.as_of = .* learned as of 2022-05-09.*--refit"):
        refuse_what_was_learned_later(reference, config)
    nothing_learned = reference.model_copy(update={"fit_days": None})
    refuse_what_was_learned_later(nothing_learned, config)


@pytest.mark.parametrize("text", ["2022-05-03", "2022-05-03T00:00:00", "yesterday"])
def test_an_instant_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"samples\.as_of"):
        load_config(overrides=[f"samples.as_of={text}"])
