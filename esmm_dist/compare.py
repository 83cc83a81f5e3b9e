"""Trains several methods on the same samples with several seeds, and compares them.

    python -m esmm_dist.compare --methods base esmm_ns esmm --seeds 3
    python -m esmm_dist.compare --config conf/ali_ccp_like.yaml --methods esmm base --baseline base
    horovodrun -np 8 python -m esmm_dist.compare --methods esmm dcmt --seeds 10

Trains each method with the seeds 1 to N in runs/<name>.compare/<method>-seed<n>/, and
`independent`, whose CTR network all methods share in the paper's protocol; leaves there
comparison.json, .csv and .html. What is trained or predicted already stays: an interrupted
comparison goes on where it stopped. Beside simulated logs the truth is read too.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np

from esmm_dist.contract.command_line import (
    config_from,
    config_parser,
    file_errors_told,
    run_command,
)
from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.method_options import MethodName
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.distributed.world import connect
from esmm_dist.evaluate import commit, fold_records, pooled_predictions, predict_run
from esmm_dist.evaluation.comparison import (
    Comparison,
    Cost,
    TestRows,
    Trial,
    compare,
)
from esmm_dist.evaluation.comparison_page import (
    print_comparison,
    render_comparison,
    to_csv,
)
from esmm_dist.evaluation.prediction_files import read_parts
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import model_codes
from esmm_dist.evaluation.tasks import group_codes
from esmm_dist.evaluation.truth import read_truth
from esmm_dist.model.method import options_of
from esmm_dist.simulation.record import check_drawn_as
from esmm_dist.train import CHECKPOINTS, train_run
from esmm_dist.training.trained_run import TrainedRun, open_run

METHOD_NAMES: tuple[str, ...] = get_args(MethodName)
COMMON_CTR = "independent"
COST = "cost.json"


# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> None:
    """Parses the flags, trains and predicts with all ranks, compares with the first."""
    parser = config_parser(__doc__)
    parser.add_argument("--methods", nargs="+", required=True, metavar="METHOD",
                        help=f"of {', '.join(METHOD_NAMES)}")
    parser.add_argument("--seeds", type=int, default=1, metavar="N",
                        help="trainings of each method (default: 1)")
    parser.add_argument("--baseline", metavar="METHOD",
                        help="what the others are compared with (default: the first)")
    arguments = parser.parse_args(argv)
    methods, baseline = _methods(parser, arguments.methods, arguments.baseline)
    if arguments.seeds < 1:
        parser.error(f"--seeds {arguments.seeds}: give at least 1")
    seeds = range(1, arguments.seeds + 1)
    with connect() as world, file_errors_told():
        config = config_from(arguments)
        if config.simulate is not None:
            check_drawn_as(config)
        configs = {(method, seed): trial_config(config, method, seed)
                   for method in dict.fromkeys([*methods, COMMON_CTR]) for seed in seeds}
        for number, ((method, seed), of_trial) in enumerate(configs.items(), start=1):
            if world.rank == 0:
                print(f"[{number}/{len(configs)}] {method}, seed {seed}", file=sys.stderr)
            train_and_predict(of_trial, world)
        is_first = world.rank == 0
    if is_first:
        write_comparison(config, configs, methods, baseline, seeds)


def _methods(
    parser: ArgumentParser, asked: Sequence[str], baseline: str | None
) -> tuple[list[str], str]:
    """The methods without repeats, the baseline first."""
    for method in [*asked, *([baseline] if baseline else [])]:
        if method not in METHOD_NAMES:
            parser.error(f"{method}: no such method; known are {', '.join(METHOD_NAMES)}")
    first = baseline or asked[0]
    return list(dict.fromkeys([first, *asked])), first


def trial_config(config: Config, method: str, seed: int) -> Config:
    """The config of one training: options that the method does not use are left out."""
    document = config.model_dump(mode="json")
    document |= {"name": f"{method}-seed{seed}", "runs_path": str(folder_of(config))}
    options = document["model"]["options"]
    used = options_of(method)
    document["model"] |= {"method": method,
                          "options": {key: options[key] for key in used if key in options}}
    document["train"]["seed"] = seed
    return parse_config(document, f"{method}, seed {seed}")


def folder_of(config: Config) -> Path:
    """Where a comparison and its trainings lie."""
    return Path(config.runs_path) / f"{config.name}.compare"


# ---------------------------------------------------------------------------------------------
# Training and predicting: all ranks
# ---------------------------------------------------------------------------------------------


def train_and_predict(config: Config, world: World) -> None:
    """Does what is not done yet.

    Raises:
        InputError: the folder holds a training by another config.
    """
    path = Path(config.runs_path) / config.name
    if all(world.gather_objects(_is_predicted(config, path), name="predicted before")):
        return
    is_whole = not any((path / CHECKPOINTS).glob("*/*"))
    _forget_peak_memory()
    start = time.perf_counter()
    train_run(config, world, resume=True)
    if world.rank == 0:
        cost = Cost(train_seconds=time.perf_counter() - start, peak_memory_mb=_peak_memory_mb(),
                    num_ranks=world.num_ranks, is_whole=is_whole)
        _write_atomically(path / COST, cost.model_dump_json())
    world.barrier(name="trained")
    predict_run(open_run(config, path), world)


def _is_predicted(config: Config, path: Path) -> bool:
    """Whether the predictions there are those of the run's last checkpoints."""
    try:
        run = open_run(config, path)
        return all(
            read_parts(path / "predictions" / trained.fold.name)[1].checkpoint == trained.digest
            for trained in run.folds
        )
    except InputError:
        return False


