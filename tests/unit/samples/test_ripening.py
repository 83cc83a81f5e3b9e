"""Which days a daily job builds: those that are new, and those whose labels still ripened."""

from datetime import UTC, date, datetime, timedelta

import pytest

from esmm_dist.contract.config import load_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import Day
from esmm_dist.samples.ripening import (
    final_from,
    refuse_open_windows,
    refuse_riper,
    text_of_verdicts,
    verdicts,
)

DAYS = [date(2022, 5, day) for day in range(1, 5)]
HOUR = timedelta(hours=1)
# The end of 1 May in Shanghai; the example's windows last 48 hours together.
END_OF_FIRST = datetime(2022, 5, 1, 16, tzinfo=UTC)
LONG_AFTER = END_OF_FIRST + 1_000 * HOUR


def built(day: date, as_of: datetime | None, built_at: datetime = LONG_AFTER) -> Day:
    return Day(
        day=day, build_id="b", built_at=built_at, as_of=as_of, files=(), num_rows=0,
        num_clicks=0, num_conversions=0, first_event_time=END_OF_FIRST,
        last_event_time=END_OF_FIRST, counters={},
    )


def judge(
    as_of: datetime | None, *there: Day, now: datetime = LONG_AFTER
) -> dict[int, tuple[bool, str]]:
    text = "null" if as_of is None else as_of.isoformat()
    config = load_config(overrides=[f"samples.as_of={text}"])
    found = verdicts(DAYS, {day.day: day for day in there}, config, now)
    return {verdict.day.day: (verdict.is_due, verdict.reason) for verdict in found}


def test_a_days_labels_are_final_when_the_windows_of_its_last_instant_have_passed() -> None:
    assert final_from(DAYS[0], load_config()) == END_OF_FIRST + 48 * HOUR
    late = load_config(overrides=["samples.lateness_hours=1.5"])
    assert final_from(DAYS[0], late) == END_OF_FIRST + 49.5 * HOUR


def test_days_that_are_not_over_are_not_due_and_others_are_until_they_are_built() -> None:
    as_of = END_OF_FIRST + 24 * HOUR
    found = judge(as_of)
    assert [due for due, _ in found.values()] == [True, True, False, False]
    assert found[1][1] == "not built yet" and found[3][1].startswith("not over as of 2022-05-02T16")
    assert not judge(as_of - timedelta(microseconds=1))[2][0]


@pytest.mark.parametrize(
    "built_after, as_of_after, is_due, reason",
    [
        (0, 24, True, "immature, built as of"),
        (47, 47.5, True, "immature, built as of"),
        (47, 100, True, "immature, built as of"),
        (48, 100, False, "final, built as of"),
        (30, 30, False, "immature, but built as of"),
        (30, 24, False, "immature, but built as of"),
        (30, None, True, "immature, built as of"),
        (None, 100, False, "final, built from complete logs"),
    ],
)
def test_a_day_is_due_again_as_long_as_more_can_be_known_of_it(
    built_after: float | None, as_of_after: float | None, is_due: bool, reason: str
) -> None:
    """Hours after the end of the day."""
    then, now = (
        None if hours is None else END_OF_FIRST + hours * HOUR
        for hours in (built_after, as_of_after)
    )
    found = judge(now, built(DAYS[0], then))
    assert found[1][0] == is_due and found[1][1].startswith(reason)


@pytest.mark.parametrize(
    "built_after, as_of_after, is_refused",
    [
        (30, 24, True),
        (100, 47, True),
        (None, 24, True),
        (30, 30, False),
        (24, 30, False),
        (100, 48, False),  # final then too
        (None, None, False),
        (30, None, False),
    ],
)
def test_a_day_does_not_take_the_place_of_a_riper_one(
    built_after: float | None, as_of_after: float | None, is_refused: bool
) -> None:
    then, now = (
        None if hours is None else END_OF_FIRST + hours * HOUR
        for hours in (built_after, as_of_after)
    )
    config = load_config()
    config = config.model_copy(update={"samples": config.samples.model_copy(update={"as_of": now})})
    there = [built(DAYS[0], then)]
    refuse_riper(there, [DAYS[1]], config)
    if not is_refused:
        refuse_riper(there, DAYS, config)
        return
    with pytest.raises(InputError, match="2022-05-01 was built .* riper .* --go-back"):
        refuse_riper(there, DAYS, config)


def test_neighbours_of_the_same_verdict_are_told_together() -> None:
    config = load_config(overrides=["samples.as_of=2022-05-03T16:00:00Z"])
    there = {DAYS[0]: built(DAYS[0], None), DAYS[1]: built(DAYS[1], END_OF_FIRST)}
    assert text_of_verdicts(verdicts(DAYS, there, config, LONG_AFTER)) == (
        "2022-05-01: final, built from complete logs: left as it is\n"
        "2022-05-02: immature, built as of 2022-05-01T16:00:00+00:00: to be built\n"
        "2022-05-03: not built yet: to be built\n"
        "2022-05-04: not over as of 2022-05-03T16:00:00+00:00: left as it is"
    )
    assert text_of_verdicts(verdicts(DAYS, {}, load_config(), LONG_AFTER)) == (
        "2022-05-01 to 2022-05-04 (4 days): not built yet: to be built"
    )


def test_what_was_taken_for_complete_while_windows_were_open_is_due_again() -> None:
    final = END_OF_FIRST + 48 * HOUR
    early = built(DAYS[0], None, final - timedelta(seconds=1))
    assert judge(LONG_AFTER, early)[1][0] and judge(None, early)[1] == (
        True, "immature, built as of 2022-05-03T15:59:59+00:00"
    )
    assert not judge(None, built(DAYS[0], None, final))[1][0]
    later = load_config(overrides=["samples.as_of=2022-05-03T15:59:59.5Z"])
    refuse_riper([early], DAYS, later)


def test_without_an_instant_days_are_due_once_their_windows_have_closed() -> None:
    found = judge(None, now=END_OF_FIRST + 72 * HOUR)
    assert [due for due, _ in found.values()] == [True, True, False, False]
    assert found[3][1] == (
        "windows are open until 2022-05-05T16:00:00+00:00, and samples.as_of is not given"
    )


def test_days_whose_windows_are_open_need_an_instant_to_be_built() -> None:
    final = END_OF_FIRST + 48 * HOUR
    refuse_open_windows(DAYS[:1], load_config(), final)
    with pytest.raises(InputError, match=(
        r"^2022-05-02: labels are not final before 2022-05-04T16:00:00\+00:00, .*"
        r"give samples.as_of=2022-05-03T16:00:00\+00:00"
    )):
        refuse_open_windows(DAYS[:2], load_config(), final)
    with_instant = load_config(overrides=["samples.as_of=2022-05-02T00:00:00Z"])
    refuse_open_windows(DAYS, with_instant, final)
