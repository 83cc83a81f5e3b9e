"""What a training step sends, and what it would take on 8 to 1,024 ranks, by a model fitted here.

    python -m benchmarks.exchange [--quick] [--latency-us A --gigabytes-per-second B]

Measures exchanges and sums of 4 KiB to 16 MiB between two Horovod processes of this machine and
fits seconds = latency + bytes / bandwidth to each. Then counts the bytes that a rank sends in one
step of 4,096 rows a rank, 20 fields of dimension 18, towers 360-200-80, tables of 10 M rows with
uniform ids (the worst case: nothing repeats), and models three ways to train the tables:

    sharded      exchange of ids, vectors and gradients; allreduce of the towers
    all-gather   every rank gets every rank's rows and gradients, as sparse gradients are averaged
    dense        allreduce of the whole tables' gradient

    exchange, all-gather    (N - 1) latency + bytes / bandwidth
    ring allreduce          2 (N - 1) latency + bytes / bandwidth

With --latency-us and --gigabytes-per-second another network is modelled instead of this machine's.
The record is written beside this script; --quick: five repeats for thirty, no record.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.parts.record import heading, stem, table, write_record
from esmm_dist.contract.world import World
from esmm_dist.distributed.world import connect

ROOT = Path(__file__).resolve().parents[1]
NUM_BYTES = [4 * 2**10 * 4**power for power in range(7)]
BYTES_PER_SLOT, BYTES_PER_ID, BYTES_PER_NUMBER = 4, 8, 4
NUM_FIELDS, DIM, ROWS_OF_RANK = 20, 18, 4096
NUM_ROWS = 10_000_000
NUM_TOWER_PARAMETERS = 2 * (360 * 361 + 361 * 200 + 201 * 80 + 81)
RANKS = (2, 8, 64, 256, 1024)

Fit = tuple[float, float]
"""Latency in seconds, and bytes per second."""


def distinct_rows_of_rank() -> float:
    """Expected distinct rows of 4,096 uniform draws from each of 20 tables."""
    rows = NUM_ROWS / NUM_FIELDS
    return NUM_FIELDS * rows * (1 - (1 - 1 / rows) ** ROWS_OF_RANK)


def sent_bytes(num_ranks: int) -> dict[str, float]:
    """What one rank sends in a step, by way of training the tables; the towers' sum included."""
    share = (num_ranks - 1) / num_ranks
    towers = 2 * share * NUM_TOWER_PARAMETERS * BYTES_PER_NUMBER
    rows, vector = distinct_rows_of_rank(), DIM * BYTES_PER_NUMBER
    return {
        "sharded": share * rows * (BYTES_PER_SLOT + 2 * vector) + towers,
        "all-gather": (num_ranks - 1) * rows * (BYTES_PER_ID + vector) + towers,
        "dense": 2 * share * NUM_ROWS * vector + towers,
    }


def modelled_seconds(num_ranks: int, exchange: Fit, allreduce: Fit) -> dict[str, float]:
    """The communication of a step, none of it hidden behind computation."""
    share = (num_ranks - 1) / num_ranks
    towers_bytes = 2 * share * NUM_TOWER_PARAMETERS * BYTES_PER_NUMBER
    latency, bandwidth = exchange
    sum_latency, sum_bandwidth = allreduce
    towers = 2 * (num_ranks - 1) * sum_latency + towers_bytes / sum_bandwidth
    sent = {name: total - towers_bytes for name, total in sent_bytes(num_ranks).items()}
    hops = num_ranks - 1
    return {
        "sharded": 3 * hops * latency + sent["sharded"] / bandwidth + towers,
        "all-gather": 2 * hops * latency + sent["all-gather"] / bandwidth + towers,
        "dense": 2 * hops * sum_latency + sent["dense"] / sum_bandwidth + towers,
    }


def fit(seconds_of_bytes: dict[int, float]) -> Fit:
    """Least squares of the relative error, so that small messages count as much as large ones."""
    sizes, seconds = (np.array(list(v), float) for v in
                      (seconds_of_bytes, seconds_of_bytes.values()))
    design = np.stack([1 / seconds, sizes / seconds], axis=1)
    (latency, seconds_per_byte), *_ = np.linalg.lstsq(design, np.ones(len(sizes)), rcond=None)
    return max(latency, 1e-6), 1 / seconds_per_byte


