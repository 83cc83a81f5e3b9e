"""Progressive evaluation on KuaiRand: train to day d, test on d + 1, warm against from scratch.

    python -m benchmarks.progressive [--quick] [--scratch-days N]

The commands of a night, over 1 to 5 May 2022 (--quick: to 3 May), by conf/kuairand_nightly.yaml
with complete logs. Each night appends to the vocabularies, builds the day, and trains on what was
known before it: from scratch on the last N days, or from the bundle of the night before on the one
new day, with the optimizers' state kept or reset. The first night, from scratch for all, is not
compared. Everything lies in data/progressive, which is made anew.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from benchmarks.parts.record import heading, stem, table, write_record
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.contract.folds import Fold
from esmm_dist.evaluate import main as evaluate
from esmm_dist.evaluation.figures import figure, interval_text, signed
from esmm_dist.evaluation.prediction_files import read_parts
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import FoldRecord, Scope, make_scope
from esmm_dist.publish import main as publish
from esmm_dist.serving.store import BundleStore
from esmm_dist.train import main as train

CONFIG = "conf/kuairand_nightly.yaml"
FOLDER = Path("data/progressive")
FIRST_NIGHT, LAST_NIGHT, LAST_QUICK = date(2022, 5, 1), date(2022, 5, 5), date(2022, 5, 3)
WARM = {"warm, state kept": "keep", "warm, state reset": "reset"}
SCRATCH = "from scratch"
METRICS = ("ctr_auc", "ctr_ne", "ctr_pcoc", "cvr_auc_click", "cvr_ne_click", "ctcvr_auc",
           "ctcvr_ne", "ctcvr_pcoc")
NUM_DRAWS = 1000


@dataclass
class Line:
    """One way to come to a model every night."""

    name: str
    predictions: dict[date, Predictions] = field(default_factory=dict)
    train_cpu_seconds: list[float] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """Its runs and bundles below FOLDER."""
        return self.name.replace(",", "").replace(" ", "_")

    def night(self, day: date, scratch_days: int) -> None:
        """Trains on what was known before a day, and predicts it."""
        first = day - timedelta(days=scratch_days)
        flags = [
            *shared_flags(), "--for-day", str(day), "--set", f"name={self.folder}",
            "--set", f"train.days.first={first_of_config(first, day)}",
            "--set", f"publish.path={FOLDER / self.folder}",
        ]
        if self.name in WARM:
            flags += ["--set", "train.warm_start=current", "--set", "train.warm_first=from_scratch",
                      "--set", f"train.warm_optimizer={WARM[self.name]}"]
        before = cpu_seconds()
        run(train, flags)
        self.train_cpu_seconds.append(cpu_seconds() - before)
        run(evaluate, flags)
        if self.name in WARM:
            run(publish, flags)
        folder = FOLDER / "runs" / f"{self.folder}-{day}" / "predictions" / day.isoformat()
        self.predictions[day] = read_parts(folder)[0]

    def pooled(self, days: Sequence[date]) -> Predictions:
        """All rows of some days, in order of samples."""
        parts = Predictions.concatenate([self.predictions[day] for day in days])
        return parts.in_order_of_samples(self.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three nights, no record")
    parser.add_argument("--scratch-days", type=int, default=7)
    arguments = parser.parse_args()
    last = LAST_QUICK if arguments.quick else LAST_NIGHT
    days = [FIRST_NIGHT + timedelta(days=n) for n in range((last - FIRST_NIGHT).days + 1)]
    shutil.rmtree(FOLDER, ignore_errors=True)
    lines = [Line(name) for name in (SCRATCH, *WARM)]
    for day in days:
        build(day)
        for line in lines:
            line.night(day, arguments.scratch_days)
    compared = days[1:]
    scratch = lines[0].pooled(compared)
    scopes = {line.name: make_scope(line.pooled(compared), scratch, folds(compared), NUM_DRAWS)
              for line in lines}
    text = record(lines, scopes, compared, arguments.scratch_days)
    print(text)
    if not arguments.quick:
        print(write_record(stem("progressive"), text))
    gaps = {f"{name}: {metric}": round(scope.difference[metric].value or 0.0, 4)
            for name, scope in scopes.items() if name in WARM
            for metric in ("ctr_auc", "cvr_auc_click", "ctcvr_auc")}
    print(json.dumps({"ratios": gaps, "bars": {}, "missed": []}))


def build(day: date) -> None:
    """The night's samples: ids are appended, so that those of the models before stay."""
    command = ["spark-submit", "jobs/build_samples.py", *shared_flags(), "--for-day", str(day),
               "--ripening"]
    appended = [] if day == FIRST_NIGHT else ["--append"]
    done = subprocess.run([*command, *appended], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.stdout)  # spark-submit lets a job's stderr out there


