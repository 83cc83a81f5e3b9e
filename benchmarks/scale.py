"""Two ranks of one thread against one rank of two threads: the same global batches, tables sharded.

    python -m benchmarks.scale [--quick]

10 M rows over 20 fields of dimension 18, towers 360-200-80, batches of 4,096, ids uniform or by
Zipf's law with exponent 1.1, on two cores. Both are `esmm_dist.train` on generated samples, timed
by their own curves after the first steps, and take turns; ratios are medians over the turns. Beside
the speed stand the shares of time spent waiting and what a rank sends in a step. The same is shown
with vectors exchanged as float16. --quick: one turn with fewer steps, no record.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.parts.experiment import LAWS, Experiment, write_experiment
from benchmarks.parts.record import bars, heading, stem, table, write_record

ROOT = Path(__file__).resolve().parents[1]
NUM_ROWS, NUM_CORES = 10_000_000, 2
STEPS_PER_POINT, NUM_WARM_POINTS = 10, 4
BARS = {"uniform": 0.75, "zipf": 0.9}
ALONE = "1 of 2 threads"
# By name: how many ranks, and what they are told beside.
CONTENDERS: dict[str, tuple[int, tuple[str, ...]]] = {
    ALONE: (1, ()),
    "2 of 1 thread": (2, ()),
    "2, float16": (2, ("--set", "embedding.exchange=float16")),
}

Curve = list[dict[str, Any]]
Turns = Mapping[tuple[str, str], list[Curve]]


def train(experiment: Experiment, num_ranks: int, *flags: str) -> Curve:
    """The points after the first steps, of a training on so many ranks, which share the cores."""
    command = [sys.executable, "-m", "esmm_dist.train", "--config", str(experiment.config),
               "--set", f"train.steps_per_log={STEPS_PER_POINT}", *flags]
    if num_ranks > 1:
        launcher = Path(sys.executable).with_name("horovodrun")
        command = [str(launcher), "--gloo", "-np", str(num_ranks), *command]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(NUM_CORES // num_ranks), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(done.stdout)
    points = experiment.points()[NUM_WARM_POINTS:]
    shutil.rmtree(experiment.config.parent / "runs")
    return points


def median(points: Curve, key: str) -> float:
    """Of one figure over the points."""
    return statistics.median(point[key] for point in points)


def of_all_turns(curves: list[Curve], key: str) -> float:
    """Median of one figure over the points of all turns."""
    return median([point for curve in curves for point in curve], key)


def figures(turns: Turns) -> str:
    """Medians over the turns."""
    return table(
        ["ids", "ranks", "samples/s", "wait for data", "wait for ranks", "MB sent a step"],
        [[law, name, f"{of_all_turns(curves, 'samples_per_second'):,.0f}",
          f"{of_all_turns(curves, 'data_wait_share'):.1%}",
          f"{of_all_turns(curves, 'communication_wait_share'):.1%}",
          f"{of_all_turns(curves, 'sent_bytes_per_step') / 1e6:.2f}"]
         for (law, name), curves in turns.items()],
    )


def ratios(turns: Turns) -> dict[str, float]:
    """Medians of ratios within a turn."""
    return {
        label(name, law): statistics.median(
            median(two, "samples_per_second") / median(one, "samples_per_second")
            for one, two in zip(turns[law, ALONE], turns[law, name])
        )
        for law, name in turns if name != ALONE
    }


def label(name: str, law: str) -> str:
    """Of a ratio."""
    return f"{name} to {ALONE}, {law}"


def why_missed(turns: Turns) -> dict[str, str]:
    """Where the two ranks' time goes that one process does not spend."""
    return {
        label("2 of 1 thread", law):
            f"{of_all_turns(turns[law, '2 of 1 thread'], 'communication_wait_share'):.0%} of a "
            "rank's time is spent waiting for the other; the rest of the difference is the "
            "processor time of Horovod's own threads, and of rows that both ranks need."
        for law in LAWS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one turn, fewer steps, no record")
    parser.add_argument("--turns", type=int, default=3, help="about 4 minutes each (3)")
    arguments = parser.parse_args()
    num_turns, num_steps = (1, 120) if arguments.quick else (arguments.turns, 240)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    turns: dict[tuple[str, str], list[Curve]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        experiments = {law: write_experiment(Path(folder) / law, NUM_ROWS, law, num_steps)
                       for law in LAWS}
        cases = list(product(range(num_turns), LAWS, CONTENDERS))
        for _, law, name in tqdm(cases, desc="trainings", file=sys.stderr):
            num_ranks, flags = CONTENDERS[name]
            turns[law, name].append(train(experiments[law], num_ranks, *flags))
    print(figures(turns))
    found = ratios(turns)
    bar_of_label = {label("2 of 1 thread", law): bar for law, bar in BARS.items()}
    if not arguments.quick:
        print(write_record(stem("scale"), heading(
            "Two ranks of one thread against one rank of two threads",
            " ".join(["python -m benchmarks.scale", *sys.argv[1:]]),
            f"{NUM_ROWS:,} rows over 20 fields of dimension 18, towers 360-200-80, batches of "
            f"4,096, {num_steps} steps; {num_turns} turns, medians.",
        ) + f"\n{figures(turns)}\n" + bars(found, bar_of_label, why_missed(turns).__getitem__)))
    print(json.dumps({
        "ratios": {name: round(ratio, 3) for name, ratio in found.items()},
        "bars": bar_of_label,
        "missed": [name for name, bar in bar_of_label.items() if found[name] < bar],
    }))


if __name__ == "__main__":
    main()
