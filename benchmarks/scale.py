"""Two ranks of one thread against one rank of two threads: the same global batches, tables sharded.

    python -m benchmarks.scale [--quick]

10 M rows over 20 fields of dimension 18, towers 360-200-80, batches of 4,096, ids uniform or by
Zipf's law with exponent 1.1, on two cores. Both are `esmm_dist.train` on generated samples, timed
by their own curves after the first steps, and take turns; ratios are medians over the turns. Beside
the speed stand the shares of time spent waiting and what a rank sends in a step. The same is shown
with vectors exchanged as float16. --quick: one turn with fewer steps.
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
from pathlib import Path
from typing import Any

from benchmarks.parts.experiment import LAWS, Experiment, write_experiment

ROOT = Path(__file__).resolve().parents[1]
NUM_ROWS, NUM_CORES = 10_000_000, 2
STEPS_PER_POINT, NUM_WARM_POINTS = 10, 4
BARS = {"uniform": 0.75, "zipf": 0.9}

Curve = list[dict[str, Any]]


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


def print_table(turns: Mapping[tuple[str, str], list[Curve]]) -> None:
    """Medians over the turns."""
    print(f"{'ids':8} {'ranks':18} {'samples/s':>10} {'wait for data':>14} "
          f"{'wait for ranks':>15} {'MB sent a step':>15}")
    for (law, name), curves in turns.items():
        points = [point for curve in curves for point in curve]
        print(f"{law:8} {name:18} {median(points, 'samples_per_second'):10,.0f} "
              f"{median(points, 'data_wait_share'):14.1%} "
              f"{median(points, 'communication_wait_share'):15.1%} "
              f"{median(points, 'sent_bytes_per_step') / 1e6:15.2f}")


def verdict(turns: Mapping[tuple[str, str], list[Curve]]) -> dict[str, object]:
    """Ratios within a turn against the bars."""
    ratios, bars = {}, {}
    for law, name in turns:
        if name == "1 of 2 threads":
            continue
        label = f"{name} to 1 of 2 threads, {law}"
        ratios[label] = statistics.median(
            median(two, "samples_per_second") / median(one, "samples_per_second")
            for one, two in zip(turns[law, "1 of 2 threads"], turns[law, name])
        )
        if name == "2 of 1 thread":
            bars[label] = BARS[law]
    return {
        "ratios": {label: round(ratio, 3) for label, ratio in ratios.items()},
        "bars": bars,
        "missed": [label for label, bar in bars.items() if ratios[label] < bar],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one turn with fewer steps")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    num_turns, num_steps = (1, 120) if arguments.quick else (arguments.turns, 240)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_CORES])
    turns: dict[tuple[str, str], list[Curve]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        experiments = {law: write_experiment(Path(folder) / law, NUM_ROWS, law, num_steps)
                       for law in LAWS}
        for _ in range(num_turns):
            for law, experiment in experiments.items():
                turns[law, "1 of 2 threads"].append(train(experiment, 1))
                turns[law, "2 of 1 thread"].append(train(experiment, 2))
                turns[law, "2, float16"].append(
                    train(experiment, 2, "--set", "embedding.exchange=float16"))
    print_table(turns)
    print(json.dumps(verdict(turns)))


if __name__ == "__main__":
    main()
