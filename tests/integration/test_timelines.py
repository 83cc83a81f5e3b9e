"""One worked timeline a rule of the label join, all of them in one build of two days."""

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from esmm_dist.contract.manifest import Day
from tests.factories.built_samples import Labels, built, sample_id
from tests.factories.raw_logs import INSTANT, Logs
from tests.oracles.join import Row, Rules, join, start_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

ZONE = ZoneInfo("Asia/Shanghai")
FIRST, NEXT = date(2026, 3, 1), date(2026, 3, 2)
RULES = Rules(ZONE, timedelta(hours=24), timedelta(hours=48), ("order",))
NOON = start_of(FIRST, ZONE) + timedelta(hours=12)
HOUR = timedelta(hours=1)


class Timeline(NamedTuple):
    """What happened to one impression, and what it comes to."""

    title: str
    rows: Logs
    label: tuple[int, int] | None
    """click, conversion of the first day's sample; None if there is none."""
    fates: str
    """The first day's counters apart from rows in and out, `name` or `name=n`."""
    value: float = 0.0


def impression(at: datetime = NOON, value: float = 0.0, filed: date | None = None) -> Row:
    return Row("", at, filed, content=(value, "u"))


def click(after: timedelta, filed: date | None = None) -> Row:
    return Row("", NOON + after, filed)


def order(after: timedelta, kind: str | None = "order") -> Row:
    return Row("", NOON + after, None, type=kind)


def of(clicks: tuple[Row, ...] = (), orders: tuple[Row, ...] = (), *shown: Row) -> Logs:
    return Logs(list(shown or (impression(),)), list(clicks), list(orders))


CLICKED = (click(HOUR),)
LATER_ORDER = "clicks_credited conversions_from_other_days"
TIMELINES = (
    Timeline("nothing happens", of(), (0, 0), ""),
    Timeline("a click and an order count", of(CLICKED, (order(2 * HOUR),)), (1, 1),
             "clicks_credited conversions_credited"),
    Timeline("a click in the instant of its impression counts", of((click(0 * HOUR),)), (1, 0),
             "clicks_credited"),
    Timeline("a click at the window's end counts", of((click(24 * HOUR),)), (1, 0),
             "clicks_credited clicks_from_other_days"),
    Timeline("an instant later it does not", of((click(24 * HOUR + INSTANT),)), (0, 0),
             "clicks_after_window clicks_from_other_days"),
    Timeline("a click before the impression", of((click(-INSTANT),)), (0, 0),
             "clicks_before_impression"),
    Timeline("a repeated click counts once", of(2 * CLICKED), (1, 0),
             "clicks_credited clicks_repeated"),
    Timeline("two clicks are both credited", of((*CLICKED, click(2 * HOUR))), (1, 0),
             "clicks_credited=2"),
    Timeline("an order in the instant of its click counts", of(CLICKED, (order(HOUR),)), (1, 1),
             "clicks_credited conversions_credited"),
    Timeline("an order before its click", of(CLICKED, (order(HOUR - INSTANT),)), (1, 0),
             "clicks_credited conversions_before_click"),
    Timeline("an order at the window's end counts", of(CLICKED, (order(49 * HOUR),)), (1, 1),
             f"{LATER_ORDER} conversions_credited"),
    Timeline("an order after the window", of(CLICKED, (order(49 * HOUR + INSTANT),)), (1, 0),
             f"{LATER_ORDER} conversions_after_window"),
    Timeline("a second click covers the order that the first does not",
             of((*CLICKED, click(2 * HOUR)), (order(50 * HOUR),)), (1, 1),
             "clicks_credited=2 conversions_from_other_days conversions_credited"),
    Timeline("a share is no order", of(CLICKED, (order(2 * HOUR, "share"),)), (1, 0),
             "clicks_credited conversions_other_type"),
    Timeline("a conversion without a type is no order", of(CLICKED, (order(2 * HOUR, None),)),
             (1, 0), "clicks_credited conversions_other_type"),
    Timeline("an order without a click", of((), (order(HOUR),)), (0, 0),
             "conversions_without_click"),
    Timeline("an order after a click that came too late",
             of((click(24 * HOUR + INSTANT),), (order(25 * HOUR),)), (0, 0),
             "clicks_after_window clicks_from_other_days conversions_without_click "
             "conversions_from_other_days"),
    Timeline("a repeated order counts once", of(CLICKED, 2 * (order(2 * HOUR),)), (1, 1),
             "clicks_credited conversions_credited conversions_repeated"),
    Timeline("an exact repeat is one impression, whatever files it lies in",
             of(CLICKED, (), *4 * (impression(),)), (1, 0),
             "clicks_credited impressions_repeated=3"),
    Timeline("the earliest of conflicting impressions wins",
             of((click(-HOUR),), (), impression(NOON, 1), impression(NOON - HOUR, 2),
                impression(NOON + HOUR, 3)),
             (1, 0), "clicks_credited impressions_conflicting=2", 2),
    Timeline("an impression filed under another day is none",
             of(CLICKED, (), impression(NOON + 24 * HOUR, filed=FIRST)), None,
             "impressions_misfiled clicks_without_impression"),
    Timeline("a click of an impression that nobody logged",
             Logs([], list(CLICKED), [order(2 * HOUR)]), None,
             "clicks_without_impression conversions_without_impression"),
    Timeline("the next day's own impression keeps its events",
             of((click(24 * HOUR),), (order(25 * HOUR),), impression(NOON + 24 * HOUR)), None, ""),
    Timeline("an impression, a click and an order without a time",
             Logs([replace(impression(filed=FIRST), event_time=None)],
                  [Row("", None, FIRST)], [Row("", None, FIRST, "order")]), None,
             "impressions_null_time clicks_null_time conversions_null_time"),
)


