"""Trains several methods on the same samples with several seeds, and compares them.

    python -m esmm_dist.compare --methods base esmm_ns esmm --seeds 3
    python -m esmm_dist.compare --config conf/ali_ccp_like.yaml --methods esmm base --baseline base
    horovodrun -np 8 python -m esmm_dist.compare --methods esmm dcmt --seeds 10

Trains each method with the seeds 1 to N in runs/<name>.compare/<method>-seed<n>/, and
`independent`, whose CTR network all methods share in the paper's protocol; leaves there
comparison.json, .csv and .html. What is trained or predicted already stays: an interrupted
comparison goes on where it stopped. Beside simulated logs the truth is read too.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from esmm_dist.contract.command_line import (
    config_from,
    config_parser,
    file_errors_told,
    run_command,
)
from esmm_dist.contract.sections import Config
from esmm_dist.distributed.world import connect
from esmm_dist.evaluate import commit, fold_records
from esmm_dist.evaluation.comparison import TestRows, compare
from esmm_dist.evaluation.comparison_document import Choice, Comparison
from esmm_dist.evaluation.comparison_page import (
    print_comparison,
    render_comparison,
    to_csv,
)
from esmm_dist.evaluation.scorecard import model_codes
from esmm_dist.evaluation.tasks import group_codes
from esmm_dist.evaluation.truth import read_truth
from esmm_dist.simulation.record import check_drawn_as
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import write
from esmm_dist.trials import (
    COMMON_CTR,
    METHOD_NAMES,
    Trials,
    Variant,
    predictions_of,
    run_of,
    train_and_predict_all,
    trial_config,
)
from esmm_dist.tuning import chosen_trials

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
        trained = list(dict.fromkeys([*methods, COMMON_CTR]))
        choices = chosen_trials(config, trained, folder_of(config), world)
        configs = {
            (method, seed): trial_config(
                config, _variant(method, seed, choices.get(method)), folder_of(config))
            for method in trained for seed in seeds
        }
        train_and_predict_all(configs, world)
        is_first = world.rank == 0
    if is_first:
        write_comparison(config, configs, methods, baseline, choices)


def _methods(
    parser: ArgumentParser, asked: Sequence[str], baseline: str | None
) -> tuple[list[str], str]:
    """The methods without repeats, the baseline first."""
    for method in [*asked, *([baseline] if baseline else [])]:
        if method not in METHOD_NAMES:
            parser.error(f"{method}: no such method; known are {', '.join(METHOD_NAMES)}")
    first = baseline or asked[0]
    return list(dict.fromkeys([first, *asked])), first


def _variant(method: str, seed: int, choice: Choice | None) -> Variant:
    if choice is None:
        return Variant(method, seed)
    return Variant(method, seed, choice.best.rates, choice.best.options)


def folder_of(config: Config) -> Path:
    """Where a comparison and its trainings lie."""
    return path_of(config.runs_path) / f"{config.name}.compare"


# ---------------------------------------------------------------------------------------------
# Comparing: the first rank
# ---------------------------------------------------------------------------------------------


def write_comparison(
    config: Config, configs: dict[tuple[str, int], Config], methods: Sequence[str], baseline: str,
    choices: Mapping[str, Choice],
) -> None:
    """Measures all trials on the same rows, writes the three files, and tells."""
    seeds = list(dict.fromkeys(seed for _, seed in configs))
    of_first = configs[baseline, seeds[0]]
    first = predictions_of(of_first)
    print(f"comparing {len(methods)} methods x {len(seeds)} seeds on {len(first):,} rows, "
          f"{config.evaluate.num_bootstraps:,} draws of groups", file=sys.stderr)
    rows = TestRows(first, model_codes(first, fold_records(run_of(of_first))),
                    config.evaluate.num_bootstraps)
    if config.simulate is not None:
        truth, known_N = read_truth(Path(config.simulate.path) / "truth", first)
        rows = replace(rows, truth=truth, known_N=known_N)
    trials = Trials(configs)
    figures, best = compare(rows, baseline, {
        method: trials.of(method, seeds, first) for method in methods})
    comparison = Comparison(
        name=config.name, note=config.note, compared_at=datetime.now(UTC).replace(microsecond=0),
        commit=commit(), baseline=baseline, num_impressions=len(first),
        num_clicks=int((first.click_N == 1).sum()),
        num_conversions=int((first.conversion_N == 1).sum()), num_groups=group_codes(first)[1],
        num_bootstraps=config.evaluate.num_bootstraps,
        num_unknown_to_truth=None if rows.truth is None else len(first) - len(rows.known_N),
        best=best, methods=figures, tuning=tuple(choices.values()),
    )
    folder = folder_of(config)
    page = render_comparison(comparison)
    write(folder / "comparison.json", comparison.model_dump_json(indent=1) + "\n")
    write(folder / "comparison.csv", to_csv(comparison))
    write(folder / "comparison.html", page)
    print_comparison(comparison)
    print(folder / "comparison.html")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:], "the same command goes on where it stopped"))
