"""The audit of pCVR in simulated worlds and on KuaiRand, recorded.

    python -m benchmarks.audit [--quick]

Runs `esmm_dist.audit` by conf/audit.yaml, and by conf/kuairand.yaml on its built samples with three
seeds of two methods beside the poles, each test day predicted from all before it; writes what both
answer, and the figures behind it, beside this script. The whole pages stay in runs/. --quick: the
small simulated worlds alone, no record.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.parts.record import heading, stem, table, write_figure, write_record
from esmm_dist.audit import main as audit
from esmm_dist.contract.config import load_config
from esmm_dist.evaluation.audit_answer import answers, ratio_text
from esmm_dist.evaluation.audit_document import Audit, ScenarioFigures
from esmm_dist.evaluation.audit_page import COLUMNS, OF_TRUTH, chart_of_axis, chart_of_deciles
from esmm_dist.scenarios import build, is_built

SIMULATED, REAL = "conf/audit.yaml", "conf/kuairand.yaml"
OF_SIMULATED = (
    "audit.vary={confounding: [1.0]}",)
OF_REAL = ("audit.num_replicates=3", "audit.methods=[esmm, escm2_ips]",
           "model.hidden_units=[128, 64]", "evaluate.num_bootstraps=300")
CHARTED = ("esmm", "base")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small worlds alone, no record")
    arguments = parser.parse_args()
    audit(["--config", SIMULATED, *_set(OF_SIMULATED),
           *(["--quick"] if arguments.quick else [])])
    simulated = read(SIMULATED, "audit-quick" if arguments.quick else "audit")
    if not arguments.quick:
        config = load_config(REAL)
        if not is_built(config):
            build([config])
        audit(["--config", REAL, *_set(OF_REAL)])
        print(write_record(stem("audit"), record(simulated, read(REAL, "audit"))))
    declared = simulated.scenarios[0]
    print(json.dumps({"ratios": {method: round(figures["true_cvr_pcoc"].value, 3)
                                 for method, figures in declared.methods.items()},
                      "bars": {}, "missed": []}))


def _set(overrides: Sequence[str]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def read(config_path: str, suffix: str) -> Audit:
    """What an audit left."""
    config = load_config(config_path)
    path = Path(config.runs_path) / f"{config.name}.{suffix}" / "audit.json"
    return Audit.model_validate_json(path.read_text(encoding="utf-8"))


def record(simulated: Audit, real: Audit) -> str:
    """The page."""
    parts = [heading("Audit: what the CVR tower estimates", "python -m benchmarks.audit",
                     f"Configs: `{SIMULATED}` with `{OF_SIMULATED[0]}`; `{REAL}` with "
                     f"{', '.join(f'`{override}`' for override in OF_REAL)}."),
             "\nQuestion, proof and the meaning of figures: docs/audit.md.\n\n## Simulated worlds\n"
             f"\n{simulated.num_replicates} draws of each world; ratios with 95 % intervals.\n\n",
             *(f"* {sentence}\n" for sentence in answers(simulated)), "\n"]
    for scenario in simulated.scenarios:
        parts += [f"\n### {_title(scenario)}\n\n", _truths(scenario), "\n",
                  _figures(scenario, is_simulated=True)]
    for method in CHARTED:
        parts += ["\n", write_figure(f"{stem('audit')}_{method}_tenths.svg",
                                     chart_of_deciles(simulated.scenarios[0], method, True))]
        for key, names in simulated.varied.items():
            parts += ["\n", write_figure(f"{stem('audit')}_{method}_{key}.svg",
                                         chart_of_axis(simulated, method, key, names))]
    parts += ["\nRound: predicted / true over all impressions; square: what clicks lead to, or, by "
              "tenths, over clicked ones.\n\n## KuaiRand\n\n",
              *(f"* {sentence}\n" for sentence in answers(real)[1:]), "\n",
              _figures(real.scenarios[0], is_simulated=False), "\n",
              write_figure(f"{stem('audit')}_kuairand_tenths.svg",
                           chart_of_deciles(real.scenarios[0], "esmm", False))]
    return "".join(parts)


def _title(scenario: ScenarioFigures) -> str:
    told = ", ".join(f"{key} {value:g}" for key, value in scenario.settings.items())
    return f"{scenario.name} ({told})"


def _truths(scenario: ScenarioFigures) -> str:
    told = "; ".join(f"{words}: {ratio_text(scenario.truth[name])}"
                     for name, words in OF_TRUTH.items())
    return f"{scenario.num_clicks:,} clicks, {scenario.num_conversions:,} conversions. {told}.\n"


def _figures(scenario: ScenarioFigures, *, is_simulated: bool) -> str:
    columns = COLUMNS[is_simulated]
    return table(["method", *columns.values()], [
        [method, *(ratio_text(figures.get(name)) for name in columns)]
        for method, figures in scenario.methods.items()])


if __name__ == "__main__":
    main()
