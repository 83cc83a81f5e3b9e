"""What a label can become when more is known, by the rules alone: as the oracle has them, to which
builds are held.

Rows become known when they happen. Under most rules a label then only changes from 0 to 1; the
others are told by what can take a label back.
"""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories.raw_logs import Logs
from tests.oracles.join import join
from tests.oracles.log_rows import Row, Rules, start_of

DAY = date(2026, 3, 1)
ZONE = ZoneInfo("UTC")
START = start_of(DAY, ZONE)
TICK = timedelta(seconds=1)
WINDOWS = Rules(ZONE, 4 * TICK, 5 * TICK, ("order",))
BY_KEYS = WINDOWS._replace(clicks_by="keys", conversions_by="keys")
ONLY_RISING = {
    "by impression id, skewed clocks": WINDOWS._replace(max_skew=2 * TICK),
    "bursts": WINDOWS._replace(double_click=TICK, max_skew=TICK),
    "by click id": WINDOWS._replace(conversions_by="click_id", double_click=TICK, has_ids=True),
    "last of keys": BY_KEYS._replace(has_ids=True),
    "first of keys, skewed clocks": BY_KEYS._replace(is_first=True, max_skew=2 * TICK),
    "orders alone by keys": WINDOWS._replace(conversions_by="keys", num_conversion_keys=1),
}


def at(tick: float, name: str = "i", kind: str = "order", own_id: str | None = None,
       item: str = "a") -> Row:
    return Row(name, START + tick * TICK, DAY, kind, keys=("u", item), click_id=name,
               conversion_id=own_id)


def labels(logs: Logs, tick: int, rules: Rules) -> dict[str, tuple[int, int]]:
    samples = join(DAY, *logs, rules._replace(as_of=START + tick * TICK)).samples
    return {name: (sample.click, sample.conversion) for name, sample in samples.items()}


ticks, items = st.integers(0, 12), st.sampled_from("ab")
impressions = st.lists(st.builds(at, ticks, st.sampled_from("ijk"), item=items),
                       unique_by=lambda row: row.impression_id, min_size=1, max_size=3)
# Too few for a burst as long as a window.
clicks = st.lists(st.builds(at, ticks, st.sampled_from("ijk"), item=items), max_size=4)
orders = st.lists(st.builds(at, ticks, st.sampled_from("ijk"), item=items,
                            own_id=st.sampled_from(["v", "w", None])), max_size=3)


@pytest.mark.parametrize("rules", ONLY_RISING.values(), ids=ONLY_RISING)
@given(st.builds(Logs, impressions, clicks, orders), ticks, ticks)
def test_labels_only_rise(rules: Rules, logs: Logs, one: int, other: int) -> None:
    sooner, later = sorted((one, other))
    before, after = labels(logs, sooner, rules), labels(logs, later, rules)
    for name, (click, conversion) in before.items():
        assert after[name][0] >= click and after[name][1] >= conversion


SKEWED = BY_KEYS._replace(max_skew=2 * TICK)
IMPLYING = WINDOWS._replace(implies_click=True)
WATCHED = WINDOWS._replace(bots=(1, 60))
TWO = [at(0), at(3, "j")]


@pytest.mark.parametrize(
    "rules, logs, sooner, later, before, after",
    [
        (SKEWED, Logs(TWO, [at(2)], []), 2, 3, (1, 0), (0, 0)),
        (SKEWED._replace(num_conversion_keys=1),
         Logs([at(0), at(0, "j", item="b")], [at(1), at(4, item="b")], [at(3)]), 3, 4,
         (1, 1), (1, 0)),
        (IMPLYING, Logs([at(0)], [at(3)], [at(2)]), 2, 3, (1, 1), (1, 0)),
        (WATCHED, Logs([at(0)], [at(1), at(2)], []), 1, 2, (1, 0), (0, 0)),
        (BY_KEYS._replace(double_click=TICK),
         Logs([at(0, "h"), at(1.2), at(2.2, "j")], [at(1), at(2), at(3)], []), 2, 3,
         (1, 0), (0, 0)),
    ],
    ids=["an impression within the skew", "a click within the skew",
         "a click after the conversion that implied one", "clicks that make a bot",
         "a third impression within a burst"],
)
def test_what_can_take_a_label_back(
    rules: Rules, logs: Logs, sooner: int, later: int, before: tuple[int, int],
    after: tuple[int, int],
) -> None:
    assert labels(logs, sooner, rules)["i"] == before
    assert labels(logs, later, rules)["i"] == after
