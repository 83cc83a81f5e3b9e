"""A stream's file: its samples as ever, then each late positive once more as it looked before."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.sample_file import TALLY, SampleFileWriter
from tests.factories.raw_logs import Logs
from tests.factories.wire_rows import MICROSECOND, wire_of
from tests.oracles.log_rows import Row
from tests.unit.labelling.test_ripeness import DAY, HOUR, RULES, START, VALUE, all_logs

TICKS = CreditRules(RULES.click_window // MICROSECOND, RULES.conversion_window // MICROSECOND)


def written(
    logs: Logs, after_s: int | None, rules: CreditRules = TICKS
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows of one file in their order, and its tally."""
    writer = SampleFileWriter([VALUE], rules, 0, None, fake_negative_after_s=after_s)
    file = pq.ParquetFile(pa.BufferReader(writer.written(wire_of(logs, DAY))))
    return file.read().to_pylist(), json.loads(file.schema_arrow.metadata[TALLY.encode()])


@given(all_logs, st.integers(0, 3))
def test_samples_are_those_of_any_other_file_and_late_positives_follow_them(
    logs: Logs, after_s: int
) -> None:
    plain, counted = written(logs, None)
    rows, tally = written(logs, after_s)
    samples, extra = rows[: len(plain)], rows[len(plain) :]
    assert samples == [row | {"fake_negative": 0} for row in plain]
    late = [row for row in plain if row["conversion"] and row["conversion_delay_s"] >= after_s]
    assert extra == [
        row | {
            "conversion": 0, "conversion_delay_s": -1, "fake_negative": 1,
            "observed_s": min(row["click_delay_s"] + after_s, 3),  # windows of 1.5 and 2 s
        }
        for row in late
    ]
    assert tally == counted | {"samples_fake_negative": len(late)}


@pytest.mark.parametrize(
    "after_hours, num_extra", [(0, 3), (1, 2), (25, 2), (26, 1), (47, 1), (48, 0)]
)
def test_a_conversion_is_late_from_that_delay_on(after_hours: int, num_extra: int) -> None:
    """Conversions 25 and 47 hours after their clicks, and one that implies its click."""
    hours = {"implying": 0, "b": 25, "c": 47}
    logs = Logs(
        [Row(name, START, DAY, content=(0.0, "u")) for name in hours],
        [Row(name, START + HOUR, DAY) for name in ("b", "c")],
        [Row(name, START + HOUR * (1 + after), DAY, "order", value=2.5)
         for name, after in hours.items()],
    )
    rules = CreditRules(24 * HOUR // MICROSECOND, 48 * HOUR // MICROSECOND, implies_click=True)
    rows, _ = written(logs, after_hours * 3_600, rules)
    extra = rows[3:]
    assert len(extra) == num_extra
    assert all((row["click"], row["conversion"], row["mature"]) == (1, 0, 1) for row in extra)