def shared_flags() -> list[str]:
    """Where everything lies, and that the logs are complete."""
    values = {"runs_path": FOLDER / "runs", "samples.path": FOLDER / "samples",
              "samples.as_of": "null", "gate": "null", "evaluate.num_bootstraps": 100,
              # The last night's windows reach to after the logs' end.
              "logs.clicks.empty_days": "allow", "logs.conversions.empty_days": "allow"}
    return ["--config", CONFIG,
            *(part for key, value in values.items() for part in ("--set", f"{key}={value}"))]


def first_of_config(first: date, day: date) -> date:
    """A day as the config says it, which --for-day then moves to where it is meant."""
    return first - (day - load_config(CONFIG).samples.days.last)


def run(command: Callable[[Sequence[str]], None], flags: Sequence[str]) -> None:
    """One of the project's commands, in this process."""
    if status := run_command(command, flags):
        sys.exit(status)


def cpu_seconds() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def folds(days: Sequence[date]) -> list[FoldRecord]:
    """A model a night: scores of two nights do not compare."""
    return [FoldRecord.of(Fold((day - timedelta(days=1),), (day,)), "", 0, 0) for day in days]


def record(
    lines: Sequence[Line], scopes: dict[str, Scope], days: Sequence[date], scratch_days: int
) -> str:
    """The page."""
    scope = scopes[SCRATCH]
    sizes = vocabulary_sizes(lines)
    rows = []
    for metric in METRICS:
        row = [metric, figure(scope.model[metric].value, metric)]
        for name in WARM:
            gap = scopes[name].difference[metric]
            row += [figure(scopes[name].model[metric].value, metric),
                    f"{signed(gap.value, metric)} "
                    f"({interval_text(gap, metric, of_difference=True)})"]
        rows.append(row)
    cost = [[line.name, f"{np.mean(line.train_cpu_seconds[1:]):.1f}"] for line in lines]
    return "\n".join([
        heading("Progressive evaluation on KuaiRand", "python -m benchmarks.progressive",
                f"Config: `{CONFIG}`, complete logs; one seed."),
        f"Each day from {days[0]} to {days[-1]} is predicted by a model that learned up to the day "
        f"before: {scope.num_impressions:,} impressions, {scope.num_clicks:,} clicks, "
        f"{scope.num_conversions:,} conversions (likes) of {scope.num_groups:,} users. From "
        f"scratch: on the last {scratch_days} days. Warm: from the bundle of the night before, on "
        "the one new day. Differences are to training from scratch, paired on the same rows; 95 % "
        f"intervals by {NUM_DRAWS:,} draws of users, which hold no chance of training.\n",
        table(["metric", SCRATCH, *(part for name in WARM for part in (name, "difference"))], rows),
        f"Vocabulary keys, first bundle to last: {sizes}.\n",
        table(["training of a night", "CPU seconds"], cost),
    ])


def vocabulary_sizes(lines: Sequence[Line]) -> str:
    """How many keys the first and the last bundle of a warm line know."""
    line = next(line for line in lines if line.name in WARM)
    store = BundleStore(FOLDER / line.folder)
    bundle = store.current()
    assert bundle is not None
    last = first = bundle
    while first.index.parent is not None:
        first = store.open(first.index.parent)
    num_first, num_last = (sum(map(len, b.encodings.vocabularies.values())) for b in (first, last))
    return f"{num_first:,} to {num_last:,}"


if __name__ == "__main__":
    main()
