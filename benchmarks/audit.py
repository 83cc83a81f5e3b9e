"""The audit of pCVR in simulated worlds and on KuaiRand, recorded.

    python -m benchmarks.audit [--quick] [--only simulated|kuairand]

Runs `esmm_dist.audit` by conf/audit.yaml, and by benchmarks/kuairand_paper.yaml on its built
samples with two seeds of every method, each test day predicted from all before it; writes what
either answers, and the figures behind it, beside this script. The whole pages stay in runs/, and
so does what is drawn and trained: the same command goes on where it stopped.
--quick: the small simulated worlds alone, no record.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.parts.record import heading, stem, table, write_figure, write_record
from esmm_dist.audit import main as audit
from esmm_dist.contract.config import load_config
from esmm_dist.evaluation.audit import BASE, REFERENCES
from esmm_dist.evaluation.audit_answer import answers, ratio_text
from esmm_dist.evaluation.audit_document import Audit, ScenarioFigures
from esmm_dist.evaluation.audit_page import (
    BESIDE_BASE,
    COLUMNS,
    OF_TRUTH,
    chart_of_axis,
    chart_of_deciles,
    figure_text,
)
from esmm_dist.scenarios import build, is_built

SIMULATED, REAL = "conf/audit.yaml", "benchmarks/kuairand_paper.yaml"
OF_REAL = ("tune=null", "train.towers.learning_rate=0.003", "audit.num_replicates=2",
           "audit.methods=[esmm,escm2_ips,escm2_dr,multi_dr,dcmt,nise,unbias,division]",
           "model.options.always_kept_p_ctr=0.2")
CHARTED = ("esmm", "base")
TENTHS = (1, 2, 4, 7, 9, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small worlds alone, no record")
    parser.add_argument("--only", choices=("simulated", "kuairand"), help="one of both")
    arguments = parser.parse_args()
    ratios: dict[str, float] = {}
    if arguments.only != "kuairand":
        audit(["--config", SIMULATED, *(["--quick"] if arguments.quick else [])])
        found = read(SIMULATED, "audit-quick" if arguments.quick else "audit")
        ratios |= {method: round(figures["true_cvr_pcoc"].value, 3)
                   for method, figures in found.scenarios[0].methods.items()}
        if not arguments.quick:
            print(write_record(stem("audit_simulated"), record_of_simulated(found)))
    if arguments.only != "simulated" and not arguments.quick:
        config = load_config(REAL)
        if not is_built(config):
            build([config])
        audit(["--config", REAL, *_set(OF_REAL)])
        print(write_record(stem("audit_kuairand"), record_of_real(read(REAL, "audit"))))
    print(json.dumps({"ratios": ratios, "bars": {}, "missed": []}))


def _set(overrides: Sequence[str]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def read(config_path: str, suffix: str) -> Audit:
    """What an audit left."""
    config = load_config(config_path)
    path = Path(config.runs_path) / f"{config.name}.{suffix}" / "audit.json"
    return Audit.model_validate_json(path.read_text(encoding="utf-8"))


def record_of_simulated(audited: Audit) -> str:
    """The page of what is known."""
    parts = [heading("Audit in simulated worlds: what the CVR tower estimates",
                     "python -m benchmarks.audit --only simulated",
                     f"Config: `{SIMULATED}`. {_measured(audited)}"),
             "\nQuestion, proof and the meaning of figures: docs/audit.md. "
             f"{audited.num_replicates} draws of each world; ratios with 95 % intervals.\n\n",
             *(f"* {sentence}\n" for sentence in answers(audited)), "\n"]
    for scenario in audited.scenarios:
        parts += [f"\n## {_title(scenario)}\n\n", _truths(scenario), "\n",
                  _figures(scenario, is_simulated=True)]
    parts += ["\n## Beside BASE, draw by draw\n\nMean pCVR / that of BASE in the same draw, by "
              "space and by tenth of all impressions, and expected AUC less BASE's.\n\n",
              _beside_base(audited.scenarios)]
    for space, words in (("", "all impressions"), ("_click", "the clicked impressions")):
        parts += [f"\n## By tenths of pCTR, over {words}\n\nPredicted / true, over {words} of a "
                  "tenth; tenth 1 is the least likely to be clicked.\n\n",
                  _tenths(audited.scenarios[:1], "sharing", space)]
        for key, names in audited.varied.items():
            parts += [f"\nAs {key} varies:\n\n",
                      _tenths([audited.of(name) for name in names], key, space)]
    for method in CHARTED:
        parts += ["\n", write_figure(f"{stem('audit')}_{method}_tenths.svg",
                                     chart_of_deciles(audited.scenarios[0], method, True))]
        for key, names in audited.varied.items():
            parts += ["\n", write_figure(f"{stem('audit')}_{method}_{key}.svg",
                                         chart_of_axis(audited, method, key, names))]
    return "".join([*parts, "\nRound: predicted / true over all impressions; square: what clicks "
                    "lead to, or, by tenths, over clicked ones.\n"])


def record_of_real(audited: Audit) -> str:
    """The page of what can be known."""
    (scenario,) = audited.scenarios
    return "".join([
        heading("Audit on KuaiRand: what can be known there",
                "python -m benchmarks.audit --only kuairand",
                f"Config: `{REAL}` with {', '.join(f'`{override}`' for override in OF_REAL)}. "
                f"{_measured(audited)}"),
        f"\n{scenario.num_impressions:,} test impressions, {scenario.num_clicks:,} clicks, "
        f"{scenario.num_conversions:,} conversions (likes); pCVR is the mean of "
        f"{audited.num_replicates} seeds. Intervals are 95 % by draws of users, the chance of the "
        "rows; `seeds` says from which to which value single trainings go. What the figures mean: "
        "docs/audit.md.\n\n", *(f"* {sentence}\n" for sentence in answers(audited)[1:]),
        "\n", _figures(scenario, is_simulated=False), "\nMean pCVR / that of BASE over "
        "the same rows, both averaged over the same seeds:\n\n", _beside_base([scenario]),
        "\nPredicted / seen conversions of clicks, by tenths of pCTR, the least likely to be "
        "clicked first:\n\n", _by_tenths(scenario, "cvr_pcoc_click"),
        "\nConversion rate implied of un-clicked impressions, by the same tenths:\n\n",
        _by_tenths(scenario, "implied_rate_unclicked"), "\n",
        *(write_figure(f"{stem('audit')}_kuairand_{method}_tenths.svg",
                       chart_of_deciles(scenario, method, False)) for method in CHARTED),
        "\nPredicted over seen conversions of clicks, by tenths of pCTR.\n",
    ])


def _measured(audited: Audit) -> str:
    """By which commit the figures were measured, which may be told by a later one."""
    return f"Measured by commit {audited.commit}."


def _title(scenario: ScenarioFigures) -> str:
    told = ", ".join(f"{key} {value:g}" for key, value in scenario.settings.items())
    return f"{scenario.name} ({told})"


def _truths(scenario: ScenarioFigures) -> str:
    told = "; ".join(f"{words}: {ratio_text(scenario.truth[name])}"
                     for name, words in OF_TRUTH.items())
    return f"{scenario.num_clicks:,} clicks, {scenario.num_conversions:,} conversions. {told}.\n"


def _beside_base(scenarios: Sequence[ScenarioFigures]) -> str:
    """Every method of every scenario held against BASE."""
    columns = BESIDE_BASE[bool(scenarios[0].truth)]
    return table(["", "method", *columns.values()], [
        [scenario.name, method, *(figure_text(name, figures.get(name)) for name in columns)]
        for scenario in scenarios for method, figures in scenario.methods.items()
        if method not in (BASE, *REFERENCES)])


def _by_tenths(scenario: ScenarioFigures, name: str) -> str:
    return table(["method", *(f"tenth {tenth}" for tenth in TENTHS)], [
        [method, *(ratio_text(figures.get(f"{name}_decile_{tenth}")) for tenth in TENTHS)]
        for method, figures in scenario.methods.items()])


def _tenths(scenarios: Sequence[ScenarioFigures], key: str, space: str) -> str:
    """Calibration against the truth by tenths, of the methods that all of them have but AMAN."""
    rows = []
    for scenario in scenarios:
        for method, figures in scenario.methods.items():
            if method not in ("aman", "truth") and all(method in s.methods for s in scenarios):
                rows.append([f"{scenario.settings[key]:g}", method, *(
                    ratio_text(figures.get(f"true_cvr_pcoc{space}_decile_{tenth}"))
                    for tenth in TENTHS)])
    return table([key, "method", *(f"tenth {tenth}" for tenth in TENTHS)], rows)


def _figures(scenario: ScenarioFigures, *, is_simulated: bool) -> str:
    columns = COLUMNS[is_simulated]
    return table(["method", *columns.values()], [
        [method, *(figure_text(name, figures.get(name)) for name in columns)]
        for method, figures in scenario.methods.items()])


if __name__ == "__main__":
    main()
