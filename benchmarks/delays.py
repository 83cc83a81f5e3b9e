"""Conversions that are still to come: leave rows out, take labels as they are, or correct them.

    python -m benchmarks.delays [--quick]

Simulated worlds (conf/audit.yaml's) with a conversion window of 48 hours and a mean delay of 16:
six training days are built as of the end of the last, when a third of their rows are immature, and
the day after is scored against the true p(conversion | do(click), x), which knows no delay. Once
conversion rates stay, once they rise from day to day, so that the latest days are worth having.
`final` is trained on what the labels came to. Worlds are drawn anew for every replicate; what is
drawn and trained stays in runs/; the record is written beside this script. --quick: one small
world, no record.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.parts.record import heading, stem, table, write_record
from esmm_dist.contract.config import load_config, parse_config
from esmm_dist.contract.sections import Config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.evaluation.audit_answer import ratio_text
from esmm_dist.evaluation.audit_document import Estimate, pooled
from esmm_dist.evaluation.truth import read_truth, truth_metrics
from esmm_dist.scenarios import build, draw, is_built, scenario_config
from esmm_dist.trials import Variant, predictions_of, train_and_predict_all, trial_config

CONFIG = "conf/audit.yaml"
FIRST, LAST_TRAINED, TESTED = "2026-01-01", "2026-01-06", "2026-01-07"
OVERRIDES = (
    "name=delays", "simulate.impressions_per_day=80_000",
    f"samples.days.last={TESTED}", f"samples.fit_days.last={LAST_TRAINED}",
    f"train.days.last={LAST_TRAINED}", f"evaluate.days={{first: {TESTED}, last: {TESTED}}}",
    "samples.click_window_hours=1", "samples.conversion_window_hours=48",
    "simulate.delays.mean_conversion_hours=16",
)
FOLDER = Path("runs/delays")
SLOTS = (1, 3, 6, 12, 24, 36, 48)
LATE_AFTER_HOURS = 6
WORLDS: dict[str, dict[str, Any]] = {
    "steady": {}, "rising": {"drift.cvr_logit_per_day": 0.15},
}
METRICS = {"true_cvr_pcoc_click": "clicked", "true_cvr_pcoc": "all impressions"}


@dataclass(frozen=True)
class Treatment:
    """What is done about labels that are not final."""

    method: str
    samples: str
    """final: labels as they came to; seen: as of the end of the training days; late: the same, with
    fake negatives of late conversions alone."""
    immature: str = "include"


TREATMENTS = {
    "base, final labels": Treatment("base", "final"),
    "base, as they are": Treatment("base", "seen"),
    "base, immature left out": Treatment("base", "seen", "exclude"),
    "FNW": Treatment("fnw", "seen"),
    "ES-DFM": Treatment("es_dfm", "late"),
    "ESMM, final labels": Treatment("esmm", "final"),
    "ESMM, as they are": Treatment("esmm", "seen"),
    "ESMM, immature left out": Treatment("esmm", "seen", "exclude"),
    "ESDF": Treatment("esdf", "seen"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small world, no record")
    arguments = parser.parse_args()
    num_replicates = 1 if arguments.quick else 3
    config = load_config(CONFIG, [*OVERRIDES, *(["simulate.scale=0.2"] if arguments.quick else [])])
    worlds = ["rising"] if arguments.quick else list(WORLDS)
    found = {}
    for world in worlds:
        replicates = []
        for seed in range(1, num_replicates + 1):
            prefix = "quick-" if arguments.quick else ""
            of_one = scenario_config(config, FOLDER / f"{prefix}{world}-{seed}", seed,
                                     WORLDS[world])
            replicates.append(scored(of_one, seed))
        found[world] = {name: pooled([replicate[name] for replicate in replicates])
                        for name in TREATMENTS}
        print(figures(found[world]))
    if not arguments.quick:
        print(write_record(stem("delays"), record(found, num_replicates)))
    print(json.dumps({"ratios": {f"{name}, {world}": round(of_one["true_cvr_pcoc_click"].value, 3)
                                 for world, of_world in found.items()
                                 for name, of_one in of_world.items()},
                      "bars": {}, "missed": []}))


def scored(world: Config, seed: int) -> dict[str, dict[str, float]]:
    """Trains by every treatment in one world, and scores each on the day after."""
    draw([world])
    built = {name: _built(world, name) for name in ("final", "seen", "late")}
    trials = {}
    for name, treatment in TREATMENTS.items():
        document = built[treatment.samples].model_dump(mode="json")
        document["train"]["immature"] = treatment.immature
        variant = Variant(treatment.method, seed, options={"delay_slot_hours": SLOTS})
        trials[name] = trial_config(parse_config(document, name), variant, Path(world.runs_path),
                                    f"{treatment.method}-{treatment.samples}-{treatment.immature}")
    train_and_predict_all(trials, SoloWorld())
    assert world.simulate is not None
    found = {}
    for name, trial in trials.items():
        own = predictions_of(trial)
        truth, known_N = read_truth(Path(world.simulate.path) / "truth", own)
        found[name] = truth_metrics(own.take(known_N), truth)
    return found


def _built(world: Config, name: str) -> Config:
    """The world's samples: training days as they were known, then the test day."""
    document = world.model_dump(mode="json")
    samples = document["samples"]
    samples["path"] = f"{world.samples.path}-{name}"
    whole = parse_config(document, name)
    if name == "final":
        if not is_built(whole):
            build([whole])
        return whole
    samples["label_stream"] = "fake_negative"
    samples["fake_negative_after_hours"] = LATE_AFTER_HOURS if name == "late" else 0
    whole = parse_config(document, name)
    if not is_built(whole):
        end = world.train.days.last + timedelta(days=1)
        seen = document | {"samples": samples | {
            "as_of": f"{end}T00:00:00Z", "days": {"first": FIRST, "last": LAST_TRAINED}}}
        tested = document | {"samples": samples | {"days": {"first": TESTED, "last": TESTED}}}
        build([parse_config(seen, name), parse_config(tested, name)])
    return whole


def figures(found: Mapping[str, Mapping[str, Estimate]]) -> str:
    """A world's table."""
    rows: list[Sequence[str]] = []
    for name, of_one in found.items():
        excess, auc = (of_one[metric].value for metric in ("true_cvr_excess", "true_cvr_auc"))
        rows.append([name, *(ratio_text(of_one[metric]) for metric in METRICS),
                     f"{1e3 * excess:.2f}", f"{auc:.4f}"])
    return table(["", *(f"predicted / true, {words}" for words in METRICS.values()),
                  "divergence, thousandths", "expected AUC"], rows)


def record(found: Mapping[str, Mapping[str, Mapping[str, Estimate]]], num_replicates: int) -> str:
    """The page."""
    return heading(
        "Conversions that are still to come", "python -m benchmarks.delays",
        f"Config: `{CONFIG}` with {', '.join(f'`{o}`' for o in OVERRIDES)}."
    ) + (
        f"\nTraining days {FIRST} to {LAST_TRAINED}, as of the end of the last; {TESTED} is scored "
        "against the true p(conversion | do(click), x). FNW learns from a stream in which each "
        "conversion was a negative before, ES-DFM from one in which those were that came after "
        f"{LATE_AFTER_HOURS} hours or later; both streams end where the labels end. "
        f"{num_replicates} worlds each, drawn anew; ratios are geometric means with Student's 95 % "
        "interval.\n"
    ) + "".join(f"\n## Conversion rates {'stay' if world == 'steady' else 'rise by .15 a day'}\n\n"
                + figures(of_world) for world, of_world in found.items())


if __name__ == "__main__":
    main()