def laid_out(number: int) -> Logs:
    """A timeline's rows under its own id, each filed under its day unless it says otherwise."""
    def lies(row: Row) -> Row:
        at = row.event_time
        day = row.filed_day or (at.astimezone(ZONE).date() if at else None)
        return replace(row, impression_id=f"t{number}", filed_day=day)

    return Logs(*[[lies(row) for row in rows] for rows in TIMELINES[number].rows])


def all_logs() -> Logs:
    """All timelines side by side, and a row of each log without an id."""
    logs = [laid_out(number) for number in range(len(TIMELINES))]
    nameless = replace(impression(filed=FIRST), impression_id=None)
    logs.append(Logs([nameless], 2 * [nameless], 3 * [replace(nameless, type="order")]))
    return Logs(*[[row for rows in log for row in rows] for log in zip(*logs)])


def fates_of(text: str) -> Counter[str]:
    pairs = (fate.partition("=") for fate in text.split())
    return Counter({name: int(number or 1) for name, _, number in pairs})


@pytest.fixture(scope="module")
def found(
    spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory
) -> dict[date, tuple[Day, Labels]]:
    folder = tmp_path_factory.mktemp("timelines")
    return built(spark, all_logs(), folder, True, RULES, (FIRST, NEXT))


@pytest.mark.parametrize("number", range(len(TIMELINES)), ids=[t.title for t in TIMELINES])
def test_timeline(found: dict[date, tuple[Day, Labels]], number: int) -> None:
    timeline = TIMELINES[number]
    label = found[FIRST][1].get(sample_id(f"t{number}"))
    assert label == (timeline.label and (*timeline.label, 1 + timeline.value))
    fates = join(FIRST, *laid_out(number), RULES).counters
    rows = ("_in", "_out", "samples_clicked", "samples_converted")
    told = Counter({name: n for name, n in fates.items() if not name.endswith(rows)})
    assert told == fates_of(timeline.fates)


def test_every_fate_is_counted(found: dict[date, tuple[Day, Labels]]) -> None:
    """The timelines' fates add up to the day's counters, and they meet every one of them."""
    logs, day = all_logs(), found[FIRST][0]
    wanted = fates_of("impressions_null_id clicks_null_id=2 conversions_null_id=3")
    for name, rows in logs._asdict().items():
        wanted[f"{name}_in"] = sum(row.filed_day == FIRST for row in rows)
    for timeline in TIMELINES:
        wanted.update(fates_of(timeline.fates))
    labels = [timeline.label for timeline in TIMELINES if timeline.label]
    wanted["impressions_out"] = len(labels)
    wanted["samples_clicked"] = sum(clicked for clicked, _ in labels)
    wanted["samples_converted"] = sum(converted for _, converted in labels)
    assert Counter(day.counters) == wanted
    assert {name for name, n in day.counters.items() if not n} == {"samples_null_group"}


def test_a_day_leaves_its_neighbours_events_to_their_own_impressions(
    found: dict[date, tuple[Day, Labels]]
) -> None:
    number = [t.title for t in TIMELINES].index("the next day's own impression keeps its events")
    day, labels = found[NEXT]
    assert labels == {sample_id(f"t{number}"): (1, 1, 1)}
    assert day.counters["clicks_credited"] == day.counters["conversions_credited"] == 1
    # Events of the day before are in this day's files too: they find no impression here.
    assert Counter(day.counters) == join(NEXT, *all_logs(), RULES).counters
