"""Trains several methods on the same samples with several seeds, and compares them.

    python -m esmm_dist.compare --methods base esmm_ns esmm --seeds 3
    python -m esmm_dist.compare --config conf/ali_ccp_like.yaml --methods esmm base --baseline base
    horovodrun -np 8 python -m esmm_dist.compare --methods esmm dcmt --seeds 10

Trains each method with the seeds 1 to N in runs/<name>.compare/<method>-seed<n>/, and
`independent`, whose CTR network all methods share in the paper's protocol; leaves there
comparison.json, .csv and .html. What is trained or predicted already stays: an interrupted
comparison goes on where it stopped. A training whose loss becomes infinite is a row that says so:
the others are compared, and the exit status is 2. Beside simulated logs the truth is read too.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from esmm_dist.contract.command_line import (
    config_from,
    config_parser,
    file_errors_told,
    run_command,
)
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.distributed.world import connect
from esmm_dist.evaluate import commit, fold_records
from esmm_dist.evaluation.comparison import TestRows, Trial, compare
from esmm_dist.evaluation.comparison_document import (
    COMMON_CTR_NET,
    Choice,
    Comparison,
)
from esmm_dist.evaluation.comparison_page import (
    print_comparison,
    render_comparison,
    to_csv,
)
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import model_codes
from esmm_dist.evaluation.tasks import group_codes
from esmm_dist.evaluation.truth import read_truth
from esmm_dist.simulation.record import check_drawn_as
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import write
from esmm_dist.trial_folders import noted_cost
from esmm_dist.trials import (
    METHOD_NAMES,
    Variant,
    check_methods,
    check_same_rows,
    method_of_role,
    predictions_of,
    run_of,
    train_and_predict_each,
    trial_config,
)
from esmm_dist.tuning import before_validation_day, chosen_trials

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
    with connect() as world, file_errors_told():
        config = config_from(arguments)
        if config.simulate is not None:
            check_drawn_as(config)
        roles = [*methods, COMMON_CTR_NET]
        days_before = [] if config.tune is None else [before_validation_day(config)]
        check_methods([*days_before, config], map(method_of_role, roles), world)
        choices = chosen_trials(config, roles, folder_of(config), world)
        trials = trained_trials(config, roles, range(1, arguments.seeds + 1), choices, world)
        is_first = world.rank == 0
    if is_first:
        write_comparison(config, trials, methods, baseline, choices)


def _methods(
    parser: ArgumentParser, asked: Sequence[str], baseline: str | None
) -> tuple[list[str], str]:
    """The methods without repeats, the baseline first."""
    for method in [*asked, *([baseline] if baseline else [])]:
        if method not in METHOD_NAMES:
            parser.error(f"{method}: no such method; known are {', '.join(METHOD_NAMES)}")
    first = baseline or asked[0]
    return list(dict.fromkeys([first, *asked])), first


def folder_of(config: Config) -> Path:
    """Where a comparison and its trainings lie."""
    return path_of(config.runs_path) / f"{config.name}.compare"


# ---------------------------------------------------------------------------------------------
# Training: all ranks
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trials:
    """The trainings to be compared: by role and seed their configs, and why some failed."""

    configs: Mapping[tuple[str, int], Config]
    failures: Mapping[tuple[str, int], str]

    def failures_of(self, role: str) -> dict[int, str]:
        """By seed, why a role's trainings failed."""
        return {seed: why for (name, seed), why in self.failures.items() if name == role}

    def first(self) -> Config:
        """Of a training that did not fail.

        Raises:
            InputError: there is none.
        """
        for key, config in self.configs.items():
            if key not in self.failures:
                return config
        raise InputError(f"nothing is left to be compared: {self.told()}")

    def of(self, method: str, first: Predictions) -> Iterator[Trial]:
        """A method's trials in order of seeds, but those that failed; read one at a time.

        Raises:
            InputError: a run predicted other rows than the first, or of other labels.
        """
        for (role, seed), config in self.configs.items():
            if role != method or (role, seed) in self.failures:
                continue
            print(f"measuring {method}, seed {seed}", file=sys.stderr)
            own, common = self._read(config, first), None
            if (COMMON_CTR_NET, seed) not in self.failures:
                common = self._read(self.configs[COMMON_CTR_NET, seed], first)
            yield Trial(seed, own, common, noted_cost(config))

    def _read(self, config: Config, first: Predictions) -> Predictions:
        own = predictions_of(config)
        check_same_rows(own, first, config)
        return own

    def told(self) -> str:
        """Which failed, and why."""
        return "; ".join(f"{role}, seed {seed}: {why}"
                         for (role, seed), why in self.failures.items())