def measure(world: World, num_repeats: int) -> dict[str, dict[int, float]]:
    """The shortest time of each collective, by the bytes that a rank sends."""
    def shortest(collective: Callable[[], object]) -> float:
        times = []
        for _ in range(num_repeats):
            world.barrier("start")
            begun = time.perf_counter()
            collective()
            times.append(time.perf_counter() - begun)
        return min(times)

    found: dict[str, dict[int, float]] = {"exchange": {}, "allreduce": {}}
    for num_bytes in NUM_BYTES:
        # Half stays on this rank: twice as much is handed over as is sent.
        numbers = torch.zeros(2 * num_bytes // BYTES_PER_NUMBER)
        halves = [len(numbers) // 2] * 2
        found["exchange"][num_bytes] = shortest(
            lambda: world.begin_exchange(numbers, halves, "exchange").wait())
        sum_of = numbers[: num_bytes // BYTES_PER_NUMBER]  # a ring of two sends it once
        found["allreduce"][num_bytes] = shortest(lambda: world.sum(sum_of, "allreduce"))
    return found


def fits_text(fits: Mapping[str, Fit]) -> str:
    """The two parameters of each collective, as Markdown."""
    return table(["", "latency, µs", "bandwidth, GB/s"], [
        [name, f"{latency * 1e6:.0f}", f"{bandwidth / 1e9:.2f}"]
        for name, (latency, bandwidth) in fits.items()])


def measured_text(measured: Mapping[str, Mapping[int, float]], fits: Mapping[str, Fit]) -> str:
    """What was measured beside what the fit says of it, as Markdown."""
    header = ["bytes", *(f"{name}, {what}" for name in measured for what in ("ms", "fitted"))]
    return table(header, [
        [f"{num_bytes:,}", *(
            f"{1e3 * seconds:.2f}" for name, (latency, bandwidth) in fits.items()
            for seconds in (measured[name][num_bytes], latency + num_bytes / bandwidth))]
        for num_bytes in NUM_BYTES])


def modelled_text(fits: Mapping[str, Fit]) -> str:
    """Bytes that a rank sends in a step, and the seconds that the model gives them, as Markdown."""
    ways = list(sent_bytes(2))
    rows = []
    for num_ranks in RANKS:
        sent = sent_bytes(num_ranks)
        seconds = modelled_seconds(num_ranks, fits["exchange"], fits["allreduce"])
        rows.append([f"{num_ranks:,}",
                     *(f"{sent[way] / 1e6:,.4g} MB, {seconds[way]:.3g} s" for way in ways)])
    return table(["ranks", *ways], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="five repeats instead of thirty")
    parser.add_argument("--latency-us", type=float)
    parser.add_argument("--gigabytes-per-second", type=float)
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.latency_us is not None and arguments.gigabytes_per_second is not None:
        given = arguments.latency_us / 1e6, arguments.gigabytes_per_second * 1e9
        print(modelled_text({"exchange": given, "allreduce": given}))
        return
    if arguments.rank:
        with connect() as world:
            found = measure(world, 5 if arguments.quick else 30)
            if world.rank == 0:
                print("measured", json.dumps(found))
        return
    launcher = Path(sys.executable).with_name("horovodrun")
    command = [str(launcher), "--gloo", "-np", "2", sys.executable, "-m", "benchmarks.exchange",
               "--rank", *(["--quick"] if arguments.quick else [])]
    done = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE)
    (line,) = [line for line in done.stdout.splitlines() if "measured {" in line]
    measured = {name: {int(size): seconds for size, seconds in of_name.items()} for name, of_name
                in json.loads(line.partition("measured ")[2]).items()}
    fits = {name: fit(of_name) for name, of_name in measured.items()}
    print(fits_text(fits), modelled_text(fits), sep="\n")
    if not arguments.quick:
        print(write_record(stem("exchange"), record(measured, fits)))
    most = modelled_seconds(RANKS[-1], fits["exchange"], fits["allreduce"])
    print(json.dumps({"ratios": {
        f"{way} to sharded, {RANKS[-1]:,} ranks": round(seconds / most["sharded"], 2)
        for way, seconds in most.items() if way != "sharded"}, "bars": {}, "missed": []}))


def record(measured: Mapping[str, Mapping[int, float]], fits: Mapping[str, Fit]) -> str:
    """The page."""
    latency_us = fits["exchange"][0] * 1e6
    return "".join([
        heading("What a step sends, and what it would take on many ranks",
                "python -m benchmarks.exchange",
                "Two Horovod processes over loopback (Gloo); the shortest of thirty."),
        "\nFitted as latency + bytes / bandwidth, by the least relative errors:\n\n",
        fits_text(fits), "\nMeasured, and as fitted:\n\n", measured_text(measured, fits),
        f"\n## One step\n\n{ROWS_OF_RANK:,} rows a rank, {NUM_FIELDS} fields of dimension {DIM}, "
        f"towers 360-200-80, tables of {NUM_ROWS:,} rows, uniform ids (nothing repeats: the worst "
        "case). What a rank sends, and the seconds of it by the model, none hidden behind "
        "computation:\n\n", modelled_text(fits),
        f"\nAn exchange costs {latency_us:.0f} µs a partner by this machine's loopback, tens of "
        "them by a cluster's network: `--latency-us` and `--gigabytes-per-second` model another "
        "one. Nothing beyond eight processes has been run.\n",
    ])


if __name__ == "__main__":
    main()
