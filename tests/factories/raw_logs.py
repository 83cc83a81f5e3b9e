"""Raw logs as Parquet files, random dirty ones among them, and their config.

It knows no rule of the join: what a row should come to is for oracles and tests to say.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.sections import Config
from tests.oracles.log_rows import Row, Rules, day_of, is_visible, start_of

INSTANT = timedelta(microseconds=1)
TYPES = ("order", "order", "lead", "share", None)
# Their sums are exact in a float32 whatever the order.
REVENUES = (0.0, 1.0, 9.5, 1024.0, -2.25, None)
VALUES = pa.schema(
    [
        ("impression_id", pa.string()),
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("type", pa.string()),
        ("value", pa.float64()),
        ("user_id", pa.string()),
        ("revenue", pa.float64()),
        ("ingest_time", pa.timestamp("us", tz="UTC")),
        ("visitor", pa.string()),
        ("item", pa.string()),
        ("click_id", pa.string()),
        ("order_id", pa.string()),
    ]
)


class Logs(NamedTuple):
    """The rows of the three logs."""

    impressions: list[Row]
    clicks: list[Row]
    conversions: list[Row]


def write_logs(
    logs: Logs, folder: Path, is_partitioned: bool, num_files: int, seed: int
) -> None:
    """Writes each log, its rows dealt out to files (of each day) in an order of the seed's."""
    rng = random.Random(seed)
    for name, rows in logs._asdict().items():
        part: dict[tuple[date | None, int], list[Row]] = {}
        for row in rng.sample(rows, len(rows)):
            day = row.filed_day if is_partitioned else None
            part.setdefault((day, rng.randrange(num_files)), []).append(row)
        for (day, number), some in part.items():
            below = folder / name / (f"dt={day}" if is_partitioned else "")
            below.mkdir(parents=True, exist_ok=True)
            pq.write_table(_table(some), below / f"{number}.parquet")


def _table(rows: Sequence[Row]) -> pa.Table:
    columns = {
        "impression_id": [row.impression_id for row in rows],
        "event_time": [row.event_time for row in rows],
        "type": [row.type for row in rows],
        "value": [row.content[0] for row in rows],
        "user_id": [row.content[1] for row in rows],
        "revenue": [row.value for row in rows],
        "ingest_time": [row.ingest_time for row in rows],
        "visitor": [row.keys[0] for row in rows],
        "item": [row.keys[1] for row in rows],
        "click_id": [row.click_id for row in rows],
        "order_id": [row.conversion_id for row in rows],
    }
    return pa.table(columns, schema=VALUES)


def config_of(
    folder: Path, is_partitioned: bool, rules: Rules, first: date, last: date
) -> Config:
    """A config of the logs below `folder`, which end when they end; the feature's id is 1 + its
    value."""
    days = {"first": first, "last": last}
    partition = {"partition": "dt"} if is_partitioned else {}
    logs = {
        name: {
            "path": str(folder / name), **partition, "empty_days": "allow",
            **({"ingest_time": "ingest_time"} if name in rules.ingested else {}),
        }
        for name in ("impressions", "clicks", "conversions")
    }
    hours = timedelta(hours=1)
    test_day = last + timedelta(days=1)
    return Config.model_validate(
        {
            "name": "join",
            "logs": {
                "day_timezone": rules.zone.key,
                "max_clock_skew_seconds": rules.max_skew.total_seconds(),
                **logs,
                "clicks": {
                    **logs["clicks"],
                    **_attribution(rules, rules.clicks_by, "impression", 2),
                    "bots": rules.bots and {
                        "key": "visitor", "max_clicks": rules.bots[0],
                        "interval_seconds": rules.bots[1],
                    },
                    "double_click_seconds":
                        rules.double_click and rules.double_click.total_seconds(),
                },
                "conversions": {
                    **_attribution(rules, rules.conversions_by, "click", rules.num_conversion_keys),
                    **logs["conversions"], "types": rules.types,
                    "conversion_id": "order_id" if rules.has_ids else None,
                    "repeat_hours":
                        rules.conversion_repeat / hours if rules.conversion_repeat else None,
                    "value": "revenue" if rules.has_value else None,
                    "without_click": "imply_click" if rules.implies_click else "drop",
                },
            },
            "samples": {
                "path": str(folder / "samples"), "days": days, "fit_days": days,
                "click_window_hours": rules.click_window / hours,
                "conversion_window_hours": rules.conversion_window / hours,
                "lateness_hours": rules.lateness / hours,
                "rows_per_file": 200,
                "as_of": rules.as_of,
            },
            "features": [
                {"name": "value", "group": "item", "kind": "numeric",
                 "encode": {"boundaries": [1, 2, 3]}},
            ],
            "train": {"days": days},
            "evaluate": {"days": {"first": test_day, "last": test_day}},
        }
    )


