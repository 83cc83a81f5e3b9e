"""A simulation from its config to its record, whoever writes the parts.

It prints nothing; entry points say how parts are written and show how far that is.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.contract.simulation import Simulation
from esmm_dist.simulation.dirt import LOGS
from esmm_dist.simulation.histories import lists_of_members
from esmm_dist.simulation.intercepts import Intercepts, solve_intercepts
from esmm_dist.simulation.parts import Part, Writer, day_starts, parts_of, read_tally
from esmm_dist.simulation.record import claim_folders, complete, digest_of
from esmm_dist.simulation.tables import EVENT_TIME, USER_ID, instants
from esmm_dist.simulation.world import World, make_world, simulation_of


@dataclass(frozen=True)
class PartWriter:
    """Writes parts wherever it is sent; a process makes the world once."""

    config: Config
    intercepts: Intercepts

    def __call__(self, part: Part) -> None:
        _writer(self.config.model_dump_json(), self.intercepts).write(part)


@lru_cache(maxsize=1)
def _writer(config_json: str, intercepts: Intercepts) -> Writer:
    config = Config.model_validate_json(config_json)
    assert config.simulate is not None
    world = make_world(config, config.simulate)
    return Writer(world, intercepts, config, digest_of(config))


@dataclass(frozen=True)
class Simulated:
    """What came out."""

    record_path: Path
    intercepts: Intercepts
    tally_of_day: dict[str, Counter[str]]


WriteParts = Callable[[PartWriter, Sequence[Part]], None]


def simulate(config: Config, source: str, write_parts: WriteParts, *, replace: bool) -> Simulated:
    """Draws and writes the logs, the truth and the users' table; parts that are there stay.

    Args:
        source: of the config, for errors.
        write_parts: has a writer write parts, by whatever workers.
        replace: removes what another simulation left in the same folders.

    Raises:
        InputError: the config has no simulation, a folder holds other files, the rates cannot be
            reached, or no conversion came about.
    """
    simulation = simulation_of(config, source)
    claim_folders(config, simulation, replace=replace)
    world = make_world(config, simulation)
    intercepts = solve_intercepts(world)
    parts, digest = parts_of(config, simulation), digest_of(config)
    missing = [part for part in parts if read_tally(config, part, digest) is None]
    if missing:
        write_parts(PartWriter(config, intercepts), missing)
    _write_users(config, world)
    tally_of_day = _tallies(config, parts, digest)
    for log in LOGS:
        if not any(tally[f"{log}_clean"] for tally in tally_of_day.values()):
            raise InputError(f"simulate: the {log} log came out empty: raise "
                             "simulate.impressions_per_day, or the rates")
    return Simulated(complete(config, simulation, intercepts, tally_of_day), intercepts,
                     tally_of_day)


def _tallies(config: Config, parts: Sequence[Part], digest: str) -> dict[str, Counter[str]]:
    tally_of_day: dict[str, Counter[str]] = {}
    for part in parts:
        day = config.samples.days.first + timedelta(days=part.day_number)
        tally = read_tally(config, part, digest)
        assert tally is not None, part
        tally_of_day.setdefault(day.isoformat(), Counter()).update(tally)
    return tally_of_day


def _write_users(config: Config, world: World) -> None:
    """Users' histories as they stand before the first day, where any are declared."""
    simulation: Simulation = world.simulation
    histories = simulation.lists_of("user")
    path = Path(simulation.path) / "users" / "part-00000.parquet"
    if not histories or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    start = int(day_starts(config, 1)[0])
    temporary = path.with_name(f".{path.name}")
    writer, place = None, 0
    for pieces in zip(*(lists_of_members(simulation, field, world.users) for field in histories)):
        ids = pa.array(world.user_id_M[place:place + len(pieces[0])])
        at = instants(pa.repeat(start, len(ids)).to_numpy())
        rows = pa.table({USER_ID: ids, EVENT_TIME: at,
                         **{field.name: piece for field, piece in zip(histories, pieces)}})
        writer = writer or pq.ParquetWriter(temporary, rows.schema, compression="zstd")
        writer.write_table(rows)
        place += len(ids)
    assert writer is not None
    writer.close()
    temporary.rename(path)
