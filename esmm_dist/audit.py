"""Asks what the CVR tower estimates over impressions that nobody clicked, and answers by figures.

    python -m esmm_dist.audit --config conf/audit.yaml      # simulated worlds: against the truth
    python -m esmm_dist.audit --config conf/audit.yaml --quick
    python -m esmm_dist.audit --config conf/kuairand.yaml   # built samples: what is known there

Where the config has a section `simulate`, draws that world and others in which the keys under
`audit.vary` take other values, builds their samples, and trains `audit.methods` in each; else it
trains them on the samples that are built. Leaves audit.json and audit.html in runs/<name>.audit/.
The same command goes on where it stopped; docs/audit.md says what the figures mean.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from esmm_dist.audited import Scenario, scenarios_of
from esmm_dist.contract.command_line import (
    config_from,
    config_parser,
    file_errors_told,
    run_command,
)
from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.distributed.world import connect
from esmm_dist.evaluate import commit
from esmm_dist.evaluation.audit import (
    BASE,
    REFERENCES,
    against_clicks,
    against_truth,
    deciles,
    levels_to_base,
    of_truth,
    p_of,
    ranking_less_base,
    references,
)
from esmm_dist.evaluation.audit_document import Audit, Estimate, ScenarioFigures, pooled
from esmm_dist.evaluation.audit_page import print_audit, render_audit
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.saturation import saturated
from esmm_dist.evaluation.tasks import Task
from esmm_dist.evaluation.truth import Truth, read_truth
from esmm_dist.scenarios import draw_and_build
from esmm_dist.storage.address import is_local, path_of
from esmm_dist.storage.files import write
from esmm_dist.trials import (
    COMMON_CTR,
    Variant,
    check_methods,
    check_same_rows,
    predictions_of,
    run_of,
    train_and_predict_all,
    trial_config,
)

POLE_OPTIONS = {"share_of_unclicked": 1.0}
"""Of aman: every un-clicked row as a negative."""
QUICK_SCALE, QUICK_REPLICATES = 0.25, 2


# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> None:
    """Parses the flags, draws, builds, trains, measures, and tells."""
    parser = config_parser(__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="simulated worlds of a quarter of the size, the last level of what "
                             "is varied, two replicates")
    arguments = parser.parse_args(argv)
    with connect() as world, file_errors_told():
        if world.num_ranks > 1:
            raise InputError("esmm_dist.audit takes one process, since its trainings are small: "
                             "start it without horovodrun")
        config = config_from(arguments)
        folder = path_of(config.runs_path) / f"{config.name}.audit"
        if config.simulate is not None and not is_local(folder):
            raise InputError(f"runs_path = {config.runs_path}: worlds are drawn and built below it "
                             "on a disk of this machine: give a local path")
        if arguments.quick:
            config, folder = quick(config), folder.with_name(f"{config.name}.audit-quick")
        scenarios, varied = scenarios_of(config, folder)
        if config.simulate is not None:
            draw_and_build([of_one for s in scenarios if s.has_own_rows
                            for of_one in s.replicates])
        trials = train_all(config, scenarios, folder, world)
    audit = Audit(
        name=config.name, note=config.note, audited_at=datetime.now(UTC).replace(microsecond=0),
        commit=commit(), num_replicates=config.audit.num_replicates,
        is_simulated=config.simulate is not None, varied=varied,
        scenarios=tuple(measured(config, scenario, trials) for scenario in scenarios),
        saturated=saturated(),
    )
    write(folder / "audit.json", audit.model_dump_json(indent=1) + "\n")
    write(folder / "audit.html", render_audit(audit))
    print_audit(audit)
    print(folder / "audit.html")


def quick(config: Config) -> Config:
    """The same audit in small."""
    document = config.model_dump(mode="json")
    audit = document["audit"]
    audit["num_replicates"] = min(QUICK_REPLICATES, audit["num_replicates"])
    audit["vary"] = {key: levels[-1:] for key, levels in audit["vary"].items()}
    if document["simulate"] is not None:
        document["simulate"]["scale"] *= QUICK_SCALE
    return parse_config(document, "--quick")


# ---------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------


def train_all(
    config: Config, scenarios: Sequence[Scenario], folder: Path, world: World
) -> dict[tuple[str, int, str], Config]:
    """Trains what is not trained yet; the configs by scenario, replicate and method."""
    trials = {}
    for scenario in scenarios:
        asks_own = (COMMON_CTR,) if scenario.has_own_rows else ()
        check_methods(scenario.replicates[:1], (*scenario.methods, *asks_own), world, POLE_OPTIONS)
        for place, (of_one, seed) in enumerate(zip(scenario.replicates, scenario.seeds)):
            to = path_of(of_one.runs_path) if config.simulate is not None else folder
            for method in dict.fromkeys((*scenario.methods, *asks_own)):
                variant = Variant(method, seed, options=POLE_OPTIONS)
                trials[scenario.name, place, method] = trial_config(of_one, variant, to)
    train_and_predict_all(trials, world)
    return trials


# ---------------------------------------------------------------------------------------------
# Measuring
# ---------------------------------------------------------------------------------------------


def measured(
    config: Config, scenario: Scenario, trials: Mapping[tuple[str, int, str], Config]
) -> ScenarioFigures:
    """The figures of one scenario."""
    print(f"measuring {scenario.name}", file=sys.stderr)
    places = range(len(scenario.replicates))
    by_ctr = [predictions_of(trials[scenario.tenths_by, place, COMMON_CTR]) for place in places]

    def of(method: str, place: int) -> Predictions:
        trial = trials[scenario.name, place, method]
        own = predictions_of(trial)
        check_same_rows(own, by_ctr[place], trial)
        return own

    counted: Sequence[Predictions]
    if config.simulate is None:
        counted, truth = by_ctr[:1], {}
        decile_N = deciles(np.mean([p_of(Task.CTR, own) for own in by_ctr], axis=0),
                           by_ctr[0].weight_N)
        of_base = [of(BASE, place) for place in places]
        found = {method: against_clicks([of(method, place) for place in places], of_base,
                                        decile_N, config.evaluate.num_bootstraps)
                 for method in scenario.methods}
    else:
        known = [_with_truth(of_one, own) for of_one, own in zip(scenario.replicates, by_ctr)]
        counted = [own for own, _, _ in known]
        decile_of = [deciles(p_of(Task.CTR, own), own.weight_N) for own in counted]
        truth = pooled([of_truth(own, true, decile_N)
                        for (own, true, _), decile_N in zip(known, decile_of)])
        by_draw = {method: [
            against_truth(of(method, place).take(known_N), true, decile_of[place])
            | {"num_steps": num_steps_of(trials[scenario.name, place, method])}
            for place, (_, true, known_N) in enumerate(known)
        ] for method in scenario.methods}
        found = {method: _over_draws(own, by_draw[BASE]) for method, own in by_draw.items()}
        rates = [clicked_rate_of(of_one) for of_one in scenario.replicates]
        found |= {name: pooled([
            against_truth(references(own, true, rate)[name], true, decile_N)
            for (own, true, _), rate, decile_N in zip(known, rates, decile_of)
        ]) for name in REFERENCES}
    return ScenarioFigures(
        name=scenario.name, settings=dict(scenario.settings), truth=truth, methods=found,
        num_impressions=sum(map(len, counted)),
        num_clicks=sum(int((own.click_N == 1).sum()) for own in counted),
        num_conversions=sum(int((own.conversion_N == 1).sum()) for own in counted),
    )


def _over_draws(
    own: Sequence[Mapping[str, float]], of_base: Sequence[Mapping[str, float]]
) -> dict[str, Estimate]:
    """A method's figures over all draws of a world, and beside BASE's draw by draw."""
    return (pooled(own)
            | pooled([levels_to_base(*pair) for pair in zip(own, of_base)])
            | pooled([ranking_less_base(*pair) for pair in zip(own, of_base)],
                     Estimate.of_differences))


def num_steps_of(config: Config) -> int:
    """How many steps a run took, over all stages of its method."""
    return sum(trained.index.step for trained in run_of(config).folds)


def clicked_rate_of(config: Config) -> float:
    """The conversion rate of the clicks of the training days."""
    manifest = read_manifest(config.samples.path)
    days = manifest.select(days_of(config.train.days), config.samples.path)
    return sum(day.num_conversions for day in days) / sum(day.num_clicks for day in days)


def _with_truth(
    config: Config, predictions: Predictions
) -> tuple[Predictions, Truth, "np.ndarray[tuple[int], np.dtype[np.intp]]"]:
    """The rows that the truth knows, it, and their places."""
    assert config.simulate is not None
    truth, known_N = read_truth(Path(config.simulate.path) / "truth", predictions)
    return predictions.take(known_N), truth, known_N


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:], "the same command goes on where it stopped"))