def visible_rows(logs: Logs, as_of: datetime) -> Logs:
    """The logs as they lay at an instant."""
    return Logs(*[[row for row in rows if is_visible(row, as_of)] for rows in logs])


def _attribution(
    rules: Rules, attribute_by: str, cause: str, num_keys: int
) -> dict[str, object]:
    if attribute_by != "keys":
        return {"attribute_by": attribute_by}
    credit = f"{'first' if rules.is_first else 'last'}_{cause}"
    return {"attribute_by": "keys", "keys": ["visitor", "item"][:num_keys], "credit": credit}


def dirty_logs(
    seed: int, num_ids: int, days: Sequence[date], rules: Rules, is_partitioned: bool
) -> Logs:
    """Impressions of the days with all that goes wrong in logs, times at the edges of windows."""
    rng = random.Random(seed)
    logs = Logs([], [], [])
    for number in range(num_ids):
        of_one = _of_one_impression(rng, f"i{number}", rng.choice(days), rules)
        for rows, more in zip(logs, of_one):
            rows.extend(more)
    _tie(rng, logs.clicks)
    filed = [[_filed(rng, row, rules.zone, is_partitioned) for row in rows] for rows in logs]
    return Logs(*[rows + more for rows, more in zip(filed, _again(days, rules))])


def _again(days: Sequence[date], rules: Rules) -> Logs:
    """Impressions of before midnight that are logged again after it, and clicks of them."""
    logs = Logs([], [], [])
    for day in days:
        midnight = start_of(day, rules.zone)
        for number, gap in enumerate([rules.repeat / 2, rules.repeat, rules.repeat + INSTANT]):
            row = Row(f"{day}a{number}", midnight + gap / 2, day, content=(1.0, "u"),
                      keys=(f"p{number}", "q0"))
            earlier = midnight - (gap - gap / 2)
            logs.impressions.extend([row, replace(
                row, event_time=earlier, filed_day=day_of(earlier, rules.zone)
            )])
            logs.clicks.append(replace(row, event_time=midnight + gap, click_id=f"{day}c{number}"))
    return logs


