"""Samples per second of training, end to end from Parquet, beside the towers alone and its peers.

    python -m benchmarks.train [--quick] [--without-peers]

One process with two threads; 20 fields of dimension 18, towers 360-200-80, batches of 4,096. Ours
is `python -m esmm_dist.train` on generated samples, reading included, timed by its own curve after
the first steps; all others have their ids in memory and read nothing. Tables hold 100 k, 1 M, 10 M
and 30 M rows in all, ids are uniform or follow Zipf's law with exponent 1.1. Contenders take turns,
so that what else the machine does falls on all alike. Ratios are medians over the turns of ratios
within a turn.

The towers alone are timed twice: as they are (`towers`), and with the gradient of their inputs,
which whatever lies below them needs (`towers_to_inputs`). `ours_bfloat16` is ours with
`train.mixed_precision: bfloat16`; bars are for ours in float32. The peers live in a throwaway
environment that this script makes: DeepCTR-Torch and torch-rechub with their own trainers, fbgemm's
table-batched embedding below the plain towers. --quick: one turn of 100 k, 1 M and 10 M rows,
uniform ids.
"""

import argparse
import json
import os
import shutil
import site
import statistics
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tqdm import tqdm

from benchmarks.parts.experiment import (
    BATCH_SIZE,
    EMBEDDING_DIM,
    LAWS,
    Experiment,
    write_experiment,
)
from benchmarks.parts.record import bars, heading, stem, table, write_record

ROOT = Path(__file__).resolve().parents[1]
NUM_THREADS = 2
NUM_STEPS, STEPS_PER_POINT, NUM_WARM_POINTS = 240, 10, 4
SIZES = (100_000, 1_000_000, 10_000_000, 30_000_000)
SECONDS_OF_CONTENDER = 8.0
PEERS = ("deepctr-torch==0.3.0", "torch-rechub==0.9.0", "fbgemm-gpu-cpu==1.8.0", "requests")
OURS = ("ours", "ours_bfloat16")
OF_THIS_ENVIRONMENT = ("towers", "towers_to_inputs", "sparse_adam")
OF_THE_PEERS = ("deepctr_torch", "torch_rechub", "fbgemm")
# The public trainers take half a minute a step here.
MOST_ROWS_OF_DENSE_TRAINERS = 10_000_000
GIB = 2**30


@dataclass(frozen=True)
class Figures:
    """What one contender did in one turn."""

    samples_per_second: float
    peak_bytes: int


Turn = dict[str, Figures]
Turns = Mapping[tuple[int, str], list[Turn]]


def train_ours(experiment: Experiment, mixed_precision: str = "none") -> Figures:
    """Trains as a user would, in a process of its own."""
    command = [sys.executable, "-m", "esmm_dist.train", "--config", str(experiment.config),
               "--set", f"train.steps_per_log={STEPS_PER_POINT}",
               "--set", f"train.mixed_precision={mixed_precision}"]
    process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stderr=subprocess.PIPE)
    assert process.stderr is not None
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(error.decode())
    speeds = [point["samples_per_second"] for point in experiment.points()[NUM_WARM_POINTS:]]
    shutil.rmtree(experiment.config.parent / "runs")
    return Figures(statistics.median(speeds), usage.ru_maxrss * 1024)


def train_other(name: str, experiment: Experiment, python: Path) -> Figures:
    """Lets a contender train in a process of its own."""
    command = [python, "-m", "benchmarks.parts.contenders", name, "--arrays", experiment.arrays,
               "--rows", experiment.num_rows, "--seconds", SECONDS_OF_CONTENDER]
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=_environment(),
                          check=True, stdout=subprocess.PIPE)
    figures = json.loads(done.stdout.splitlines()[-1])
    return Figures(figures["samples_per_second"], figures["peak_bytes"])


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": str(NUM_THREADS), "PYTHONPATH": str(ROOT)}


def make_peers(folder: Path) -> Path:
    """An environment with the peers, which takes torch from this one; returns its python."""
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text("\n".join(site.getsitepackages()))
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *PEERS,
                    "urllib3", "idna", "certifi", "charset-normalizer"], check=True)
    return python


def take_turn(experiment: Experiment, peers: Path | None) -> Turn:
    """Everybody once."""
    turn = {"ours": train_ours(experiment), "ours_bfloat16": train_ours(experiment, "bfloat16")}
    for name in OF_THIS_ENVIRONMENT:
        turn[name] = train_other(name, experiment, Path(sys.executable))
    for name in OF_THE_PEERS if peers else ():
        if name == "fbgemm" or experiment.num_rows <= MOST_ROWS_OF_DENSE_TRAINERS:
            assert peers is not None
            turn[name] = train_other(name, experiment, peers)
    return turn


def figures(turns: Turns) -> str:
    """Medians over the turns: samples a second, and the memory of ours."""
    rows = []
    for name in (*OURS, *OF_THIS_ENVIRONMENT, *OF_THE_PEERS):
        speeds = [[turn[name].samples_per_second for turn in of_case if name in turn]
                  for of_case in turns.values()]
        rows.append([name, *(f"{statistics.median(s):,.0f}" if s else "-" for s in speeds)])
    rows.append(["ours: peak memory, GiB (its tables)", *(
        f"{max(turn['ours'].peak_bytes for turn in of_case) / GIB:.2f} "
        f"({_table_bytes(num_rows) / GIB:.2f})" for (num_rows, _), of_case in turns.items())])
    return table(["samples/s", *(f"{num_rows:,} {law}" for num_rows, law in turns)], rows)


