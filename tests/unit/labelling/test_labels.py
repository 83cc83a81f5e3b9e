"""The label join of one file against an oracle, for logs in which everything happens at once."""

import random
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.labels import label, mixed
from tests.factories.built_samples import sample_id
from tests.factories.raw_logs import Logs
from tests.factories.wire_rows import MICROSECOND, wire_of
from tests.oracles.attribution import attribute, by_click_id
from tests.oracles.join import join
from tests.oracles.log_rows import Row, Rules, start_of

DAY = date(2026, 3, 1)
ZONE = ZoneInfo("UTC")
START = start_of(DAY, ZONE)
# Windows of a few ticks, so that chance meets every edge of them; two ticks are a second.
TICK = timedelta(milliseconds=500)
TICK_MICROS = TICK // MICROSECOND
RULES = Rules(ZONE, 3 * TICK, 4 * TICK, ("order", "lead"), repeat=3 * TICK)
PLAIN = CreditRules(
    click_window=3 * TICK_MICROS, conversion_window=4 * TICK_MICROS, repeat_span=3 * TICK_MICROS
)

identities = st.sampled_from(["a", "b", "c"])
instants = st.integers(0, 14).map(lambda n: START + n * TICK)
filed_days = st.sampled_from([DAY, DAY, DAY + timedelta(days=1)])
impressions = st.builds(
    Row, identities, instants, st.just(DAY),
    content=st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from(["u", None])),
)
before_the_day = st.builds(
    Row, identities, st.integers(-3, -1).map(lambda n: START + n * TICK),
    st.just(DAY - timedelta(days=1)),
)
click_ids = st.sampled_from(["c", "d", "e"])
clicks = st.builds(Row, identities, instants, filed_days, click_id=click_ids)
conversions = st.builds(
    Row, identities, instants, filed_days, st.sampled_from(["order", "lead"]),
    value=st.sampled_from([0.0, 2.5, 4.0, -1.0, None]), click_id=click_ids,
)
all_logs = st.builds(
    Logs, st.lists(impressions | before_the_day, max_size=8), st.lists(clicks, max_size=8),
    st.lists(conversions, max_size=8),
).filter(any)


ways = st.sampled_from(["drop", "imply_click", "click_id"])


@given(all_logs, st.randoms(use_true_random=False), st.sampled_from([0, 1, 2]),
       st.sampled_from([1, 4]), ways, st.booleans(), st.booleans())
def test_a_file_is_labelled_and_counted_as_the_oracle_does(
    logs: Logs, chance: random.Random, max_skew: int, conversion_window: int, way: str,
    has_value: bool, has_bursts: bool,
) -> None:
    assert_as_the_oracle_does(
        logs, chance, max_skew, conversion_window, way, has_value, has_bursts
    )


# Two impressions of one instant, and so many events about it that most of them meet.
SHOWN = [Row(name, START + TICK, DAY, content=(0.0, "u")) for name in "ab"]
soon = st.integers(0, 6).map(lambda n: START + n * TICK)
dense_logs = st.builds(
    Logs, st.just(SHOWN),
    st.lists(st.builds(Row, st.sampled_from("aab"), soon, st.just(DAY), click_id=click_ids),
             min_size=1, max_size=5),
    st.lists(st.builds(Row, st.sampled_from("aab"), soon, st.just(DAY), st.just("order"),
                       value=st.sampled_from([1.0, 2.0, None]), click_id=click_ids),
             min_size=1, max_size=4),
)


# After the window of one click and further before the next than clocks may differ.
BETWEEN = Logs(
    SHOWN, [Row("a", START + TICK, DAY), Row("a", START + 4 * TICK, DAY)],
    [Row("a", START + 3 * TICK, DAY, "order")],
)


@example(BETWEEN, random.Random(0), 0, 1, "drop", False)
@given(dense_logs, st.randoms(use_true_random=False), st.sampled_from([0, 1, 2]),
       st.sampled_from([1, 2]), ways, st.booleans())
def test_clicks_get_the_credit_that_the_oracle_gives_them(
    logs: Logs, chance: random.Random, max_skew: int, conversion_window: int, way: str,
    has_bursts: bool,
) -> None:
    assert_as_the_oracle_does(logs, chance, max_skew, conversion_window, way, True, has_bursts)


