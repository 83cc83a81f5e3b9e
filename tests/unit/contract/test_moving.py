"""The same experiment on another day."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.moving import moved
from esmm_dist.contract.sections import Config
from tests.unit.contract.conftest import LoadText


def days(first: str, last: str) -> DayRange:
    return DayRange(first=date.fromisoformat(first), last=date.fromisoformat(last))


def test_all_days_move_as_far_as_the_last_day_of_the_samples(load_text: LoadText) -> None:
    config = load_text({}, "samples.unclicked_days={first: 2024-01-01, last: 2024-01-03}")
    later = moved(config, date(2024, 3, 1), "test")
    assert later.name == "minimal-2024-03-01"
    assert later.samples.days == days("2024-02-27", "2024-03-01")
    assert later.samples.fit_days == days("2024-02-27", "2024-02-29")
    assert later.samples.unclicked_days == later.samples.fit_days
    assert later.train.days == days("2024-02-27", "2024-02-29")
    assert later.evaluate.days == days("2024-03-01", "2024-03-01")


def test_nothing_but_days_and_the_name_changes(config: Config) -> None:
    there = moved(config, date(2025, 7, 7), "test")
    back = moved(there, config.samples.days.last, "test")
    assert back.model_copy(update={"name": config.name}) == config


def test_the_instant_keeps_its_hour_on_the_wall_where_clocks_change(load_text: LoadText) -> None:
    config = load_text({}, "samples.as_of=2024-03-30T02:00:00Z",
                       "logs.day_timezone=Europe/Berlin", "samples.days.last=2024-03-29",
                       "evaluate.days={first: 2024-03-29, last: 2024-03-29}")
    as_of = moved(config, date(2024, 3, 30), "test").samples.as_of
    assert as_of == datetime(2024, 3, 31, 3, tzinfo=ZoneInfo("Europe/Berlin"))
    assert as_of is not None and as_of.isoformat() == "2024-03-31T03:00:00+02:00"


def test_a_name_that_leaves_no_room_for_the_day_is_refused(config: Config) -> None:
    broken = config.model_copy(update={"name": "a/b"})
    with pytest.raises(InputError, match="nightly.yaml.*name"):
        moved(broken, date(2024, 1, 5), "nightly.yaml")
