"""Worked timelines: what happens to one impression, and what it comes to. No tests."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tests.factories.raw_logs import INSTANT, Logs
from tests.oracles.log_rows import Row, Rules, start_of

ZONE = ZoneInfo("Asia/Shanghai")
FIRST, NEXT = date(2026, 3, 1), date(2026, 3, 2)
RULES = Rules(ZONE, timedelta(hours=24), timedelta(hours=48), ("order",))
NOON = start_of(FIRST, ZONE) + timedelta(hours=12)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


class Timeline(NamedTuple):
    """What happened to one impression, and what it comes to."""

    title: str
    rows: Logs
    label: tuple[int, int] | None
    """click, conversion of the first day's sample; None if there is none."""
    fates: str
    """The first day's counters apart from rows in and out, `name` or `name=n`."""
    value: float = 0.0
    """Of the feature."""
    worth: float = 0.0
    """What its conversions are worth."""
    delays: tuple[int, int] | None = None
    """Seconds to the click, and from the click to the conversion; None: as they may be."""
    other: tuple[int, int] | None = None
    """click, conversion of the sample of the timeline's second impression."""


class Story(NamedTuple):
    """Timelines that one build tells, and its rules."""

    rules: Rules
    timelines: tuple[Timeline, ...]
    days: tuple[date, ...] = (FIRST,)
    nameless: str = "impressions_null_id=2 clicks_null_id=2 conversions_null_id=3"
    """What two, two and three rows of the logs without ids and keys come to."""


def impression(at: datetime = NOON, value: float = 0.0, filed: date | None = None) -> Row:
    return Row("", at, filed, content=(value, "u"))


def click(after: timedelta, filed: date | None = None) -> Row:
    return Row("", NOON + after, filed)


def order(
    after: timedelta, kind: str | None = "order", value: float | None = None,
    own_id: str | None = None,
) -> Row:
    return Row("", NOON + after, None, type=kind, value=value, conversion_id=own_id)


def of(clicks: tuple[Row, ...] = (), orders: tuple[Row, ...] = (), *shown: Row) -> Logs:
    return Logs(list(shown or (impression(),)), list(clicks), list(orders))