def _tie(rng: random.Random, clicks: list[Row]) -> None:
    """Lets one click in ten lie in the instant of another one of the same person."""
    places: dict[str | None, list[int]] = {}
    for place, row in enumerate(clicks):
        places.setdefault(row.keys[0], []).append(place)
    for of_one in places.values():
        for place in rng.sample(of_one, len(of_one) // 10):
            time = clicks[rng.choice(of_one)].event_time
            clicks[place] = replace(clicks[place], event_time=time)


def ingested(logs: Logs, seed: int, names: Sequence[str]) -> Logs:
    """The same rows; those of the logs named became known soon, or late, or one does not know."""
    rng = random.Random(seed)

    def at(row: Row) -> datetime | None:
        assert row.filed_day is not None
        time = row.event_time or start_of(row.filed_day, ZoneInfo("UTC"))
        delay = rng.choice([timedelta(), -INSTANT, INSTANT, timedelta(hours=30)])
        return None if rng.random() < 0.2 else time + delay * rng.choice([1, 1, rng.random()])

    return Logs(*[
        [replace(row, ingest_time=at(row)) for row in rows] if name in names else rows
        for name, rows in logs._asdict().items()
    ])


def _of_one_impression(
    rng: random.Random, name: str, day: date, rules: Rules
) -> tuple[list[Row], list[Row], list[Row]]:
    zone = rules.zone
    start, end = start_of(day, zone), start_of(day + timedelta(days=1), zone)
    edges = (start, end - INSTANT, start - INSTANT)
    time = rng.choice(edges) if rng.random() < 0.1 else start + (end - start) * rng.random()
    # Few enough that impressions, clicks and conversions of several meet in one pair of keys.
    keys = (f"p{rng.randrange(30)}", f"q{rng.randrange(4)}")
    content = (float(rng.randrange(4)), rng.choice(["u", "v", None]))
    first = Row(name, time, day, content=content, keys=keys)
    impressions = [first] * (rng.random() > 0.05)
    while rng.random() < 0.2:
        other = time + rng.choice([timedelta(), INSTANT, -INSTANT, timedelta(hours=20)])
        value = float(rng.randrange(4))
        impressions.append(
            rng.choice([first, replace(
                first, event_time=other, content=(value, first.content[1]),
                keys=rng.choice([keys, (keys[0], "q0")]),
            )])
        )
    clicks = [
        Row(name, at, None, keys=keys, click_id=f"{name}c{rng.choice((number, number, 0))}")
        for number, at in enumerate(_near(rng, time, rules, rng.choice((0, 1, 1, 3))))
    ]
    conversions = [
        Row(name, at, None, type=rng.choice(TYPES), value=rng.choice(REVENUES), keys=keys,
            click_id=cause.click_id or f"{name}c0",
            # Some of them are those of conversions of other impressions.
            conversion_id=rng.choice([f"{name}v0", f"{name}v1", f"v{rng.randrange(150)}", None]))
        for cause in (first, *clicks)
        if cause.event_time is not None
        for at in _near(rng, cause.event_time, rules, rng.choice((0, 0, 1, 3)), is_click=False)
    ]
    return impressions, clicks, conversions


def _near(
    rng: random.Random, time: datetime, rules: Rules, most: int, is_click: bool = True
) -> Iterator[datetime]:
    """Up to `most` instants on, beside, inside and far from the edges of a cause's window."""
    window = rules.click_window if is_click else rules.conversion_window
    for _ in range(rng.randint(0, most)):
        at = time + rng.choice(
            [timedelta(), -INSTANT, INSTANT, window, window + INSTANT, window - INSTANT,
             window * rng.random(), window * rng.random(), -window * rng.random(), window * 3,
             -rules.max_skew, -rules.max_skew - INSTANT]
        )
        yield at
        if rng.random() < 0.15:
            yield at


def _filed(rng: random.Random, row: Row, zone: ZoneInfo, is_partitioned: bool) -> Row:
    """The row as it lies in the log: sometimes without id or time, in the wrong folder."""
    assert row.event_time is not None
    filed_day = row.filed_day or day_of(row.event_time, zone)
    if not is_partitioned:
        filed_day = day_of(row.event_time, zone)
    elif rng.random() < 0.03:
        filed_day += timedelta(days=rng.choice((-1, 1, 2)))
    chance = rng.random()
    if chance < 0.02:
        nothing = rng.choice([(None, "q1"), (row.keys[0], None), (None, None)])
        return replace(
            row, impression_id=None, keys=nothing, click_id=None, filed_day=filed_day
        )
    if chance < 0.04:
        return replace(row, event_time=None, filed_day=filed_day if is_partitioned else None)
    return replace(row, filed_day=filed_day)