def assert_as_the_oracle_does(
    logs: Logs, chance: random.Random, max_skew: int, conversion_window: int, way: str,
    has_value: bool, has_bursts: bool,
) -> None:
    implies_click, names_click = way == "imply_click", way == "click_id"
    wanted_rules = RULES._replace(
        conversion_window=conversion_window * TICK, max_skew=max_skew * TICK,
        implies_click=implies_click, has_value=has_value,
        conversions_by="click_id" if names_click else "impression_id",
        double_click=TICK if has_bursts else None,
    )
    made = attribute(*logs, wanted_rules)
    clicks = [row for row, reason in made.clicks if reason is None]
    attributed = logs._replace(clicks=clicks)
    if names_click:
        bearers = [*clicks, *[row for row, _ in made.namesakes]]
        named = [by_click_id(row, bearers) for row in logs.conversions]
        attributed = attributed._replace(conversions=named)
    order = list(range(sum(map(len, attributed))))
    chance.shuffle(order)
    wire = wire_of(attributed, DAY, order, has_value, names_click or has_bursts)
    rules = replace(
        PLAIN, conversion_window=conversion_window * TICK_MICROS,
        max_skew=max_skew * TICK_MICROS, implies_click=implies_click, has_value=has_value,
        names_click=names_click, has_bursts=has_bursts,
    )
    found = label(wire, rules, seed=1)
    wanted = join(DAY, *logs, wanted_rules)
    by_id = {sample_id(name): sample for name, sample in wanted.samples.items()}
    rows = zip(
        wire.sample_id_N[found.row_K].tolist(), found.click_K.tolist(), found.conversion_K.tolist(),
        next(wire.ids(found.row_K)).tolist(),
        [0.0] * len(found.row_K) if found.value_K is None else found.value_K.tolist(),
        found.click_delay_s_K.tolist(), found.conversion_delay_s_K.tolist(),
    )
    labels = {}
    for identity, click, conversion, value_id, worth, *delays in rows:
        assert identity not in labels and conversion <= click
        labels[identity] = (click, conversion, worth, *delays)
        assert value_id - 1 in {value for value, _ in by_id[identity].contents}
    assert labels == {
        name: (s.click, s.conversion, s.value, s.click_delay_s, s.conversion_delay_s)
        for name, s in by_id.items()
    }
    told = ("_in", "samples_null_group", "samples_immature")
    fates = Counter({n: count for n, count in wanted.counters.items() if not n.endswith(told)})
    # These took no part before the file was made.
    fates["clicks_double"] -= sum(
        reason == "double" and row.filed_day == DAY for row, reason in made.clicks
    )
    assert found.counters == fates


@given(all_logs, st.randoms(use_true_random=False))
def test_no_order_of_rows_changes_what_is_kept(logs: Logs, chance: random.Random) -> None:
    order = list(range(sum(map(len, logs))))
    chance.shuffle(order)
    kept = []
    for wire in (wire_of(logs, DAY, None, True), wire_of(logs, DAY, order, True)):
        found = label(wire, replace(PLAIN, has_value=True), seed=1)
        row_K = found.row_K
        contents = [column.tolist() for column in wire.contents(row_K)]
        assert found.value_K is not None
        labels = [found.click_K.tolist(), found.value_K.tobytes()]
        kept.append((wire.time_N[row_K].tolist(), contents, labels))
    assert kept[0] == kept[1]


def test_times_at_the_ends_of_all_time_do_no_harm() -> None:
    far = [START.replace(year=1, month=1, day=2), START.replace(year=9999)]
    logs = Logs(
        [Row("a", START, DAY)],
        [Row("a", START, DAY), *[Row("a", time, DAY) for time in far]],
        [Row("a", time, DAY, "order") for time in far],
    )
    found = label(wire_of(logs, DAY), PLAIN, seed=1)
    assert found.counters == join(DAY, *logs, RULES).counters - Counter(
        {"impressions_in": 1, "clicks_in": 3, "conversions_in": 2, "samples_null_group": 1}
    )


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, -5])
def test_mixing_loses_no_number(seed: int) -> None:
    numbers = np.concatenate([np.arange(-500, 500), np.iinfo(np.int64).min + np.arange(500)])
    assert len(np.unique(mixed(numbers, seed))) == len(numbers)
    assert not np.array_equal(mixed(numbers, seed), mixed(numbers, seed + 1))
