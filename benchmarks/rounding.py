"""What rounding costs in AUC: vectors exchanged as float16, and products taken of bfloat16.

    horovodrun --gloo -np 2 python -m benchmarks.rounding [--seeds N]

KuaiRand by conf/kuairand.yaml, trained once on 24 to 30 April 2022 and tested on 1 to 5 May, on two
ranks: as it is (float32), with `embedding.exchange: float16`, and with `train.mixed_precision:
bfloat16`, for the same seeds. Differences are paired by seed, on the same rows. What is built or
trained stays in data/rounding and is not done again; the record is written beside this script.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.parts.record import heading, stem, table, write_record
from esmm_dist.contract.config import load_config, parse_config
from esmm_dist.contract.folds import folds_of
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.distributed.world import connect
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import FoldRecord, make_scope
from esmm_dist.scenarios import is_built
from esmm_dist.trials import predictions_of, train_and_predict

CONFIG = "conf/kuairand.yaml"
FOLDER = Path("data/rounding")
PLAIN = "float32"
CHANGES: dict[str, dict[str, dict[str, str]]] = {
    PLAIN: {},
    "exchange of float16": {"embedding": {"exchange": "float16"}},
    "products of bfloat16": {"train": {"mixed_precision": "bfloat16"}},
}
METRICS = ("ctr_auc", "ctr_logloss", "cvr_auc_click", "ctcvr_auc", "ctcvr_logloss")
NUM_DRAWS = 100
LEVEL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(1, parser.parse_args().seeds + 1)
    shared = load_config(CONFIG, [
        f"samples.path={FOLDER / 'samples'}", f"runs_path={FOLDER / 'runs'}",
        "evaluate.retrain=once", "train.days.last=2022-04-30",
    ])
    configs = {(name, seed): variant(shared, name, seed) for seed in seeds for name in CHANGES}
    with connect() as world:
        build(shared, world)
        for config in configs.values():
            train_and_predict(config, world)
        is_first = world.rank == 0
    if is_first:
        report({key: metrics_of(config) for key, config in configs.items()}, len(seeds))


def variant(shared: Config, name: str, seed: int) -> Config:
    """The config of one training."""
    document = shared.model_dump(mode="json")
    document["name"] = f"{name.replace(' ', '_')}-seed{seed}"
    document["train"]["seed"] = seed
    for section, values in CHANGES[name].items():
        document[section] |= values
    return parse_config(document, name)


def build(config: Config, world: World) -> None:
    """The samples, unless they are there."""
    if world.rank == 0 and not is_built(config):
        subprocess.run(["spark-submit", "jobs/build_samples.py", "--config", CONFIG, "--set",
                        f"samples.path={config.samples.path}"], check=True)
    world.barrier(name="built")


def metrics_of(config: Config) -> dict[str, float]:
    """Of all test rows."""
    predictions: Predictions = predictions_of(config)
    folds = [FoldRecord.of(fold, "", 0, 0) for fold in folds_of(config)]
    scope = make_scope(predictions, predictions, folds, NUM_DRAWS)
    return {metric: scope.model[metric].value or math.nan for metric in METRICS}


def report(found: dict[tuple[str, int], dict[str, float]], num_seeds: int) -> None:
    """The record, and one JSON line."""
    rows, gaps = [], {}
    for metric in METRICS:
        of_name = {name: np.array([found[name, seed + 1][metric] for seed in range(num_seeds)])
                   for name in CHANGES}
        plain = of_name.pop(PLAIN)
        row = [metric, f"{plain.mean():.5f}", f"{plain.std(ddof=1):.5f}"]
        for name, values in of_name.items():
            gap = values - plain
            mean = float(gap.mean())
            half = stats.t.ppf((1 + LEVEL) / 2, num_seeds - 1) * stats.sem(gap)
            row.append(f"{mean:+.5f} ({mean - half:+.5f} to {mean + half:+.5f})")
            gaps[f"{name}: {metric}"] = round(mean, 5)
        rows.append(row)
    text = heading(
        "What rounding costs in AUC",
        f"horovodrun --gloo -np 2 python -m benchmarks.rounding --seeds {num_seeds}",
        f"Config: `{CONFIG}`, trained on 24 to 30 April, tested on 1 to 5 May 2022, two ranks.",
    ) + (
        f"\nMeans over {num_seeds} seeds. Differences are to float32, paired by seed, on the same "
        f"rows; {LEVEL:.0%} intervals by Student's t over seeds.\n\n"
    ) + table(["metric", PLAIN, "its spread over seeds", *list(CHANGES)[1:]], rows)
    print(text)
    print(write_record(stem("rounding"), text))
    print(json.dumps({"ratios": gaps, "bars": {}, "missed": []}))


if __name__ == "__main__":
    main()
