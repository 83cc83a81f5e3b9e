"""Impressions a second that a simulation draws and writes, truth included, on two cores.

    python -m benchmarks.simulate [--quick] [--rows N]

20 single-valued fields beside user and item: 8 of users, 6 of items, 3 of the context, 3 of pairs;
100,000 users, 200,000 items; 16 M impressions (--quick: 4 M) of two days. Three worlds: plain; with
hidden confounding, whose integrals are the dearest part of the truth; with every kind of dirt. What
a process makes before its first row (the world) and the solving of intercepts are told apart. CPU
seconds are of all processes; on a machine that others use they say more than the clock does. The
record is written beside this script, but for --quick and --rows.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.parts.record import heading, stem, table, write_record
from esmm_dist.contract.sections import Config
from esmm_dist.simulate import written
from esmm_dist.simulation.intercepts import solve_intercepts
from esmm_dist.simulation.parts import Part, parts_of
from esmm_dist.simulation.run import PartWriter, simulate
from esmm_dist.simulation.world import make_world

NUM_CORES = 2
NUM_ROWS = 16_000_000
BAR = 200_000
CARDINALITIES = {
    "user": (98, 14, 3, 8, 4, 5, 1_000, 30_000),
    "item": (6_929, 50_000, 20_000, 500, 50, 10),
    "context": (3, 24, 1_000),
    "cross": (100, 5_000, 50_000),
}
DIRT = {"duplicates": 0.01, "conflicts": 0.01, "orphans": 0.01, "late": 0.01, "skewed": 0.01,
        "bots": 0.01, "nulls": 0.01}
WORLDS: dict[str, dict[str, Any]] = {
    "plain": {}, "confounded": {"confounding": 1.0}, "dirty": {"dirt": DIRT},
}


def config_of(folder: Path, num_rows: int, **simulation: Any) -> Config:
    """Two days of the world that is measured."""
    days = {"first": "2026-01-01", "last": "2026-01-02"}
    fields = [{"name": f"{group}_{place}", "group": group, "cardinality": cardinality}
              for group, of_group in CARDINALITIES.items()
              for place, cardinality in enumerate(of_group)]
    return Config.model_validate({
        "name": "simulate",
        "logs": {log: {"path": str(folder / log), "partition": "dt", "empty_days": "allow"}
                 for log in ("impressions", "clicks", "conversions")},
        "samples": {"path": str(folder / "samples"), "days": days,
                    "fit_days": {"first": "2026-01-01", "last": "2026-01-01"}},
        "features": [{"name": "user_id", "group": "user", "kind": "categorical",
                      "encode": {"hash_size": 1_000}}],
        "train": {"days": {"first": "2026-01-01", "last": "2026-01-01"}},
        "evaluate": {"days": {"first": "2026-01-02", "last": "2026-01-02"}},
        "simulate": {
            "path": str(folder / "simulated"), "impressions_per_day": num_rows // 2,
            "users": {"count": 100_000, "zipf_exponent": 0.5}, "items": {"count": 200_000},
            "fields": fields, "rates": {"ctr": 0.04, "cvr": 0.01},
            "delays": {"field": "item_0"}, **simulation,
        },
    })


def cpu_seconds() -> float:
    """Of this process and of all that it waited for."""
    return sum(usage.ru_utime + usage.ru_stime for usage in
               (resource.getrusage(who) for who in (resource.RUSAGE_SELF,
                                                    resource.RUSAGE_CHILDREN)))


def measured(num_rows: int, **simulation: Any) -> dict[str, float]:
    """Seconds by the clock, of CPU, and impressions a second, of one world."""
    with tempfile.TemporaryDirectory() as name:
        config = config_of(Path(name), num_rows, **simulation)
        assert config.simulate is not None
        start = time.perf_counter()
        world = make_world(config, config.simulate)
        world_seconds = time.perf_counter() - start
        solve_intercepts(world)
        solving_seconds = time.perf_counter() - start - world_seconds
        took: dict[str, float] = {"world": world_seconds, "intercepts": solving_seconds}

        def write_parts(write: PartWriter, parts: Sequence[Part]) -> None:
            begun, cpu = time.perf_counter(), cpu_seconds()
            for _ in written(write, parts, NUM_CORES):
                pass
            took["seconds"] = time.perf_counter() - begun
            took["CPU seconds"] = cpu_seconds() - cpu

        simulate(config, "benchmark", write_parts, replace=False)
        num_drawn = sum(part.num_rows for part in parts_of(config, config.simulate))
        took["rows/s"] = num_drawn / took["seconds"]
        took["rows/s by CPU"] = NUM_CORES * num_drawn / took["CPU seconds"]
    return took


def table_of(worlds: Mapping[str, Mapping[str, float]]) -> str:
    """A line for each world."""
    return table(
        ["world", "making it, s", "solving, s", "writing, s", "CPU s of that", "impressions/s",
         f"{NUM_CORES} cores' worth of CPU seconds"],
        [[name, *(f"{took[part]:.1f}" for part in
                  ("world", "intercepts", "seconds", "CPU seconds")),
          f"{took['rows/s']:,.0f}", f"{took['rows/s by CPU']:,.0f}"]
         for name, took in worlds.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 M impressions, and no record")
    parser.add_argument("--rows", type=int, help="impressions, and no record")
    arguments = parser.parse_args()
    num_rows = arguments.rows or (4_000_000 if arguments.quick else NUM_ROWS)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    worlds = {name: measured(num_rows, **simulation) for name, simulation in WORLDS.items()}
    print(table_of(worlds))
    ratios = {f"{name}, to {BAR:,}/s": took["rows/s"] / BAR for name, took in worlds.items()}
    bars = dict.fromkeys(ratios, 1.0)
    ratios |= {f"{name}, by CPU seconds": took["rows/s by CPU"] / BAR
               for name, took in worlds.items()}
    missed = [name for name in bars if ratios[name] < 1]
    if num_rows == NUM_ROWS:
        verdict = f"missed by {', '.join(missed)}" if missed else "met by all"
        print(write_record(stem("simulate"), heading(
            "Drawing logs with known truth", "python -m benchmarks.simulate",
            f"{num_rows:,} impressions, 20 single-valued fields, truth included, {NUM_CORES} "
            "processes.",
        ) + f"\n{table_of(worlds)}\nThe bar of {BAR:,} impressions/s by the clock of writing is "
            f"{verdict}.\n"))
    print(json.dumps({"ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
                      "bars": bars, "missed": missed}))


if __name__ == "__main__":
    main()
