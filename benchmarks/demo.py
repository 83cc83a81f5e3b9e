"""The figures of the README: the demo's three commands, timed, and what the last one prints.

    python -m benchmarks.demo [--quick]

Runs what `make demo` runs, into a folder of its own, and writes the record beside this script;
tests/architecture/test_figures.py holds the README to it. --quick: one process trains, no record.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.parts.record import heading, stem, table, write_record

ROOT = Path(__file__).resolve().parents[1]
METRICS = ("ctr_auc", "cvr_auc_click", "ctcvr_auc", "ctcvr_gauc", "ctcvr_pcoc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one process trains, no record")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        to = [part for key in (f"samples.path={folder}/samples", f"runs_path={folder}/runs")
              for part in ("--set", key)]
        trainers = [] if arguments.quick else ["horovodrun", "-np", "2"]
        commands = {
            "spark-submit jobs/build_samples.py": ["spark-submit", "jobs/build_samples.py"],
            "horovodrun -np 2 python -m esmm_dist.train":
                [*trainers, sys.executable, "-m", "esmm_dist.train"],
            "python -m esmm_dist.evaluate": [sys.executable, "-m", "esmm_dist.evaluate"],
        }
        seconds, printed = {}, ""
        for shown, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run([*command, *to], cwd=ROOT, check=True, text=True,
                                  stdout=subprocess.PIPE, env=os.environ | {"COLUMNS": "100"})
            seconds[shown], printed = time.perf_counter() - start, done.stdout
        metrics = json.loads(Path(folder, "runs/kuairand/metrics.json").read_text())
    if not arguments.quick:
        print(write_record(stem("demo"), "".join([
            heading("The demo's figures: ESMM beside a logistic regression, day-ahead",
                    "python -m benchmarks.demo", "Config: `conf/kuairand.yaml`, 2 ranks, seed 1."),
            "\n", table(["", "wall, s"], [[name, f"{took:.0f}"] for name, took in seconds.items()]),
            "\n```\n", "\n".join(printed.splitlines()[:-1]), "\n```\n"])))
    pooled = metrics["pooled"]["model"]
    print(json.dumps({"ratios": {name: round(pooled[name]["value"], 4) for name in METRICS},
                      "bars": {}, "missed": []}))


if __name__ == "__main__":
    main()
