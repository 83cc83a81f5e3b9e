"""Boosted trees grown jointly against ESMM's loss, beside an ensemble each for CTR and CVR.

    python -m benchmarks.trees [--quick]

On KuaiRand each test day is predicted from all days before it, and differences are paired by draws
of users; in the world of conf/audit.yaml, drawn five times, pCVR is held against the true
p(conversion | do(click), x), and differences are paired by draws of the world. Trees are as
`evaluate.trees` has them by default; nothing is tuned. The record is written beside this script.
--quick: one world alone, no record.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.parts.record import heading, stem, table, write_record
from esmm_dist.contract.batch import Batch
from esmm_dist.contract.config import load_config
from esmm_dist.contract.folds import folds_of
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.evaluation.comparison import TestRows, Trial, compare
from esmm_dist.evaluation.comparison_document import Cost, MethodFigures
from esmm_dist.evaluation.figures import figure, method_name, signed
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.trees import JointTrees, TreesApart
from esmm_dist.evaluation.truth import read_truth, truth_metrics
from esmm_dist.reader.samples import SampleReader
from esmm_dist.scenarios import build, draw_and_build, is_built, scenario_config

SIMULATED, REAL = "conf/audit.yaml", "benchmarks/kuairand_paper.yaml"
WORLDS = Path("runs/audit.audit")
"""Those of `benchmarks.audit`, if it has run: the same draws."""
NUM_WORLDS = 5
GROWN: Mapping[str, type[TreesApart] | type[JointTrees]] = {
    "trees_apart": TreesApart, "trees_jointly": JointTrees}
OF_LABELS = ("ctr_auc", "cvr_auc_click", "cvr_ne_click", "cvr_pcoc_click", "ctcvr_auc", "ctcvr_ne")
OF_TRUTH = ("true_cvr_auc", "true_cvr_auc_unclicked", "true_cvr_excess", "true_cvr_pcoc",
            "true_cvr_pcoc_unclicked", "true_ctcvr_auc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one world alone, no record")
    arguments = parser.parse_args()
    worlds = in_worlds(1 if arguments.quick else NUM_WORLDS)
    print(table_of_worlds(worlds))
    if not arguments.quick:
        print(write_record(stem("trees"), record(worlds, on_kuairand())))
    gap = np.mean([values["trees_jointly"]["true_cvr_auc"] - values["trees_apart"]["true_cvr_auc"]
                   for values in worlds])
    print(json.dumps({"ratios": {"true_cvr_auc, joint - apart": round(float(gap), 4)},
                      "bars": {}, "missed": []}))


# ---------------------------------------------------------------------------------------------
# Growing and predicting
# ---------------------------------------------------------------------------------------------


def predicted(name: str, config: Config) -> tuple[Predictions, Cost]:
    """All test days by trees grown on the training days of their fold."""
    manifest = read_manifest(config.samples.path)
    reader = SampleReader(config.samples.path, manifest, config.features, with_keys=True)

    def read(days: Sequence[date]) -> Iterator[Batch]:
        with reader.evaluation_batches(days, config.evaluate.batch_size, 1, 0) as batches:
            yield from batches

    start, parts = time.process_time(), []
    for fold in folds_of(config):
        grown = GROWN[name].fit(read(fold.train_days), config.features, config.evaluate.trees)
        parts += [Predictions.collect(day, read([day]), grown.predict) for day in fold.test_days]
    cost = Cost(train_seconds=time.process_time() - start, peak_memory_mb=0, num_ranks=1,
                is_whole=True)
    return Predictions.concatenate(parts).in_order_of_samples(name), cost


def on_kuairand() -> tuple[MethodFigures, ...]:
    """Figures of both, and the differences of the pair."""
    config = load_config(REAL)
    if not is_built(config):
        build([config])
    found = {name: predicted(name, config) for name in GROWN}
    first, _ = next(iter(found.values()))
    fold_N = np.unique(first.day_N, return_inverse=True)[1]
    rows = TestRows(first, fold_N, config.evaluate.num_bootstraps)
    return compare(rows, "trees_apart", {
        name: [Trial(0, own, own, cost)] for name, (own, cost) in found.items()})[0]


def in_worlds(num_worlds: int) -> list[dict[str, dict[str, float]]]:
    """By draw of the world what both come to against its truth."""
    config = load_config(SIMULATED)
    assert config.simulate is not None
    worlds = [scenario_config(config, WORLDS / f"as-declared-{number}",
                              config.simulate.seed + number - 1, {})
              for number in range(1, num_worlds + 1)]
    draw_and_build(worlds)
    return [{name: _against_truth(name, world) for name in GROWN} for world in worlds]


def _against_truth(name: str, config: Config) -> dict[str, float]:
    assert config.simulate is not None
    own, cost = predicted(name, config)
    truth, known_N = read_truth(Path(config.simulate.path) / "truth", own)
    return truth_metrics(own.take(known_N), truth) | {"cpu_seconds": cost.train_seconds}


# ---------------------------------------------------------------------------------------------
# Telling
# ---------------------------------------------------------------------------------------------


def table_of_worlds(worlds: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    """Means over draws, and the paired difference with Student's 95 % interval."""
    rows = []
    for metric in OF_TRUTH:
        apart, jointly = (np.array([values[name][metric] for values in worlds]) for name in GROWN)
        rows.append([metric, figure(apart.mean(), metric), figure(jointly.mean(), metric),
                     _mean_and_reach(jointly - apart, metric)])
    return table(["metric", *map(method_name, GROWN), "joint - apart"], rows)


