"""Small simulations: their configs, and their rows read back."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.sections import Config
from esmm_dist.contract.simulation import Simulation
from esmm_dist.simulation.intercepts import Intercepts, solve_intercepts
from esmm_dist.simulation.outcomes import Block, draw_block
from esmm_dist.simulation.parts import day_starts
from esmm_dist.simulation.world import World, make_world

NUM_CALIBRATION_ROWS = 2**14
FIELDS: list[dict[str, Any]] = [
    {"name": "city", "group": "user", "cardinality": 50, "null_share": 0.1},
    {"name": "gender", "group": "user", "cardinality": 2},
    {"name": "shop", "group": "item", "cardinality": 300},
    {"name": "brand", "group": "item", "cardinality": 40},
    {"name": "position", "group": "context", "cardinality": 5, "zipf_exponent": 0.5},
    {"name": "hour", "group": "context", "cardinality": 24, "zipf_exponent": 0.0},
    {"name": "match", "group": "cross", "cardinality": 20},
]
ALL_DIRT = {"duplicates": 0.03, "conflicts": 0.02, "orphans": 0.05, "late": 0.1, "skewed": 0.1,
            "bots": 0.02, "impressions_per_bot": 50, "nulls": 0.02}


def simulation_document(folder: Path, **simulate: Any) -> dict[str, Any]:
    """A config as a mapping: two days of 3,000 impressions unless told otherwise."""
    days = {"first": "2026-03-01", "last": "2026-03-02"}
    return {
        "name": "simulated",
        "runs_path": str(folder / "runs"),
        "logs": {
            "day_timezone": "Asia/Shanghai",
            **{log: {"path": str(folder / log), "partition": "dt", "empty_days": "allow"}
               for log in ("impressions", "clicks", "conversions")},
        },
        "samples": {"path": str(folder / "samples"), "days": days,
                    "fit_days": {"first": "2026-03-01", "last": "2026-03-01"},
                    "rows_per_file": 4096},
        "features": [
            {"name": name, "group": group, "kind": "categorical", "encode": {"hash_size": 5000}}
            for name, group in (("user_id", "user"), ("item_id", "item"), ("city", "user"),
                                ("shop", "item"), ("position", "context"), ("match", "cross"))
        ],
        "train": {"days": {"first": "2026-03-01", "last": "2026-03-01"}},
        "evaluate": {"days": {"first": "2026-03-02", "last": "2026-03-02"}},
        "simulate": {
            "path": str(folder / "simulated"), "seed": 7, "impressions_per_day": 3000,
            "users": {"count": 2000}, "items": {"count": 1000}, "fields": FIELDS,
            "rates": {"ctr": 0.2, "cvr": 0.2}, "delays": {"field": "brand"}, **simulate,
        },
    }


def simulation_config(folder: Path, **simulate: Any) -> Config:
    """The same, checked."""
    return Config.model_validate(simulation_document(folder, **simulate))


def declared(config: Config) -> Simulation:
    """The config's simulation."""
    assert config.simulate is not None
    return config.simulate


def drawn(
    folder: Path, num_rows: int = 65_536, day_number: int = 0, block: int = 0, **simulate: Any
) -> tuple[World, Intercepts, Block]:
    """One block of a world, nothing written."""
    config = simulation_config(folder, **simulate)
    world = make_world(config, declared(config))
    intercepts = solve_intercepts(world, NUM_CALIBRATION_ROWS)
    start = day_starts(config, day_number + 2)
    return world, intercepts, draw_block(world, intercepts, day_number, block, num_rows,
                                         int(start[day_number]), int(start[day_number + 1]))


def read_log(folder: Path) -> pa.Table:
    """All rows of a log, with `file` and the folder `dt` they lie in."""
    parts = []
    for path in sorted(folder.glob("dt=*/*.parquet")):
        part = pq.ParquetFile(path).read()
        part = part.append_column("dt", pa.array([path.parent.name[3:]] * part.num_rows))
        parts.append(part)
    return pa.concat_tables(parts)


def read_truth(folder: Path) -> pa.Table:
    """The truth of all days."""
    return pa.concat_tables([pq.ParquetFile(path).read()
                             for path in sorted(folder.glob("truth/*/*.parquet"))])


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every Parquet file, by its path below the folder."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*.parquet"))}
