"""What goes wrong in logs: rows added to a block's clean ones, each kind counted as it is put in.

Clean rows stay as they are; only late events change their folder and the time of their arrival.
Each kind draws from a stream of its own, so that one kind's share does not move another's rows.
Counts have the names of the builder's counters where it has one for them (docs/samples.md).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.random import Generator

from esmm_dist.simulation.delays import HOUR, MICROSECONDS
from esmm_dist.simulation.identifiers import NUM_SPARE_DIGITS, impression_ids, sample_ids
from esmm_dist.simulation.outcomes import BLOCK_ROWS, MAX_ROWS_OF_DAY, Block
from esmm_dist.simulation.streams import Integers, Mask, Purpose, stream
from esmm_dist.simulation.tables import (
    BLOCK_ROW,
    CLICK_ID,
    EVENT_TIME,
    FILED_TIME,
    IMPRESSION_ID,
    INGEST_TIME,
    USER_ID,
    Logs,
    instants,
)
from esmm_dist.simulation.world import World

LOGS = ("impressions", "clicks", "conversions")
LONGEST_CONFLICT = HOUR
LONGEST_STRAY = HOUR
BOT_BURST = 600 * MICROSECONDS
# A day's ids come from one of eight ranges; clean impressions have the first.
RANGE_OF_IDS = MAX_ROWS_OF_DAY // 8
BOT_RANGE, CLICK_ORPHAN_RANGE, CONVERSION_ORPHAN_RANGE = 1, 2, 3


@dataclass(frozen=True)
class Soiled:
    """A block's logs with their dirt, and what was put in."""

    logs: Logs
    counts: Counter[str]


class _Dirt:
    """The dirt of one block."""

    def __init__(self, world: World, block: Block, logs: Logs, end_of_day: int) -> None:
        self.world, self.block, self.end_of_day = world, block, end_of_day
        self.declared = world.simulation.dirt
        self.clean = {log: getattr(logs, log) for log in LOGS}
        self.added: dict[str, list[pa.Table]] = {log: [] for log in LOGS}
        self.counts: Counter[str] = Counter()

    def rng(self, purpose: Purpose) -> Generator:
        """The block's own stream of one kind of dirt."""
        day = self.world.days[self.block.day_number]
        return stream(self.world.simulation.seed, purpose, day.toordinal(), self.block.block)

    def chosen(self, log: str, share: float, rng: Generator, among: Mask | None = None) -> pa.Table:
        """Clean rows of a log, each with the probability `share`."""
        is_chosen_N = rng.random(self.clean[log].num_rows) < share
        if among is not None:
            is_chosen_N &= among
        return self.clean[log].take(pa.array(np.flatnonzero(is_chosen_N)))

    def add(self, log: str, fate: str, rows: pa.Table) -> None:
        """Puts rows into a log and counts them."""
        self.counts[f"{log}_{fate}"] += rows.num_rows
        self.added[log].append(rows)

    def new_ids(self, which: int, count: int) -> Integers:
        """Ids that no clean impression has."""
        first = self.world.days[self.block.day_number].toordinal() * MAX_ROWS_OF_DAY
        first += which * RANGE_OF_IDS + self.block.block * BLOCK_ROWS
        return impression_ids(self.world.simulation.seed, first + np.arange(count))


def soil(world: World, block: Block, logs: Logs, end_of_day: int) -> Soiled:
    """Adds the declared dirt to a block's logs.

    Args:
        end_of_day: of the impressions' day, in microseconds.
    """
    dirt = _Dirt(world, block, logs, end_of_day)
    if dirt.declared.late:
        _late(dirt)
    if dirt.declared.duplicates:
        rng = dirt.rng(Purpose.DUPLICATES)
        for log in LOGS:
            dirt.add(log, "repeated", dirt.chosen(log, dirt.declared.duplicates, rng))
    if dirt.declared.conflicts:
        _conflicts(dirt)
    if dirt.declared.orphans:
        _orphans(dirt)
        _strays(dirt)
    if dirt.declared.skewed:
        _skewed(dirt)
    if dirt.declared.bots:
        _bots(dirt)
    if dirt.declared.nulls:
        rng = dirt.rng(Purpose.NULLS)
        for log in LOGS:
            for fate, column in (("null_id", IMPRESSION_ID), ("null_time", EVENT_TIME)):
                rows = dirt.chosen(log, dirt.declared.nulls, rng)
                dirt.add(log, fate, _with(rows, {column: _nulls(rows, column)}))
    return Soiled(Logs(**{log: pa.concat_tables([dirt.clean[log], *dirt.added[log]])
                          for log in LOGS}), dirt.counts)


def _late(dirt: _Dirt) -> None:
    """Events arrive, and are filed, on the next day. Only those of their impression's own day: a
    later one might be filed beyond what the day's build reads, and lose a label."""
    rng = dirt.rng(Purpose.LATE)
    arrival = dirt.end_of_day + 6 * HOUR
    for log in ("clicks", "conversions"):
        rows = dirt.clean[log]
        is_late_N = rng.random(rows.num_rows) < dirt.declared.late
        is_late_N &= _times(rows) < dirt.end_of_day
        dirt.clean[log] = _with(rows, {
            name: instants(np.where(is_late_N, arrival, _times(rows, name)))
            for name in (INGEST_TIME, FILED_TIME)
        })
        dirt.counts[f"{log}_late"] += int(is_late_N.sum())
    copies = dirt.chosen("impressions", dirt.declared.late, rng)
    at = instants(np.full(copies.num_rows, arrival))
    dirt.add("impressions", "misfiled", _with(copies, {INGEST_TIME: at, FILED_TIME: at}))