def trained_trials(
    config: Config, roles: Sequence[str], seeds: Sequence[int], choices: Mapping[str, Choice],
    world: World,
) -> Trials:
    """Trains every role with every seed, by what was chosen for it, and predicts the test days."""
    configs, failures = {}, {}
    for role in roles:
        choice = choices.get(role)
        for seed in seeds:
            if choice is not None and choice.failure is not None:
                failures[role, seed] = choice.failure
                continue
            variant = Variant(method_of_role(role), seed)
            if choice is not None and choice.best is not None:
                variant = replace(variant, rates=choice.best.rates, options=choice.best.options)
            name = "-".join(filter(None, (f"{variant.method}-seed{seed}", variant.values)))
            configs[role, seed] = trial_config(config, variant, folder_of(config), name)
    failed = train_and_predict_each(configs.values(), world)
    failures |= {key: failed[of_one.name] for key, of_one in configs.items()
                 if of_one.name in failed}
    return Trials(configs, failures)


# ---------------------------------------------------------------------------------------------
# Comparing: the first rank
# ---------------------------------------------------------------------------------------------


def write_comparison(
    config: Config, trials: Trials, methods: Sequence[str], baseline: str,
    choices: Mapping[str, Choice],
) -> None:
    """Measures all trials on the same rows, writes the three files, and tells.

    Raises:
        InputError: some training failed; once all that can be told of the others has been.
    """
    run = run_of(trials.first())
    first = predictions_of(run.config)
    print(f"comparing {len(methods)} methods on {len(first):,} rows, "
          f"{config.evaluate.num_bootstraps:,} draws of groups", file=sys.stderr)
    rows = TestRows(first, model_codes(first, fold_records(run)), config.evaluate.num_bootstraps)
    if config.simulate is not None:
        truth, known_N = read_truth(Path(config.simulate.path) / "truth", first)
        rows = replace(rows, truth=truth, known_N=known_N)
    figures, best = compare(rows, baseline, {method: trials.of(method, first)
                                             for method in methods})
    comparison = Comparison(
        name=config.name, note=config.note, compared_at=datetime.now(UTC).replace(microsecond=0),
        commit=commit(), baseline=baseline, num_impressions=len(first),
        num_clicks=int((first.click_N == 1).sum()),
        num_conversions=int((first.conversion_N == 1).sum()), num_groups=group_codes(first)[1],
        num_bootstraps=config.evaluate.num_bootstraps,
        num_unknown_to_truth=None if rows.truth is None else len(first) - len(rows.known_N),
        best=best,
        methods=tuple(of_one.model_copy(update={"failures": trials.failures_of(of_one.method)})
                      for of_one in figures),
        tuning=tuple(choices.values()), common_ctr_failures=trials.failures_of(COMMON_CTR_NET),
    )
    folder = folder_of(config)
    page = render_comparison(comparison)
    write(folder / "comparison.json", comparison.model_dump_json(indent=1) + "\n")
    write(folder / "comparison.csv", to_csv(comparison))
    write(folder / "comparison.html", page)
    print_comparison(comparison)
    print(folder / "comparison.html")
    if trials.failures:
        raise InputError(
            f"{len(trials.failures)} trainings failed, and what was written lacks them: "
            f"{trials.told()}: lower their learning rates or leave them out; to try one anew as it "
            f"is, remove its folder below {folder}"
        )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:], "the same command goes on where it stopped"))
