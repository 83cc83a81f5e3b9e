"""Parts of the logs: a run of blocks of one day, drawn, soiled and written by one worker.

A part is a function of the config and its place, whoever writes it and after whatever others. Its
truth file comes last and holds its tally, so that a part is either there with it or not at all.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.logs import LogSource
from esmm_dist.contract.sections import Config
from esmm_dist.contract.simulation import Simulation
from esmm_dist.simulation.delays import HOUR, MICROSECONDS
from esmm_dist.simulation.dirt import LOGS, soil
from esmm_dist.simulation.intercepts import Intercepts
from esmm_dist.simulation.outcomes import BLOCK_ROWS, Block, draw_block
from esmm_dist.simulation.streams import Integers
from esmm_dist.simulation.tables import (
    BLOCK_ROW,
    FILED_TIME,
    TYPE,
    log_tables,
    truth_table,
)
from esmm_dist.simulation.world import World

BLOCKS_OF_PART = 4
# Columns of few values; others are written as they are, which takes a third of the time.
MAX_DICTIONARY = 1_000
TALLY, DIGEST = b"esmm_dist.tally", b"esmm_dist.simulation"


@dataclass(frozen=True)
class Part:
    """Some blocks of one day."""

    day_number: int
    number: int
    """Place among the day's parts."""
    num_rows: int

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Every block's number in the day and its rows."""
        for place, start in enumerate(range(0, self.num_rows, BLOCK_ROWS)):
            yield (self.number * BLOCKS_OF_PART + place, min(BLOCK_ROWS, self.num_rows - start))


def parts_of(config: Config, simulation: Simulation) -> tuple[Part, ...]:
    """All parts, day by day."""
    rows_of_day = simulation.scaled(simulation.impressions_per_day)
    rows_of_part = BLOCKS_OF_PART * BLOCK_ROWS
    num_days = (config.samples.days.last - config.samples.days.first).days + 1
    return tuple(
        Part(day, place, min(rows_of_part, rows_of_day - start))
        for day in range(num_days)
        for place, start in enumerate(range(0, rows_of_day, rows_of_part))
    )


def truth_path(config: Config, part: Part) -> Path:
    """Where a part's truth lies."""
    assert config.simulate is not None
    day = config.samples.days.first + timedelta(days=part.day_number)
    return Path(config.simulate.path) / "truth" / f"day={day}" / f"part-{part.number:05d}.parquet"


def read_tally(config: Config, part: Part, digest: str) -> dict[str, float] | None:
    """The tally of a part that has been written by this simulation; None: it has not."""
    try:
        metadata = pq.read_metadata(truth_path(config, part)).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    if metadata.get(DIGEST) != digest.encode():
        return None
    tally: dict[str, float] = json.loads(metadata[TALLY])
    return tally


class Writer:
    """Writes the parts of one world."""

    def __init__(self, world: World, intercepts: Intercepts, config: Config, digest: str) -> None:
        self.world, self.intercepts = world, intercepts
        self.config, self.digest = config, digest
        windows = config.samples.click_window_hours + config.samples.conversion_window_hours
        self.start = day_starts(config, len(world.days) + int(windows // 24) + 3)
        self.end_of_logs = int(self.start[len(world.days)] + windows * HOUR)
        self.dictionaries = {
            log: [_theirs(getattr(config.logs, log), field.name)
                  for field in world.simulation.fields if field.cardinality <= MAX_DICTIONARY]
            for log in LOGS
        }

    def write(self, part: Part) -> None:
        """Draws and writes one part: its three logs, then its truth."""
        tally: Counter[str] = Counter()
        rows: dict[str, list[pa.Table]] = {log: [] for log in LOGS}
        truths = []
        end_of_day = int(self.start[part.day_number + 1])
        for number, num_rows in part.blocks():
            block = draw_block(self.world, self.intercepts, part.day_number, number, num_rows,
                               int(self.start[part.day_number]), end_of_day)
            clean = log_tables(self.world, block, self.end_of_logs)
            soiled = soil(self.world, block, clean, end_of_day)
            for log in LOGS:
                rows[log].append(getattr(soiled.logs, log))
                tally[f"{log}_clean"] += getattr(clean, log).num_rows
            tally.update(soiled.counts)
            _count(block, tally)
            truths.append(truth_table(block))
        name = f"part-{self.world.days[part.day_number]}-{part.number:05d}.parquet"
        for log in LOGS:
            self._write_log(log, pa.concat_tables(rows[log]), name)
        metadata = {DIGEST: self.digest, TALLY: json.dumps(tally)}
        path = truth_path(self.config, part)
        _write(pa.concat_tables(truths).replace_schema_metadata(metadata), path,
               compression="none", use_dictionary=False)

    def _write_log(self, log: str, rows: pa.Table, name: str) -> None:
        source: LogSource = getattr(self.config.logs, log)
        filed_N = np.searchsorted(self.start, rows[FILED_TIME].cast(pa.int64()).to_numpy(),
                                  side="right") - 1
        rows = rows.drop_columns([FILED_TIME, BLOCK_ROW])
        if log == "conversions":
            kind = (self.config.logs.conversions.types or ("conversion",))[0]
            rows = rows.append_column(TYPE, pa.array([kind] * rows.num_rows, pa.string()))
        rows = rows.rename_columns([_theirs(source, column) for column in rows.column_names])
        for number in np.unique(filed_N):
            day = self.world.days[0] + timedelta(days=int(number))
            here = rows if (filed_N == number).all() else rows.filter(pa.array(filed_N == number))
            _write(here, Path(source.place) / f"{source.partition}={day}" / name,
                   compression="zstd", use_dictionary=self.dictionaries[log])


def _count(block: Block, tally: Counter[str]) -> None:
    """What the truth says of a block, as sums."""
    sums: dict[str, Any] = {
        "clicks": block.click_N, "conversions": block.conversion_N,
        "conversions_after_window": block.click_N & block.converts_N & ~block.is_in_window_N,
        "potential_conversions": block.potential_conversion_N,
        "sum_p_click": block.p_click_N,
        "sum_p_conversion_do_click": block.p_conversion_do_click_N,
        "sum_p_conversion_do_click_of_clicked": block.p_conversion_do_click_N * block.click_N,
        "sum_p_click_and_conversion": block.p_click_N * block.p_conversion_given_click_N,
    }
    tally.update({name: values.sum().item() for name, values in sums.items()})
    tally["impressions"] += len(block.click_N)


def day_starts(config: Config, count: int) -> Integers:
    """The first instants of days from the first simulated one on, in microseconds since 1970."""
    zone = ZoneInfo(config.logs.day_timezone)
    first = config.samples.days.first
    days: Sequence[date] = [first + timedelta(days=number) for number in range(count)]
    starts = [datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() for day in days]
    return (np.array(starts) * MICROSECONDS).astype(np.int64)


def _theirs(source: LogSource, name: str) -> str:
    return source.columns.get(name, name)


def _write(rows: pa.Table, path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(rows, temporary, **options)
    os.replace(temporary, path)
