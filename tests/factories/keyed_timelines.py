"""Worked timelines of events that carry no impression_id: by keys (who and what), by click_id."""

from datetime import date, timedelta

from tests.factories.raw_logs import INSTANT
from tests.factories.timelines import FIRST, HOUR, NEXT, NOON, RULES, SECOND, Story, Timeline, of
from tests.oracles.log_rows import Row

MINUTE = timedelta(minutes=1)
A, B = "", "b"


def shown(after: timedelta = timedelta(), name: str = A, item: str | None = "w") -> Row:
    return Row(name, NOON + after, None, content=(0.0, "u"), keys=("", item))


def touch(
    after: timedelta, filed: date | None = None, item: str | None = "w", name: str = A,
    click_id: str = "c",
) -> Row:
    return Row(name, NOON + after, filed, keys=("", item), click_id=click_id)


def buy(
    after: timedelta, filed: date | None = None, click_id: str | None = "c", item: str = "w",
    own_id: str | None = None,
) -> Row:
    return Row(
        "", NOON + after, filed, type="order", keys=("", item), click_id=click_id,
        conversion_id=own_id,
    )


TWO_SHOWN = (shown(), shown(30 * MINUTE, B))
FROM_LATER = "clicks_from_other_days"
V_FROM_LATER = "conversions_from_other_days"
LAST_OF_KEYS = (
    Timeline("a click finds the impression of its keys, an order the click",
             of((touch(HOUR),), (buy(2 * HOUR),), shown()), (1, 1),
             "clicks_credited conversions_credited"),
    Timeline("the last impression before the click has it", of((touch(HOUR),), (), *TWO_SHOWN),
             (0, 0), "clicks_credited", other=(1, 0)),
    Timeline("an impression after the click does not", of((touch(10 * MINUTE),), (), *TWO_SHOWN),
             (1, 0), "clicks_credited", other=(0, 0)),
    Timeline("of two at one instant the greater id has it",
             of((touch(HOUR),), (), shown(), shown(name=B)), (0, 0), "clicks_credited",
             other=(1, 0)),
    Timeline("of one id's rows the earliest counts, here too",
             of((touch(HOUR),), (), shown(), shown(40 * MINUTE), shown(30 * MINUTE, B)), (0, 0),
             "impressions_conflicting clicks_credited",
             other=(1, 0)),
    Timeline("the window's end counts", of((touch(24 * HOUR),), (), shown()), (1, 0),
             f"clicks_credited {FROM_LATER}"),
    Timeline("an instant later there is no impression",
             of((touch(24 * HOUR + INSTANT),), (), shown()), (0, 0), ""),
    Timeline("a click before any impression", of((touch(-MINUTE),), (), shown()), (0, 0),
             "clicks_without_impression"),
    Timeline("keys that differ in one column are other keys",
             of((touch(HOUR, item="x"),), (buy(2 * HOUR),), shown()), (0, 0),
             "clicks_without_impression conversions_without_impression"),
    Timeline("an impression whose first row lacks a key is found by no click",
             of((touch(HOUR),), (), shown(item=None), shown(10 * MINUTE)), (0, 0),
             "impressions_conflicting clicks_without_impression"),
    Timeline("one that was logged again after midnight is found where it was first",
             of((touch(-11 * HOUR),), (), shown(-12 * HOUR - MINUTE), shown(-11.5 * HOUR),
                shown(-11.6 * HOUR, B)), None,
             "impressions_shown_before clicks_credited", other=(1, 0)),
    Timeline("of rows of one instant one that has its keys is found",
             of((touch(HOUR),), (), shown(item=None), shown()), (1, 0),
             "impressions_repeated clicks_credited"),
    Timeline("of two clicks at one instant that of the greater item has the order",
             of((touch(HOUR, item="y"), touch(HOUR, item="x")), (buy(2 * HOUR, item="z"),),
                shown(item="y"), shown(name=B, item="x")), (1, 1),
             "clicks_credited=2 conversions_credited", other=(1, 0)),
    Timeline("a click without one of its keys", of((touch(HOUR, item=None),), (), shown()), (0, 0),
             "clicks_null_id"),
    Timeline("the last click before the order has it",
             of((touch(10 * MINUTE), touch(HOUR)), (buy(2 * HOUR),), *TWO_SHOWN), (1, 0),
             "clicks_credited=2 conversions_credited", other=(1, 1)),
    Timeline("a click after the order does not",
             of((touch(10 * MINUTE), touch(HOUR)), (buy(20 * MINUTE),), *TWO_SHOWN), (1, 1),
             "clicks_credited=2 conversions_credited", other=(1, 0)),
    Timeline("the last click has it even if it counts for no impression",
             of((touch(HOUR), touch(30 * HOUR)), (buy(31 * HOUR),), shown()), (1, 0),
             "clicks_credited"),
    Timeline("an order after the window has no click",
             of((touch(HOUR),), (buy(49 * HOUR + INSTANT),), shown()), (1, 0), "clicks_credited"),
    Timeline("an order of no click and its day's", of((), (buy(HOUR),), shown()), (0, 0),
             "conversions_without_impression"),
    Timeline("a click or an order in the folder of a day before its own",
             of((touch(12 * HOUR, FIRST),), (buy(12 * HOUR, FIRST),), shown()), (0, 0),
             "clicks_misfiled conversions_misfiled"),
    Timeline("a click in the folder of a day that its window does not reach",
             of((touch(HOUR, FIRST + 3 * (NEXT - FIRST)),), (), shown()), (0, 0), ""),
    Timeline("four clicks in a minute are a bot's, in two minutes they are not",
             of((*[touch(HOUR + n * 10 * SECOND) for n in range(4)],
                 *[touch(2 * HOUR + n * 20 * SECOND) for n in range(4)]), (), shown()), (1, 0),
             "clicks_of_bots=4 clicks_credited=4"),
    Timeline("clicks that were logged twice are no bot's",
             of((*2 * (touch(HOUR),), *2 * (touch(HOUR + 10 * SECOND),)), (), shown()), (1, 0),
             "clicks_credited=2 clicks_double=2"),
    Timeline("one conversion that finds the clicks of two impressions counts for the first",
             of((touch(10 * MINUTE), touch(HOUR)),
                (buy(20 * MINUTE, own_id="v"), buy(2 * HOUR, own_id="v")),
                *TWO_SHOWN), (1, 1),
             "clicks_credited=2 conversions_credited conversions_conflicting", other=(1, 0)),
    Timeline("a click a second after another is the same",
             of((touch(HOUR), touch(HOUR + SECOND), touch(HOUR + 2 * SECOND + INSTANT)), (),
                shown()),
             (1, 0), "clicks_credited=2 clicks_double"),
    Timeline("a double click that hits two impressions is a click of both",
             of((touch(30 * MINUTE - SECOND), touch(30 * MINUTE)), (buy(HOUR),), *TWO_SHOWN),
             (1, 0), "clicks_credited=2 conversions_credited", other=(1, 1)),
    Timeline("one that began before there was an impression counts by its last click",
             of((touch(-SECOND / 2), touch(SECOND / 4), touch(SECOND / 2)), (buy(HOUR),), shown()),
             (1, 1), "clicks_without_impression clicks_double clicks_credited "
             "conversions_credited", delays=(0, 3_599)),
)
FIRST_OF_KEYS = (
    Timeline("the first impression has the click", of((touch(HOUR),), (), *TWO_SHOWN), (1, 0),
             "clicks_credited", other=(0, 0)),
    Timeline("the first one in whose window it falls",
             of((touch(24 * HOUR + INSTANT),), (), *TWO_SHOWN), (0, 0),
             f"clicks_credited {FROM_LATER}", other=(1, 0)),
    Timeline("of two at one instant the lesser id has it",
             of((touch(HOUR),), (), shown(name=B), shown()), (1, 0), "clicks_credited",
             other=(0, 0)),
    Timeline("the first click has the order, of yesterday's impression too",
             of((touch(-13 * HOUR), touch(HOUR)), (buy(2 * HOUR),), shown(-30 * HOUR, B), shown()),
             (1, 0), "clicks_credited conversions_without_impression"),
    Timeline("the first click in whose window it falls",
             of((touch(-13 * HOUR), touch(HOUR)), (buy(36 * HOUR),), shown(-30 * HOUR, B),
                shown(30 * MINUTE)),
             (1, 1), f"clicks_credited conversions_credited {V_FROM_LATER}"),
)
BY_CLICK_ID = (
    Timeline("an order has the click of its id",
             of((touch(HOUR), touch(2 * HOUR, click_id="d")), (buy(3 * HOUR),), shown()), (1, 1),
             "clicks_credited=2 conversions_credited"),
    Timeline("that click's window alone decides",
             of((touch(HOUR), touch(20 * HOUR, click_id="d")), (buy(50 * HOUR),), shown()), (1, 0),
             f"clicks_credited=2 {FROM_LATER} {V_FROM_LATER} conversions_after_window"),
    Timeline("an order before its click",
             of((touch(HOUR), touch(2 * HOUR, click_id="d")), (buy(1.5 * HOUR, click_id="d"),),
                shown()),
             (1, 0), "clicks_credited=2 conversions_before_click"),
    Timeline("an order whose click does not count, beside one that does",
             of((touch(HOUR), touch(-HOUR, click_id="d")), (buy(2 * HOUR, click_id="d"),),
                shown()),
             (1, 0), "clicks_credited clicks_before_impression conversions_without_click"),
    Timeline("an order whose click came too late, beside one that covers it",
             of((touch(HOUR), touch(25 * HOUR, click_id="d")), (buy(26 * HOUR, click_id="d"),),
                shown()),
             (1, 0), f"clicks_credited clicks_after_window {FROM_LATER} conversions_without_click "
             f"{V_FROM_LATER}"),
    Timeline("an order of a click that nobody logged",
             of((touch(HOUR),), (buy(2 * HOUR, click_id="z"),), shown()), (1, 0),
             "clicks_credited conversions_without_impression"),
    Timeline("an order without a click id", of((touch(HOUR),), (buy(2 * HOUR, click_id=None),),
                                               shown()),
             (1, 0), "clicks_credited conversions_null_id"),
    Timeline("of two clicks of one id the earlier is meant",
             of((touch(HOUR), touch(10 * MINUTE, name=B)), (buy(2 * HOUR),), shown(),
                shown(name=B)),
             (1, 0), "clicks_credited=2 conversions_credited", other=(1, 1)),
    Timeline("orders of two clicks at one instant are two",
             of((touch(HOUR), touch(HOUR + 2 * SECOND, click_id="d")),
                (buy(2 * HOUR), buy(2 * HOUR, click_id="d")), shown()), (1, 1),
             "clicks_credited=2 conversions_credited=2"),
    Timeline("one conversion that names the clicks of two impressions is the first one's",
             of((touch(HOUR), touch(2 * HOUR, name=B, click_id="d")),
                (buy(4 * HOUR, click_id="d", own_id="v"), buy(3 * HOUR, own_id="v"),
                 buy(3 * HOUR, own_id="v")), shown(), shown(name=B)), (1, 1),
             "clicks_credited=2 conversions_credited conversions_conflicting conversions_repeated",
             other=(1, 0)),
    Timeline("and so if it comes back days later, where both windows reach",
             of((touch(HOUR), touch(23 * HOUR, name=B, click_id="d")),
                (buy(2 * HOUR, own_id="v"), buy(60 * HOUR, click_id="d", own_id="v")), shown(),
                shown(name=B)), (1, 1),
             f"clicks_credited=2 {FROM_LATER} conversions_credited", other=(1, 0)),
    Timeline("or was there on the day before",
             of((touch(HOUR),), (buy(-13 * HOUR, own_id="v"), buy(2 * HOUR, own_id="v")), shown()),
             (1, 0), "clicks_credited conversions_conflicting"),
    Timeline("further back it is another one",
             of((touch(HOUR),), (buy(-85 * HOUR, own_id="v"), buy(2 * HOUR, own_id="v")), shown()),
             (1, 1), "clicks_credited conversions_credited"),
    Timeline("an order of a double click is one of the click that stays",
             of((touch(HOUR), touch(HOUR + SECOND, click_id="d"),
                 touch(HOUR + 2 * SECOND, click_id="e")),
                (buy(2 * HOUR, click_id="d"), buy(3 * HOUR, click_id="e")), shown()), (1, 1),
             "clicks_credited clicks_double=2 conversions_credited=2", delays=(3_600, 3_600)),
    Timeline("wherever both are filed",
             of((touch(13 * HOUR), touch(13 * HOUR + SECOND, click_id="d")),
                (buy(14 * HOUR, click_id="d"),), shown()), (1, 1),
             f"clicks_credited clicks_double {FROM_LATER}=2 conversions_credited {V_FROM_LATER}"),
    Timeline("a double click that began before its impression counts by its last click, "
             "whichever of them an order names",
             of((touch(-SECOND), touch(0 * SECOND, click_id="d"), touch(SECOND, click_id="e")),
                (buy(HOUR), buy(2 * HOUR, click_id="d"), buy(3 * HOUR, click_id="e")), shown()),
             (1, 1), "clicks_before_impression clicks_double clicks_credited "
             "conversions_credited=3", delays=(1, 3_599)),
    Timeline("one that ends after its window counts by its first click",
             of((touch(24 * HOUR), touch(24 * HOUR + SECOND, click_id="d")),
                (buy(25 * HOUR, click_id="d"),), shown()), (1, 1),
             f"clicks_credited clicks_after_window {FROM_LATER}=2 conversions_credited "
             f"{V_FROM_LATER}"),
    Timeline("clicks further apart are no double click",
             of((touch(-SECOND), touch(SECOND / 2, click_id="d")), (buy(HOUR),), shown()), (1, 0),
             "clicks_before_impression clicks_credited conversions_without_click"),
)
BY_KEYS_AND_CLICK_ID = (
    Timeline("an order finds the click of its id, and that the impression of its keys",
             of((touch(HOUR),), (buy(2 * HOUR, item="z"),), *TWO_SHOWN), (0, 0),
             "clicks_credited conversions_credited", other=(1, 1)),
    Timeline("an order of a double click that hit two impressions has that of the click it names",
             of((touch(30 * MINUTE - SECOND), touch(30 * MINUTE, click_id="d")),
                (buy(2 * HOUR, click_id="d"),), *TWO_SHOWN), (1, 0),
             "clicks_credited=2 conversions_credited", other=(1, 1)),
    Timeline("and that of the last one if it names one between them",
             of((touch(30 * MINUTE - 2 * SECOND), touch(30 * MINUTE - SECOND, click_id="d"),
                 touch(30 * MINUTE, click_id="e")),
                (buy(2 * HOUR, click_id="d"),), *TWO_SHOWN), (1, 0),
             "clicks_credited=2 clicks_double conversions_credited", other=(1, 1)),
    Timeline("so too if the first one was before any impression",
             of((touch(-SECOND), touch(0 * SECOND, click_id="d"), touch(SECOND, click_id="e")),
                (buy(2 * HOUR, click_id="d"), buy(3 * HOUR)), shown()), (1, 1),
             "clicks_without_impression clicks_double clicks_credited conversions_credited "
             "conversions_without_impression", delays=(1, 7_199)),
    Timeline("and that of the first one if the last was after the window",
             of((touch(24 * HOUR - SECOND), touch(24 * HOUR, click_id="d"),
                 touch(24 * HOUR + SECOND, click_id="e")),
                (buy(26 * HOUR, click_id="d"),), shown()), (1, 1),
             f"clicks_credited {FROM_LATER} conversions_credited {V_FROM_LATER}"),
    Timeline("of two clicks of one id one inside a burst is as early as its lost first one",
             of((touch(-SECOND), touch(0 * SECOND, click_id="d"), touch(SECOND, click_id="e"),
                 touch(SECOND / 2, item="x", click_id="d")),
                (buy(2 * HOUR, click_id="d"),), shown(), shown(name=B, item="x")), (1, 1),
             "clicks_without_impression clicks_double clicks_credited=2 conversions_credited",
             other=(1, 0)),
    Timeline("and after one of that instant that stands alone",
             of((touch(HOUR), touch(HOUR + SECOND, click_id="d"),
                 touch(HOUR + 2 * SECOND, click_id="e"), touch(HOUR, item="x", click_id="d")),
                (buy(2 * HOUR, click_id="d"),), shown(), shown(name=B, item="x")), (1, 0),
             "clicks_credited=2 clicks_double=2 conversions_credited", other=(1, 1)),
)
FIRST_OF_KEYS_AND_CLICK_ID = (
    Timeline("where the first impression wins, one between them has that of the first click",
             of((touch(24 * HOUR - SECOND), touch(24 * HOUR, click_id="d"),
                 touch(24 * HOUR + SECOND, click_id="e")),
                (buy(26 * HOUR, click_id="d"),), *TWO_SHOWN), (1, 1),
             f"clicks_credited=2 {FROM_LATER}=2 conversions_credited {V_FROM_LATER}",
             other=(1, 0)),
    Timeline("and that of the last one if the first was before any impression",
             of((touch(-SECOND), touch(0 * SECOND, click_id="d"), touch(SECOND, click_id="e")),
                (buy(2 * HOUR, click_id="d"),), shown()), (1, 1),
             "clicks_without_impression clicks_double clicks_credited conversions_credited",
             delays=(1, 7_199)),
)
BY_ID_AND_KEYS = (
    Timeline("an order finds the last click of its keys, and that says its impression",
             of((touch(HOUR), touch(90 * MINUTE, name=B)), (buy(2 * HOUR),), *TWO_SHOWN), (1, 0),
             "clicks_credited=2 conversions_credited", other=(1, 1)),
    Timeline("of two clicks at one instant that of the greater impression has it",
             of((touch(HOUR), touch(HOUR, name=B)), (buy(2 * HOUR),), *TWO_SHOWN), (1, 0),
             "clicks_credited=2 conversions_credited", other=(1, 1)),
    Timeline("a click in the folder of a day before its own counts, and has no order",
             of((touch(12 * HOUR, FIRST),), (buy(13 * HOUR),), shown()), (1, 0),
             "clicks_credited clicks_untimely"),
    Timeline("what arrives as late as the logs may be is looked for",
             of((touch(HOUR, FIRST + 2 * (NEXT - FIRST)),),
                (buy(2 * HOUR, FIRST + 4 * (NEXT - FIRST)),), shown()), (1, 1),
             f"clicks_credited {FROM_LATER} conversions_credited {V_FROM_LATER}"),
    Timeline("what arrives a day later is not",
             of((touch(HOUR, FIRST + 3 * (NEXT - FIRST)), touch(2 * HOUR)),
                (buy(3 * HOUR, FIRST + 5 * (NEXT - FIRST)),), shown()), (1, 0), "clicks_credited"),
)
KEYED_STORIES = {
    "by the last of equal keys": Story(
        RULES._replace(
            clicks_by="keys", conversions_by="keys", num_conversion_keys=1, bots=(3, 60),
            double_click=SECOND, has_ids=True,
        ), LAST_OF_KEYS,
    ),
    "by the first of equal keys": Story(
        RULES._replace(clicks_by="keys", conversions_by="keys", is_first=True), FIRST_OF_KEYS
    ),
    "by click id": Story(
        RULES._replace(conversions_by="click_id", double_click=SECOND, has_ids=True), BY_CLICK_ID
    ),
    "by keys, orders by click id": Story(
        RULES._replace(clicks_by="keys", conversions_by="click_id", double_click=SECOND),
        BY_KEYS_AND_CLICK_ID,
    ),
    "by the first of equal keys, orders by click id": Story(
        RULES._replace(
            clicks_by="keys", conversions_by="click_id", is_first=True, double_click=SECOND
        ), FIRST_OF_KEYS_AND_CLICK_ID,
    ),
    "by impression id, orders by keys": Story(
        RULES._replace(conversions_by="keys", lateness=24 * HOUR), BY_ID_AND_KEYS
    ),
}