def _forget_peak_memory() -> None:
    """Begins a new peak for this process, where the system allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pass  # then the peak is that of all trainings so far


def _peak_memory_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


# ---------------------------------------------------------------------------------------------
# Comparing: the first rank
# ---------------------------------------------------------------------------------------------


def write_comparison(
    config: Config, configs: dict[tuple[str, int], Config], methods: Sequence[str], baseline: str,
    seeds: Sequence[int],
) -> None:
    """Measures all trials on the same rows, writes the three files, and tells."""
    trials = Trials(configs)
    first = trials.predictions(baseline, seeds[0])
    print(f"comparing {len(methods)} methods x {len(seeds)} seeds on {len(first):,} rows, "
          f"{config.evaluate.num_bootstraps:,} draws of groups", file=sys.stderr)
    rows = TestRows(first, model_codes(first, fold_records(trials.run(baseline, seeds[0]))),
                    config.evaluate.num_bootstraps)
    if config.simulate is not None:
        truth, known_N = read_truth(Path(config.simulate.path) / "truth", first)
        rows = replace(rows, truth=truth, known_N=known_N)
    figures, best = compare(rows, baseline, {
        method: trials.of(method, seeds, first) for method in methods})
    comparison = Comparison(
        name=config.name, note=config.note, compared_at=datetime.now(UTC).replace(microsecond=0),
        commit=commit(), baseline=baseline, num_impressions=len(first),
        num_clicks=int((first.click_N == 1).sum()),
        num_conversions=int((first.conversion_N == 1).sum()), num_groups=group_codes(first)[1],
        num_bootstraps=config.evaluate.num_bootstraps,
        num_unknown_to_truth=None if rows.truth is None else len(first) - len(rows.known_N),
        best=best, methods=figures,
    )
    folder = folder_of(config)
    page = render_comparison(comparison)
    _write_atomically(folder / "comparison.json", comparison.model_dump_json(indent=1) + "\n")
    _write_atomically(folder / "comparison.csv", to_csv(comparison))
    _write_atomically(folder / "comparison.html", page)
    print_comparison(comparison)
    print(folder / "comparison.html")


class Trials:
    """The trained runs of a comparison, read one at a time."""

    def __init__(self, configs: dict[tuple[str, int], Config]) -> None:
        self.configs = configs

    def run(self, method: str, seed: int) -> TrainedRun:
        """A trained run."""
        config = self.configs[method, seed]
        return open_run(config, Path(config.runs_path) / config.name)

    def predictions(self, method: str, seed: int) -> Predictions:
        """What a run predicts for all test days."""
        return pooled_predictions(self.run(method, seed), "predictions")

    def of(self, method: str, seeds: Sequence[int], first: Predictions) -> Iterator[Trial]:
        """A method's trials in order of seeds.

        Raises:
            InputError: a run predicted other rows than the first.
        """
        for seed in seeds:
            print(f"measuring {method}, seed {seed}", file=sys.stderr)
            own, common = (self.predictions(name, seed) for name in (method, COMMON_CTR))
            for name, other in ((method, own), (COMMON_CTR, common)):
                if not np.array_equal(other.sample_id_N, first.sample_id_N):
                    config = self.configs[name, seed]
                    raise InputError(
                        f"{config.runs_path}/{config.name}: it predicted other samples than the "
                        "first run: remove the runs of the older samples, and compare again"
                    )
            yield Trial(seed, own, common, self._cost(method, seed))

    def _cost(self, method: str, seed: int) -> Cost:
        config = self.configs[method, seed]
        document: Any = json.loads((Path(config.runs_path) / config.name / COST).read_text())
        return Cost.model_validate(document)


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:], "the same command goes on where it stopped"))
