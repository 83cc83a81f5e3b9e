"""One worked timeline a rule of the label join, each story's in one build of two days."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

import pytest

from esmm_dist.contract.manifest import Day
from tests.factories.built_samples import Labels, built, sample_id
from tests.factories.keyed_timelines import KEYED_STORIES
from tests.factories.raw_logs import Logs
from tests.factories.timelines import FIRST, NEXT, PLAIN_STORIES, ZONE, Timeline, impression
from tests.oracles.join import join
from tests.oracles.log_rows import Row

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

STORIES = PLAIN_STORIES | KEYED_STORIES
UNNAMED = "conversions_null_conversion_id"
Built = dict[date, tuple[Day, Labels]]


def laid_out(story: str, number: int) -> Logs:
    """A timeline's rows under its own ids, each filed under its day unless it says otherwise."""
    def own(name: str | None) -> str | None:
        return None if name is None else f"t{number}{name}"

    def lies(row: Row) -> Row:
        at, (who, what) = row.event_time, row.keys
        day = row.filed_day or (at.astimezone(ZONE).date() if at else None)
        return replace(
            row, impression_id=own(row.impression_id), keys=(own(who), what),
            click_id=own(row.click_id), conversion_id=own(row.conversion_id), filed_day=day,
        )

    return Logs(*[[lies(row) for row in rows] for rows in timeline_of(story, number).rows])


def timeline_of(story: str, number: int) -> Timeline:
    return STORIES[story].timelines[number]


def all_logs(story: str) -> Logs:
    """All timelines side by side, and rows of each log without an id: null, or of no characters."""
    logs = [laid_out(story, number) for number in range(len(STORIES[story].timelines))]
    nameless = replace(impression(filed=FIRST), impression_id=None)
    empty = replace(nameless, impression_id="", keys=("", ""), click_id="")
    logs.append(Logs(
        [nameless, empty], [nameless, empty],
        [replace(row, type="order") for row in (nameless, empty, empty)],
    ))
    return Logs(*[[row for rows in log for row in rows] for log in zip(*logs)])


def fates_of(text: str) -> Counter[str]:
    pairs = (fate.partition("=") for fate in text.split())
    return Counter({name: int(number or 1) for name, _, number in pairs})


@pytest.fixture(scope="module")
def found(
    spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Built]:
    """What the build of a story came to."""

    @cache
    def build(story: str) -> Built:
        folder = tmp_path_factory.mktemp("timelines")
        told = STORIES[story]
        return built(spark, all_logs(story), folder, True, told.rules, told.days)

    return build


NUMBERS = [(story, n) for story, told in STORIES.items() for n in range(len(told.timelines))]


@pytest.mark.parametrize(
    ("story", "number"), NUMBERS, ids=[timeline_of(*number).title for number in NUMBERS]
)
def test_timeline(found: Callable[[str], Built], story: str, number: int) -> None:
    timeline = timeline_of(story, number)
    sample = found(story)[FIRST][1].get(sample_id(f"t{number}"))
    label = timeline.label and (*timeline.label, 1 + timeline.value, timeline.worth)
    assert (sample and sample[:4]) == label
    assert timeline.delays is None or sample is None or sample[4][:2] == timeline.delays
    other = found(story)[FIRST][1].get(sample_id(f"t{number}b"))
    assert (other and other[:4]) == (timeline.other and (*timeline.other, 1, 0.0))
    fates = join(FIRST, *laid_out(story, number), STORIES[story].rules).counters
    rows = ("_in", "_out", "samples_clicked", "samples_converted", UNNAMED)
    told = Counter({name: n for name, n in fates.items() if n and not name.endswith(rows)})
    assert told == fates_of(timeline.fates)


@pytest.mark.parametrize("story", STORIES)
def test_every_fate_is_counted(found: Callable[[str], Built], story: str) -> None:
    """The timelines' fates add up to the day's counters."""
    logs, day = all_logs(story), found(story)[FIRST][0]
    wanted = fates_of(STORIES[story].nameless)
    for name, rows in logs._asdict().items():
        wanted[f"{name}_in"] = sum(row.filed_day == FIRST for row in rows)
    if STORIES[story].rules.has_ids:
        wanted[UNNAMED] = sum(
            row.filed_day == FIRST and row.type == "order" and row.conversion_id is None
            for row in logs.conversions
        )
    for timeline in STORIES[story].timelines:
        wanted.update(fates_of(timeline.fates))
    labels = [
        label for timeline in STORIES[story].timelines
        for label in (timeline.label, timeline.other) if label
    ]
    wanted["impressions_out"] = len(labels)
    wanted["samples_clicked"] = sum(clicked for clicked, _ in labels)
    wanted["samples_converted"] = sum(converted for _, converted in labels)
    assert Counter(day.counters) == wanted


def test_together_the_timelines_meet_every_fate(found: Callable[[str], Built]) -> None:
    total: Counter[str] = Counter()
    for story in STORIES:
        total.update(found(story)[FIRST][0].counters)
    never = {name for name, n in total.items() if not n}
    assert never == {
        "samples_null_group", "samples_immature", "samples_left_out", "samples_deleted",
    }


def test_a_day_leaves_its_neighbours_events_to_their_own_impressions(
    found: Callable[[str], Built]
) -> None:
    story = "by impression id"
    titles = [timeline.title for timeline in STORIES[story].timelines]
    number = titles.index("the next day's own impression keeps its events")
    day, labels = found(story)[NEXT]
    assert list(labels) == [sample_id(f"t{number}")]
    assert labels[sample_id(f"t{number}")][:4] == (1, 1, 1, 0.0)
    assert day.counters["clicks_credited"] == day.counters["conversions_credited"] == 1
    # Events of the day before are in this day's files too: they find no impression here.
    assert Counter(day.counters) == join(NEXT, *all_logs(story), STORIES[story].rules).counters