def _mean_and_reach(gaps: "np.ndarray[tuple[int], np.dtype[np.float64]]", metric: str) -> str:
    if len(gaps) < 2:
        return signed(float(gaps.mean()), metric)
    reach = stats.sem(gaps) * stats.t.ppf(0.975, len(gaps) - 1)
    return f"{signed(float(gaps.mean()), metric)} ± {figure(float(reach), metric)}"


def table_of_kuairand(figures: Sequence[MethodFigures]) -> str:
    """Both, and their difference with its interval by draws of users."""
    apart, jointly = figures
    rows = []
    for metric in OF_LABELS:
        gap = jointly.differences[metric]
        rows.append([metric, *(figure(of_one.metrics[metric].mean, metric) for of_one in figures),
                     f"{signed(gap.mean, metric)} ({signed(gap.low, metric)} to "
                     f"{signed(gap.high, metric)})"])
    return table(["metric", *map(method_name, GROWN), "joint - apart"], rows)


def record(
    worlds: Sequence[Mapping[str, Mapping[str, float]]], figures: Sequence[MethodFigures]
) -> str:
    """The page."""
    seconds = ", ".join(f"{of_one.costs[0].train_seconds:.0f} s {method_name(of_one.method)}"
                        for of_one in figures)
    of_worlds = ", ".join(
        f"{np.mean([values[name]['cpu_seconds'] for values in worlds]):.0f} s {method_name(name)}"
        for name in GROWN)
    return "".join([
        heading("Boosted trees: jointly on ESMM's loss, and apart", "python -m benchmarks.trees",
                f"Configs: `{REAL}`, `{SIMULATED}`; `evaluate.trees` by default."),
        "\nWhat is grown, and what the Hessian asks for: docs/gbt.md. Names of metrics: "
        "docs/comparison.md.\n\n## KuaiRand, day-ahead\n\nEach of five test days from all before "
        "it; intervals are 95 % by draws of users.\n\n", table_of_kuairand(figures),
        f"\nCPU, growing and predicting: {seconds}.\n\n## A simulated world, against its truth\n\n"
        f"conf/audit.yaml as declared, drawn {len(worlds)} times; all test impressions unless the "
        "metric says otherwise; ± is Student's 95 % over draws, of paired differences.\n\n",
        table_of_worlds(worlds), f"\nCPU a world: {of_worlds}.\n",
    ])


if __name__ == "__main__":
    main()