def _conflicts(dirt: _Dirt) -> None:
    """Another row's content under the id of an impression, and later than that."""
    rng = dirt.rng(Purpose.CONFLICTS)
    can_be_N = _times(dirt.clean["impressions"]) < dirt.end_of_day - LONGEST_CONFLICT
    rows = dirt.chosen("impressions", dirt.declared.conflicts, rng, can_be_N)
    others = dirt.clean["impressions"].take(
        pa.array(rng.integers(dirt.clean["impressions"].num_rows, size=rows.num_rows)))
    time_N = _times(rows) + rng.integers(1, LONGEST_CONFLICT, rows.num_rows)
    dirt.add("impressions", "conflicting",
             _with(others, {IMPRESSION_ID: rows[IMPRESSION_ID]} | _at(time_N)))


def _orphans(dirt: _Dirt) -> None:
    """Events of impressions that are in no log."""
    rng = dirt.rng(Purpose.ORPHANS)
    ranges = {"clicks": CLICK_ORPHAN_RANGE, "conversions": CONVERSION_ORPHAN_RANGE}
    for log, which in ranges.items():
        rows = dirt.chosen(log, dirt.declared.orphans, rng)
        id_N = dirt.new_ids(which, rows.num_rows)
        names = {IMPRESSION_ID: pa.array(id_N), CLICK_ID: pa.array(sample_ids(id_N))}
        dirt.add(log, "orphaned", _with(rows, names))


def _strays(dirt: _Dirt) -> None:
    """Conversions of impressions that were not clicked."""
    rng = dirt.rng(Purpose.STRAYS)
    unclicked_N = np.flatnonzero(~dirt.block.click_N)
    count = min(rng.binomial(dirt.clean["conversions"].num_rows, dirt.declared.orphans),
                len(unclicked_N))
    place_N = rng.choice(unclicked_N, count, replace=False)
    rows = dirt.clean["conversions"].take(
        pa.array(rng.integers(max(1, dirt.clean["conversions"].num_rows), size=count)))
    id_N = dirt.block.impression_id_N[place_N]
    time_N = dirt.block.time_N[place_N] + rng.integers(1, LONGEST_STRAY, count)
    names = {IMPRESSION_ID: pa.array(id_N), CLICK_ID: pa.array(sample_ids(id_N))}
    dirt.add("conversions", "without_click", _with(rows, names | _at(time_N)))


def _skewed(dirt: _Dirt) -> None:
    """The same event once more, by a clock that puts it before its cause; filed as the first."""
    rng, block = dirt.rng(Purpose.SKEWED), dirt.block
    longest = int(dirt.declared.max_skew_seconds * MICROSECONDS)
    # Conversions only where the first report counts: to a builder that allows for skewed clocks
    # the second one may count too.
    counts_N = block.is_in_window_N[dirt.clean["conversions"][BLOCK_ROW].to_numpy()]
    for log, fate, cause_time_N, among_N in (
        ("clicks", "before_impression", block.time_N, None),
        ("conversions", "before_click", block.click_time_N, counts_N),
    ):
        rows = dirt.chosen(log, dirt.declared.skewed, rng, among_N)
        time_N = cause_time_N[rows[BLOCK_ROW].to_numpy()]
        time_N = time_N - rng.integers(1, longest + 1, rows.num_rows)
        dirt.add(log, fate, _with(rows, {EVENT_TIME: instants(time_N)}))


def _bots(dirt: _Dirt) -> None:
    """Bursts of impressions under one user id that nobody else has, all of them clicked."""
    rng = dirt.rng(Purpose.BOTS)
    size, impressions = dirt.declared.impressions_per_bot, dirt.clean["impressions"]
    num_bots = min(rng.poisson(dirt.declared.bots * impressions.num_rows / size),
                   BLOCK_ROWS // size)
    bot_N = np.repeat(np.arange(num_bots), size)
    num_ids = NUM_SPARE_DIGITS * dirt.world.users.popularity.count
    user_N = (num_ids + 1 + rng.integers(num_ids, size=num_bots))[bot_N]
    start_of_day = dirt.end_of_day - 22 * HOUR  # the shortest day, at a change of clocks, has 23
    start_N = rng.integers(start_of_day, dirt.end_of_day - BOT_BURST - HOUR, num_bots)[bot_N]
    time_N = start_N + rng.integers(BOT_BURST, size=len(bot_N))
    shown = impressions.take(pa.array(rng.integers(impressions.num_rows, size=len(bot_N))))
    id_N = dirt.new_ids(BOT_RANGE, len(bot_N))
    names = {IMPRESSION_ID: pa.array(id_N), USER_ID: pa.array(user_N)}
    shown = _with(shown, names | _at(time_N))
    dirt.add("impressions", "of_bots", shown)
    click_time_N = time_N + rng.integers(1, MICROSECONDS, len(bot_N))
    clicks = shown.append_column(CLICK_ID, pa.array(sample_ids(id_N)))
    clicks = clicks.select(dirt.clean["clicks"].column_names)
    dirt.add("clicks", "of_bots", _with(clicks, _at(click_time_N)))


def _times(rows: pa.Table, name: str = EVENT_TIME) -> Integers:
    found: Integers = rows[name].cast(pa.int64()).to_numpy()
    return found


def _at(time_N: Integers) -> dict[str, pa.Array]:
    """The columns of time of rows that arrive at once."""
    return {name: instants(time_N) for name in (EVENT_TIME, INGEST_TIME, FILED_TIME)}


def _with(rows: pa.Table, columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Rows with some columns replaced."""
    for name, column in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    return rows


def _nulls(rows: pa.Table, column: str) -> pa.Array:
    return pa.nulls(rows.num_rows, rows.schema.field(column).type)
