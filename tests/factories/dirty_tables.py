"""Logs of any size with everything that goes wrong in real ones, made as whole columns.

It knows no rule of the join: what a row should come to is for oracles to say.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tests.oracles.log_rows import Rules, start_of

Array = npt.NDArray[Any]
Table = dict[str, Array]

SECOND = 1_000_000
HOUR = 3_600 * SECOND
ONE_DAY = timedelta(days=1)
KINDS = np.array(["order", "lead", "share", ""], object)
# Their sums are exact in a float32 whatever the order; NaN stands for none.
REVENUES = np.array([0.0, 1.0, 9.5, 64.0, -2.25, np.nan])


def write_dirty_tables(
    folder: Path, num_impressions: int, days: Sequence[date], rules: Rules, seed: int
) -> int:
    """Writes the three logs, partitioned by day, and says how many rows they have in all."""
    rng = np.random.default_rng(seed)
    shown = _impressions(rng, num_impressions, days, rules)
    clicked = _clicks(rng, shown, rules)
    converted = _conversions(rng, clicked, shown, rules)
    num_rows = 0
    for log, rows in (("impressions", shown), ("clicks", clicked), ("conversions", converted)):
        num_rows += _write(folder / log, _spoilt(rng, rows, rules), days)
    return num_rows


def _impressions(
    rng: np.random.Generator, num_rows: int, days: Sequence[date], rules: Rules
) -> Table:
    begins = np.array([_micros(day, rules) for day in (*days, days[-1] + ONE_DAY)])
    day_N = rng.integers(0, len(days), num_rows)
    # Whole seconds: chance meets ties and the ends of windows.
    length_N = (begins[1:] - begins[:-1])[day_N] // SECOND
    time_N = begins[day_N] + (rng.random(num_rows) * length_N).astype(np.int64) * SECOND
    # One in fifty is shown within the hour after midnight.
    is_night = rng.random(num_rows) < 0.02
    time_N = np.where(
        is_night, begins[day_N] + rng.integers(0, 3_600, num_rows) * SECOND, time_N
    )
    number_N = np.arange(num_rows)
    rows = {
        "impression": number_N, "time": time_N,
        # Some meet many impressions, one meets a hundredth of all.
        "who": np.where(rng.random(num_rows) < 0.01, 0,
                        rng.integers(1, max(2, num_rows // 20), num_rows)),
        "what": rng.integers(0, 5, num_rows),
        "value": rng.integers(0, 4, num_rows),
        "user": np.where(number_N % 50 == 0, -1, number_N % 997),
        "click_id": np.full(num_rows, -1), "kind": np.full(num_rows, 3),
        "order": np.full(num_rows, -1),
        "revenue": np.full(num_rows, np.nan),
    }
    again = rng.random(num_rows) < 0.05
    repeated = {name: column[again].copy() for name, column in rows.items()}
    is_conflicting = rng.random(again.sum()) < 0.5
    moved = rng.choice([0, SECOND, -SECOND, 20 * HOUR, -HOUR], again.sum())
    repeated["time"] += np.where(is_conflicting, moved, 0)
    repeated["value"] = np.where(
        is_conflicting, rng.integers(0, 4, again.sum()), repeated["value"]
    )
    return _joined(rows, repeated)


def _clicks(rng: np.random.Generator, shown: Table, rules: Rules) -> Table:
    """Clicks of some impressions, of none, and a bot's."""
    cause = np.flatnonzero(rng.random(len(shown["time"])) < 0.35)
    cause = np.concatenate([cause, rng.choice(cause, len(cause) // 4)])
    rows = {name: column[cause].copy() for name, column in shown.items()}
    rows["time"] += _delays(rng, len(cause), rules.click_window, rules)
    rows["click_id"] = np.where(
        rng.random(len(cause)) < 0.98, np.arange(len(cause)), rng.integers(0, 500, len(cause))
    )
    is_orphan = rng.random(len(cause)) < 0.03
    rows["impression"] = np.where(is_orphan, -2 - np.arange(len(cause)), rows["impression"])
    rows["who"] = np.where(is_orphan, 10**6 + np.arange(len(cause)), rows["who"])
    # One who clicks every second for an hour, and double clicks of all others.
    bot = {name: column[:3_600].copy() for name, column in rows.items()}
    bot["who"][:] = 7
    bot["time"] = int(np.median(shown["time"])) + np.arange(len(bot["time"])) * SECOND
    double = rng.random(len(cause)) < 0.04
    doubled = {name: column[double].copy() for name, column in rows.items()}
    doubled["time"] += rng.integers(0, 3, double.sum()) * (SECOND // 2)
    doubled["click_id"] = np.where(
        rng.random(double.sum()) < 0.5, doubled["click_id"], 10**6 + np.arange(double.sum())
    )
    clicked = _joined(_joined(rows, bot), doubled)
    # Of those who click next to one another some do it in one instant.
    by_who = np.argsort(clicked["who"], kind="stable")
    tied = by_who[1:][rng.random(len(by_who) - 1) < 0.02]
    clicked["time"][tied] = clicked["time"][by_who[np.searchsorted(
        clicked["who"][by_who], clicked["who"][tied]
    )]]
    return clicked


def _conversions(
    rng: np.random.Generator, clicked: Table, shown: Table, rules: Rules
) -> Table:
    """Conversions of some clicks, and of impressions that nobody clicked."""
    cause = np.flatnonzero(rng.random(len(clicked["time"])) < 0.3)
    unclicked = np.flatnonzero(rng.random(len(shown["time"])) < 0.03)
    rows = _joined(
        {name: column[cause].copy() for name, column in clicked.items()},
        {name: column[unclicked].copy() for name, column in shown.items()},
    )
    num_rows = len(rows["time"])
    rows["time"] += _delays(rng, num_rows, rules.conversion_window, rules)
    rows["kind"] = rng.choice(4, num_rows, p=[0.6, 0.2, 0.15, 0.05])
    rows["revenue"] = rng.choice(REVENUES, num_rows)
    # Two of an impression, some of which are those of others.
    own = 2 * np.abs(rows["impression"]) + rng.integers(0, 2, num_rows)
    shared = rng.integers(0, max(1, num_rows // 20), num_rows)
    chance = rng.random(num_rows)
    rows["order"] = np.where(chance < 0.2, -1, np.where(chance < 0.3, shared, own))
    again = rng.random(num_rows) < 0.1
    repeated = {name: column[again].copy() for name, column in rows.items()}
    repeated["revenue"] = np.where(
        rng.random(again.sum()) < 0.5, rng.choice(REVENUES, again.sum()), repeated["revenue"]
    )
    return _joined(rows, repeated)


def _delays(
    rng: np.random.Generator, num_rows: int, window: timedelta, rules: Rules
) -> Array:
    """Most inside the window, some at its ends and the skew's, early, late, or an instant off."""
    span, skew = window // timedelta(microseconds=1), rules.max_skew // timedelta(microseconds=1)
    inside = (rng.exponential(0.15, num_rows) * span).astype(np.int64) // SECOND * SECOND
    edges = rng.choice([0, span, -skew, -1, span + 1, -skew - 1], num_rows)
    chance = rng.random(num_rows)
    delay = np.where(chance < 0.04, edges, inside)
    delay = np.where((0.04 <= chance) & (chance < 0.06), -inside, delay)
    return np.where((0.06 <= chance) & (chance < 0.08), span + inside, delay)


def _spoilt(rng: np.random.Generator, rows: Table, rules: Rules) -> Table:
    """With the day of its folder, some wrong, and some rows without ids, keys or time."""
    num_rows = len(rows["time"])
    moved = np.where(rng.random(num_rows) < 0.01, rng.choice([-1, 1, 2], num_rows), 0)
    first = date(2025, 1, 1)
    starts = np.array([_micros(first + n * ONE_DAY, rules) for n in range(400)])
    day_N = np.searchsorted(starts, rows["time"], side="right") - 1 + moved
    has_id, has_time = rng.random((2, num_rows)) > 0.01
    return rows | {"day": np.array(first, "M8[D]") + day_N, "has_id": has_id, "has_time": has_time}


def _write(folder: Path, rows: Table, days: Sequence[date]) -> int:
    num_rows = 0
    for day in np.unique(rows["day"]):
        part = {name: column[rows["day"] == day] for name, column in rows.items()}
        below = folder / f"dt={day}"
        below.mkdir(parents=True)
        pq.write_table(_table(part), below / "0.parquet")
        num_rows += len(part["day"])
    return num_rows


def _table(rows: Table) -> pa.Table:
    def texts(name: str, letter: str, exists: Array) -> pa.Array:
        return pa.array([f"{letter}{n}" for n in rows[name].tolist()], pa.string(), mask=~exists)

    kind = KINDS[rows["kind"]]
    has_keys = rows["has_id"] | (rows["impression"] % 3 == 0)
    return pa.table({
        "impression_id": texts("impression", "i", rows["has_id"]),
        "event_time": pa.array(rows["time"], pa.timestamp("us", "UTC"), mask=~rows["has_time"]),
        "type": pa.array(kind, pa.string(), mask=kind == ""),
        "value": pa.array(rows["value"].astype(float)),
        "user_id": texts("user", "u", rows["user"] >= 0),
        "revenue": pa.array(rows["revenue"], mask=np.isnan(rows["revenue"])),
        "visitor": texts("who", "p", has_keys),
        "item": texts("what", "q", rows["has_id"]),
        "click_id": texts("click_id", "c", rows["has_id"] & (rows["click_id"] >= 0)),
        "order_id": texts("order", "o", rows["order"] >= 0),
    })


def _joined(first: Table, second: Table) -> Table:
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def _micros(day: date, rules: Rules) -> int:
    return int(start_of(day, rules.zone).timestamp()) * SECOND
