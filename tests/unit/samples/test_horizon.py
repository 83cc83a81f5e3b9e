"""The instant as of which logs are looked at: never a future one, and told with what it goes by."""

from datetime import UTC, datetime, timedelta

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import EncodingsReference, Lesson
from esmm_dist.samples.horizon import (
    has_grown_since,
    known_by,
    lesson_in_force,
    refuse_the_future,
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
    lesson = Lesson(
        content_hash="e", num_keys={}, fit_days=config.samples.fit_days,
        learned_as_of=datetime.fromisoformat(learned),
    )
    noted = reference.model_copy(update={"lessons": (lesson,)})
    if not is_refused:
        assert lesson_in_force(reference, config) is None
        assert lesson_in_force(noted, config) == lesson
        return
    for one in (reference, noted):
        with pytest.raises(InputError, match=r"samples\.as_of = .* as of 2022-05-09.*--refit"):
            lesson_in_force(one, config)
    assert lesson_in_force(reference.model_copy(update={"fit_days": None}), config) is None


@pytest.mark.parametrize(
    "as_of, in_force",
    [
        ("2022-05-01T00:00:00Z", 0),  # before it was learned, but from what was known
        ("2022-05-03T23:59:59Z", 0),
        ("2022-05-04T00:00:00Z", 1),
        ("2022-05-05T00:00:00Z", 2),
        ("null", 2),
    ],
)
def test_ids_are_those_that_had_been_learned_then(as_of: str, in_force: int) -> None:
    config = load_config(overrides=[f"samples.as_of={as_of}"])
    lessons = tuple(
        Lesson(content_hash=f"{n}", num_keys={"t": n}, fit_days=config.samples.fit_days,
               learned_as_of=datetime(2022, 5, 3 + n, tzinfo=UTC))
        for n in range(3)
    )
    reference = EncodingsReference(
        path="2.json", content_hash="2", fit_days=lessons[2].fit_days,
        learned_as_of=lessons[2].learned_as_of, lessons=lessons,
    )
    assert lesson_in_force(reference, config) == lessons[in_force]
    assert has_grown_since(reference, config) == (in_force < 2)
    assert not has_grown_since(reference.model_copy(update={"lessons": ()}), config)


@pytest.mark.parametrize("text", ["2022-05-03", "2022-05-03T00:00:00", "yesterday"])
def test_an_instant_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"samples\.as_of"):
        load_config(overrides=[f"samples.as_of={text}"])
