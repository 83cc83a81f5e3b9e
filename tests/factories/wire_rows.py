"""Rows of the wire made from plain ones, as Spark would pack them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import xxhash

from esmm_dist.labelling.marks import MARK_BITS, Mark
from esmm_dist.labelling.wire import Wire
from tests.factories.built_samples import sample_id
from tests.factories.raw_logs import Logs
from tests.oracles.log_rows import Row

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(time: datetime) -> int:
    """Since 1970."""
    return (time - EPOCH) // MICROSECOND


def wire_of(
    logs: Logs, day: date, order: Sequence[int] | None = None, has_value: bool = False,
    has_click_time: bool = False,
) -> Wire:
    """One file with all rows of some logs, none of which filing would drop; impressions of other
    days are those of before it.

    Args:
        order: of all rows, impressions first; as they stand if None.
        has_click_time: whether conversions carry the time of their click, or the last clicks of
            bursts that of the first.
    """
    rows = [
        _impression(row) if row.filed_day == day
        else _event(row, day, Mark.IMPRESSION, Mark.IMPRESSION_BEFORE)
        for row in logs.impressions
    ]
    rows += [_event(row, day, Mark.CLICK, Mark.CLICK_ELSEWHERE) for row in logs.clicks]
    rows += [
        _event(row, day, Mark.CONVERSION, Mark.CONVERSION_ELSEWHERE, _hashed(row.type))
        for row in logs.conversions
    ]
    columns = list(zip(*[rows[n] for n in order or range(len(rows))]))
    names = ["sample_id", "time", "key", "marks", "pair_0"]
    arrays = [pa.array(np.array(column, np.int64)) for column in columns]
    arrays[3] = arrays[3].cast(pa.int32())
    of_events = {}
    if has_value:
        values = [row.value for some in logs for row in some]
        of_events["value"] = [float("nan") if value is None else value for value in values]
    if has_click_time:
        clicked = [row.click_time for some in logs for row in some]
        of_events["click_time"] = [0 if time is None else micros(time) for time in clicked]
    for name, column in of_events.items():
        names.append(name)
        arrays.append(pa.array(np.array(column)[list(order or range(len(rows)))]))
    return Wire([pa.RecordBatch.from_arrays(arrays, names)])


def _impression(row: Row) -> tuple[int, ...]:
    assert row.impression_id is not None and row.event_time is not None
    value, user = row.content
    marks = Mark.IMPRESSION + ((user is None) << MARK_BITS)
    pair = 1 + int(value) << 32
    return sample_id(row.impression_id), micros(row.event_time), _hashed(user), marks, pair


def _event(row: Row, day: date, own: Mark, later: Mark, key: int = 0) -> tuple[int, ...]:
    assert row.event_time is not None
    mark = own if row.filed_day == day else later
    identity = sample_id(row.impression_id or "of nobody")
    return identity, micros(row.event_time), key, mark, 0


def _hashed(text: str | None) -> int:
    return 0 if text is None else int(xxhash.xxh64_intdigest(text.encode())) >> 1
