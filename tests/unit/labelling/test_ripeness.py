"""What a file says of logs as they lay at an instant, and what a later look at them may change."""

import json
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.features import BucketEncoding, Group, Kind, NumericFeature
from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.ripeness import Observed
from esmm_dist.labelling.sample_file import FIRST_TIME, LAST_TIME, TALLY, SampleFileWriter
from tests.factories.built_samples import sample_id
from tests.factories.raw_logs import Logs, visible_rows
from tests.factories.wire_rows import MICROSECOND, micros, wire_of
from tests.oracles.join import Sample, join
from tests.oracles.log_rows import Row, Rules, start_of

DAY = date(2026, 3, 1)
ZONE = ZoneInfo("UTC")
START = start_of(DAY, ZONE)
# Windows of a few ticks, so that chance meets every edge of them; two ticks are a second.
TICK = timedelta(milliseconds=500)
RULES = Rules(ZONE, 3 * TICK, 4 * TICK, ("order",))
VALUE = NumericFeature(
    name="value", kind=Kind.NUMERIC, group=Group.ITEM, encode=BucketEncoding(boundaries=(1.0,))
)
TIMES = ("click", "conversion", "click_delay_s", "conversion_delay_s", "observed_s", "mature")

identities = st.sampled_from(["a", "b"])
instants = st.integers(0, 14).map(lambda n: START + n * TICK)
ingest_times = st.none() | instants
impressions = st.builds(
    Row, identities, instants, st.just(DAY), ingest_time=ingest_times,
    content=st.tuples(st.sampled_from([0.0, 1.0]), st.just("u")),
)
clicks = st.builds(Row, identities, instants, st.just(DAY), ingest_time=ingest_times)
conversions = st.builds(
    Row, identities, instants, st.just(DAY), st.just("order"), ingest_time=ingest_times
)
all_logs = st.builds(
    Logs, st.lists(impressions, min_size=1, max_size=5), st.lists(clicks, max_size=6),
    st.lists(conversions, max_size=6),
)


def written(logs: Logs, as_of: datetime | None) -> tuple[dict[int, dict[str, Any]], Counter[str]]:
    """The rows of one file by their sample id, and its tally apart from times."""
    rules = CreditRules(RULES.click_window // MICROSECOND, RULES.conversion_window // MICROSECOND)
    writer = SampleFileWriter([VALUE], rules, 0, None if as_of is None else micros(as_of))
    file = pq.ParquetFile(pa.BufferReader(writer.written(wire_of(logs, DAY))))
    rows = file.read().to_pylist()
    tally = json.loads(file.schema_arrow.metadata[TALLY.encode()])
    counters = Counter({n: v for n, v in tally.items() if n not in (FIRST_TIME, LAST_TIME)})
    return {row["sample_id"]: row for row in rows}, counters


def times_of(sample: Sample) -> dict[str, int]:
    return {name: getattr(sample, name) for name in TIMES}


@given(all_logs, instants)
def test_a_file_as_of_an_instant_holds_what_the_oracle_could_know_then(
    logs: Logs, as_of: datetime
) -> None:
    seen = visible_rows(logs, as_of)
    if not any(seen):
        return
    rows, counters = written(seen, as_of)
    wanted = join(DAY, *logs, RULES._replace(as_of=as_of))
    assert {identity: {name: row[name] for name in TIMES} for identity, row in rows.items()} == {
        sample_id(name): times_of(sample) for name, sample in wanted.samples.items()
    }
    fates = {n: v for n, v in wanted.counters.items() if not n.endswith("_in")}
    assert counters == Counter(fates)


def by_event_time(rows: list[Row]) -> list[Row]:
    return [Row(row.impression_id, row.event_time, row.filed_day, row.type) for row in rows]


@given(all_logs, instants)
def test_what_is_mature_stays_and_what_is_positive_is_never_taken_back(
    logs: Logs, as_of: datetime
) -> None:
    """As long as rows become known when they happen."""
    logs = Logs(*map(by_event_time, logs))
    seen = visible_rows(logs, as_of)
    if not any(seen):
        return
    (then, _), (later, _) = written(seen, as_of), written(logs, None)
    for identity, row in then.items():
        final = later[identity]
        if row["mature"]:
            assert row == final
        for label, delay in (("click", "click_delay_s"), ("conversion", "conversion_delay_s")):
            assert row[label] <= final[label]
            assert not row[label] or row[delay] == final[delay]


@pytest.mark.parametrize(
    "after_impression, seconds, mature",
    [(-1, 0, 0), (0, 0, 0), (999_999, 0, 0), (1_000_000, 1, 0), (6_999_999, 6, 0),
     (7_000_000, 7, 1), (10**15, 7, 1), (None, 7, 1)],
)
def test_an_impression_is_mature_once_both_windows_have_passed(
    after_impression: int | None, seconds: int, mature: int
) -> None:
    shown = micros(START)
    as_of = None if after_impression is None else shown + after_impression
    rules = CreditRules(3_000_000, 4_000_000)
    found = Observed.at(as_of, 0, np.array([shown]), rules)
    assert (found.seconds_K.tolist(), found.mature_K.tolist()) == ([seconds], [mature])
    assert found.seconds_K.dtype.name == "int32" and found.mature_K.dtype.name == "int8"


@pytest.mark.parametrize("after_impression, mature", [(8_999_999, 0), (9_000_000, 1), (None, 1)])
def test_where_rows_may_come_late_an_impression_is_mature_later(
    after_impression: int | None, mature: int
) -> None:
    shown = micros(START)
    as_of = None if after_impression is None else shown + after_impression
    found = Observed.at(as_of, 2_000_000, np.array([shown]), CreditRules(3_000_000, 4_000_000))
    assert (found.seconds_K.tolist(), found.mature_K.tolist()) == ([7], [mature])


# The worked timelines of docs/samples.md: hours after an impression at noon.
HOUR = timedelta(hours=1)
IN_HOURS = CreditRules(24 * HOUR // MICROSECOND, 48 * HOUR // MICROSECOND)


@pytest.mark.parametrize(
    "as_of_hours, conversion_ingested, told",
    [
        (0.5, None, (0, 0, -1, -1, 1_800, 0)),
        (1, None, (1, 0, 3_600, -1, 3_600, 0)),
        (26, None, (1, 1, 3_600, 90_000, 93_600, 0)),
        (26, 27, (1, 0, 3_600, -1, 93_600, 0)),
        (72, None, (1, 1, 3_600, 90_000, 259_200, 1)),
        (-1 / 60, None, None),
    ],
)
def test_worked_timelines(
    as_of_hours: float, conversion_ingested: float | None, told: tuple[int, ...] | None
) -> None:
    noon = START + 12 * HOUR
    ingested = None if conversion_ingested is None else noon + conversion_ingested * HOUR
    as_of = noon + as_of_hours * HOUR
    logs = visible_rows(Logs(
        [Row("a", noon, DAY, content=(0.0, "u"))], [Row("a", noon + HOUR, DAY)],
        [Row("a", noon + 26 * HOUR, DAY, "order", ingest_time=ingested)],
    ), as_of)
    if told is None:
        assert not any(logs)
        return
    writer = SampleFileWriter([VALUE], IN_HOURS, 0, micros(as_of))
    (row,) = pq.read_table(pa.BufferReader(writer.written(wire_of(logs, DAY)))).to_pylist()
    assert tuple(row[name] for name in TIMES) == told