CLICKED = (click(HOUR),)
LATER_ORDER = "clicks_credited conversions_from_other_days"
PLAIN = (
    Timeline("nothing happens", of(), (0, 0), "", delays=(-1, -1)),
    Timeline("a click and an order count", of(CLICKED, (order(2 * HOUR),)), (1, 1),
             "clicks_credited conversions_credited", delays=(3_600, 3_600)),
    Timeline("a click in the instant of its impression counts", of((click(0 * HOUR),)), (1, 0),
             "clicks_credited", delays=(0, -1)),
    Timeline("delays are cut to whole seconds",
             of((click(2 * SECOND - INSTANT),), (order(5 * SECOND),)), (1, 1),
             "clicks_credited conversions_credited", delays=(1, 3)),
    Timeline("delays are those of the first click, and of the first order from its own click",
             of((click(HOUR), click(3 * HOUR)), (order(4 * HOUR), order(6 * HOUR))), (1, 1),
             "clicks_credited=2 conversions_credited=2", delays=(3_600, 3_600)),
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
    Timeline("an impression filed under another day is none, be it of the next one's first instant",
             of(CLICKED, (), impression(NOON + 12 * HOUR, filed=FIRST)), None,
             "impressions_misfiled clicks_without_impression"),
    Timeline("an impression that was logged again after midnight is that of the day before",
             of((click(-11 * HOUR),), (), impression(NOON - 12.5 * HOUR),
                impression(NOON - 11.5 * HOUR)), None,
             "impressions_shown_before clicks_without_impression"),
    Timeline("be it at midnight, an hour later",
             of((), (), impression(NOON - 13 * HOUR), impression(NOON - 12 * HOUR)), None,
             "impressions_shown_before"),
    Timeline("more than an hour later it is another one",
             of((click(-11 * HOUR),), (), impression(NOON - 12.5 * HOUR),
                impression(NOON - 11.5 * HOUR + INSTANT)), (1, 0), "clicks_credited"),
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


SECOND = timedelta(seconds=1)
BOUGHT = (order(2 * HOUR, value=9.5),)
GENEROUS = (
    Timeline("a click at most the skew before its impression counts", of((click(-5 * SECOND),)),
             (1, 0), "clicks_skewed"),
    Timeline("an instant earlier it does not", of((click(-5 * SECOND - INSTANT),)), (0, 0),
             "clicks_before_impression"),
    Timeline("a click of the day before, at an impression soon after midnight",
             of((click(-12 * HOUR - 2 * SECOND),), (order(-12 * HOUR - 7 * SECOND, value=2.0),),
                impression(NOON - 12 * HOUR)),
             (1, 1), "clicks_skewed clicks_from_other_days conversions_skewed "
             "conversions_from_other_days", worth=2.0),
    Timeline("an order at most the skew before its click counts",
             of(CLICKED, (order(HOUR - 5 * SECOND, value=3.0),)), (1, 1),
             "clicks_credited conversions_skewed", worth=3.0),
    Timeline("an order an instant earlier", of(CLICKED, (order(HOUR - 5 * SECOND - INSTANT),)),
             (1, 0), "clicks_credited conversions_before_click"),
    Timeline("what an impression's orders are worth adds up",
             of(CLICKED, (*BOUGHT, order(3 * HOUR, value=0.5))), (1, 1),
             "clicks_credited conversions_credited=2", worth=10.0),
    Timeline("an order that is not credited is worth nothing",
             of(CLICKED, (*BOUGHT, order(HOUR / 2, value=100.0))), (1, 1),
             "clicks_credited conversions_credited conversions_before_click", worth=9.5),
    Timeline("of orders that differ in nothing but their value the dearest counts",
             of(CLICKED, (*BOUGHT, *2 * (order(2 * HOUR, value=9.0),), order(2 * HOUR))), (1, 1),
             "clicks_credited conversions_credited conversions_conflicting=2 conversions_repeated",
             worth=9.5),
    Timeline("an order of unknown value is worth nothing, and counted",
             of(CLICKED, (order(2 * HOUR), order(3 * HOUR, value=1.5))), (1, 1),
             "clicks_credited conversions_credited=2 samples_unknown_value", worth=1.5),
    Timeline("an order in order with a click is no skewed one of the next",
             of((click(HOUR), click(2 * HOUR + 3 * SECOND)), (order(2 * HOUR, value=1.0),)), (1, 1),
             "clicks_credited=2 conversions_credited", worth=1.0, delays=(3_600, 3_600)),
    Timeline("of several clicks after an order the next one counts",
             of((click(HOUR + 2 * SECOND), click(HOUR + 4 * SECOND)), (order(HOUR, value=1.0),)),
             (1, 1), "clicks_credited=2 conversions_skewed", worth=1.0, delays=(3_602, 0)),
    Timeline("lines of an order at one instant are told apart by their ids",
             of(CLICKED, tuple(order(2 * HOUR, value=1.5, own_id=own) for own in "vwv")), (1, 1),
             "clicks_credited conversions_credited=2 conversions_repeated", worth=3.0),
    Timeline("of rows of one order's id the earliest counts",
             of(CLICKED, (order(3 * HOUR, value=9.0, own_id="v"),
                          order(2 * HOUR, value=1.5, own_id="v"))), (1, 1),
             "clicks_credited conversions_credited conversions_conflicting", worth=1.5,
             delays=(3_600, 3_600)),
    Timeline("of those at one instant the dearest",
             of(CLICKED, (order(2 * HOUR, value=1.5, own_id="v"),
                          order(2 * HOUR, value=9.0, own_id="v"))), (1, 1),
             "clicks_credited conversions_credited conversions_conflicting", worth=9.0),
    Timeline("an order without a click implies one", of((), BOUGHT), (1, 1),
             "conversions_implying_click samples_click_implied", worth=9.5, delays=(-1, -1)),
    Timeline("as late as a click in its window could have led to it",
             of((), (order(72 * HOUR), order(72 * HOUR + INSTANT))), (1, 1),
             "conversions_implying_click conversions_without_click conversions_from_other_days=2 "
             "samples_click_implied samples_unknown_value"),
    Timeline("an order before its impression implies nothing",
             of((), (order(-5 * SECOND - INSTANT),)), (0, 0), "conversions_without_click"),
    Timeline("a click out of its window is none, and an order implies another",
             of((click(25 * HOUR),), (order(26 * HOUR, value=9.5),)), (1, 1),
             "clicks_after_window clicks_from_other_days conversions_implying_click "
             "conversions_from_other_days samples_click_implied", worth=9.5, delays=(-1, -1)),
    Timeline("so is a click before its impression",
             of((click(-6 * SECOND),), BOUGHT), (1, 1), "clicks_before_impression "
             "conversions_implying_click samples_click_implied", worth=9.5, delays=(-1, -1)),
    Timeline("where there is a click an order does not imply another",
             of((click(HOUR),), (order(HOUR / 2),)), (1, 0),
             "clicks_credited conversions_before_click"),
)
PLAIN_STORIES = {
    "by impression id": Story(RULES, PLAIN, (FIRST, NEXT)),
    "with skew, values and implied clicks": Story(
        RULES._replace(max_skew=5 * SECOND, has_value=True, has_ids=True, implies_click=True),
        GENEROUS,
    ),
}