def _table_bytes(num_rows: int) -> int:
    """Rows and the one number of row-wise Adagrad, in float32."""
    return num_rows * (EMBEDDING_DIM + 1) * 4


def compared(turns: Turns) -> tuple[dict[str, float], dict[str, float]]:
    """Ratios by label, and the bars that some of them have."""
    ratio_of_label: dict[str, float] = {}
    bar_of_label: dict[str, float] = {}

    def compare(label: str, of_turns: list[float], bar: float | None) -> None:
        ratio_of_label[label] = statistics.median(of_turns)
        if bar is not None:
            bar_of_label[label] = bar

    for (num_rows, law), of_case in turns.items():
        for ours, other in product(OURS, of_case[0].keys() - set(OURS)):
            compare(
                f"{ours} to {other}, {num_rows:,} rows, {law}",
                [t[ours].samples_per_second / t[other].samples_per_second for t in of_case],
                _bar(other, num_rows) if ours == "ours" else None,
            )
    for law in LAWS:
        small, large = (turns.get((size, law)) for size in (SIZES[0], SIZES[-1]))
        if small and large:
            # A cost: its bar is an upper one, so its inverse is compared.
            compare(f"speed at {SIZES[-1]:,} rows to that at {SIZES[0]:,}, {law}", [
                b["ours"].samples_per_second / a["ours"].samples_per_second
                for a, b in zip(small, large)
            ], 1 / 1.25)
    for (num_rows, law), of_case in turns.items():
        label = f"tables + 1 GiB to peak memory, {num_rows:,} rows, {law}"
        compare(label, [(_table_bytes(num_rows) + GIB) / t["ours"].peak_bytes for t in of_case], 1)
    return ratio_of_label, bar_of_label


def _bar(other: str, num_rows: int) -> float | None:
    """How many times as fast ours is to be."""
    if other in ("deepctr_torch", "torch_rechub"):
        return 50.0 if num_rows == 10_000_000 else 1.0
    if other == "towers":
        return {1_000_000: 0.85, 10_000_000: 0.8}.get(num_rows)
    return 1.0 if other == "fbgemm" else None


def why_missed(label: str, ratio_of_label: Mapping[str, float], turns: Turns) -> str:
    """What else was measured that tells why ours is behind, if anything was."""
    if label.startswith("ours to towers,"):
        beside = ratio_of_label[label.replace("towers,", "towers_to_inputs,")]
        return ("The towers alone do not compute the gradient of their inputs, which whatever lies "
                f"below them needs: of towers that do, ours has {beside:.2f}.")
    for name, law in product(OF_THE_PEERS[:2], LAWS):
        if label == f"ours to {name}, 10,000,000 rows, {law}":
            speed = statistics.median(turn[name].samples_per_second
                                      for turn in turns[10_000_000, law])
            return f"The bar was set where the peer made 720 samples/s; here it makes {speed:,.0f}."
    return "No reason was measured in this run."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true",
                        help="one turn, up to 10 M rows, uniform, no record")
    parser.add_argument("--without-peers", action="store_true", help="make no environment for them")
    parser.add_argument("--turns", type=int, default=3, help="about 25 minutes each (3)")
    parser.add_argument("--rows", type=int, nargs="+", choices=SIZES, default=SIZES)
    arguments = parser.parse_args()
    cases = [(size, law) for size in arguments.rows for law in LAWS]
    num_turns = arguments.turns
    if arguments.quick:
        cases, num_turns = [(size, "uniform") for size in SIZES[:3]], 1
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NUM_THREADS])
    turns: dict[tuple[int, str], list[Turn]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = None if arguments.without_peers else make_peers(folder / "peers")
        experiments = {
            case: write_experiment(folder / f"{case[0]}-{case[1]}", *case, NUM_STEPS)
            for case in cases
        }
        for _, case in tqdm(list(product(range(num_turns), cases)), desc="cases", file=sys.stderr):
            turns[case].append(take_turn(experiments[case], peers))
    print(figures(turns))
    ratio_of_label, bar_of_label = compared(turns)
    if not arguments.quick:
        print(write_record(stem("train"), heading(
            "Training: samples per second, end to end, beside the towers alone and the peers",
            " ".join(["python -m benchmarks.train", *sys.argv[1:]]),
            f"20 fields of dimension {EMBEDDING_DIM}, towers 360-200-80, batches of "
            f"{BATCH_SIZE:,}, {NUM_THREADS} threads; medians of {num_turns} turns.",
        ) + f"\n{figures(turns)}\n" + bars(
            ratio_of_label, bar_of_label, lambda label: why_missed(label, ratio_of_label, turns))))
    print(json.dumps({
        "ratios": {name: round(ratio, 3) for name, ratio in ratio_of_label.items()},
        "bars": {name: round(bar, 3) for name, bar in bar_of_label.items()},
        "missed": [name for name, bar in bar_of_label.items() if ratio_of_label[name] < bar],
    }))


if __name__ == "__main__":
    main()
