"""The ESMM paper's seven methods by its protocol on KuaiRand, day-ahead, and its order beside it.

    python -m benchmarks.paper_protocol [--quick] [--seeds N]

Ten seeds; each test day is predicted by a training on all days before it; learning rates and
sampling rates are chosen for every method on the last training day, by twelve trials each. The
config is benchmarks/kuairand_paper.yaml. What is trained stays in runs/, and the command goes on
where it stopped; the record and its figure are written beside this script. --quick: two seeds, one
test day, no record.
"""

import argparse
import json
import math

from scipy import stats

from benchmarks.parts.record import heading, stem, table, write_figure, write_record
from esmm_dist.compare import folder_of
from esmm_dist.compare import main as compare
from esmm_dist.contract.config import load_config
from esmm_dist.evaluation.charts import difference_chart
from esmm_dist.evaluation.comparison_document import (
    COMMON_CTR_AUC,
    Comparison,
    Difference,
    TuningTrial,
)
from esmm_dist.pages.svg import Mark
from esmm_dist.scenarios import build, is_built

CONFIG = "benchmarks/kuairand_paper.yaml"
PUBLISHED = {  # AUC in %, Ali-CCP: CVR over clicks, CTCVR by one CTR network (arXiv 1804.07931)
    "base": (66.00, 62.07), "aman": (65.21, 63.53), "oversampling": (67.18, 63.05),
    "unbias": (66.65, 63.56), "division": (67.56, 63.62), "esmm_ns": (68.25, 64.44),
    "esmm": (68.56, 65.32),
}
METRICS = ("cvr_auc_click", COMMON_CTR_AUC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two seeds, one test day, no record")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error(f"--seeds {arguments.seeds}: give at least 2, the chance of training is asked")
    overrides = ["name=kuairand_paper_quick", "evaluate.days.last=2022-05-01"]
    overrides = overrides if arguments.quick else []
    config = load_config(CONFIG, overrides)
    if not is_built(config):
        build([config])
    num_seeds = 2 if arguments.quick else arguments.seeds
    compare(["--config", CONFIG, "--methods", *PUBLISHED, "--seeds", str(num_seeds),
             *(part for override in overrides for part in ("--set", override))])
    text = (folder_of(config) / "comparison.json").read_text(encoding="utf-8")
    comparison = Comparison.model_validate_json(text)
    if not arguments.quick:
        print(write_record(stem("paper_protocol"), record(comparison, num_seeds)))
    gaps = {f"{method.method} - base, {name}": round(method.differences[name].mean, 4)
            for method in comparison.methods for name in METRICS if name in method.differences}
    print(json.dumps({"ratios": gaps, "bars": {}, "missed": []}))


def record(comparison: Comparison, num_seeds: int) -> str:
    """The page."""
    parts = [heading(
        "The paper's protocol on KuaiRand, day-ahead", "python -m benchmarks.paper_protocol",
        f"Config: `{CONFIG}`, seeds 1 to {num_seeds}."),
        f"\n{comparison.num_impressions:,} test impressions, {comparison.num_clicks:,} clicks, "
        f"{comparison.num_conversions:,} conversions (likes) of {comparison.num_groups:,} users. "
        "CVR AUC over clicked test rows; CTCVR AUC over all test rows, every pCVR times the pCTR "
        "of one CTR network trained apart under the same seed. ± is the standard deviation of "
        "single seeds. Differences to BASE are paired by seed and row; intervals are 95 % of the "
        "mean over seeds, from draws of users and Student's of the seeds, added as independent: "
        "they hold the chance of the test rows and of training.\n\n",
        table(["method", "CVR AUC", "less BASE", "paper", "CTCVR AUC", "less BASE", "paper"],
              [_row(comparison, method) for method in PUBLISHED]), "\n",
        "Paper: its published difference to BASE on Ali-CCP.\n\n", _within(comparison),
    ]
    for name in METRICS:
        parts += [write_figure(f"{stem('paper_protocol')}_{name}.svg", _chart(comparison, name)),
                  "\n"]
    parts += ["## What reproduces\n\n", *(f"* {line}\n" for line in verdicts(comparison)),
              "\n## Learning rates and options\n\nTowers / tables and the options tried with "
              "them, by the AUC of the validation day.\n\n",
              _tuning(comparison)]
    return "".join(parts)


def reach(gap: Difference) -> float:
    """Half of the 95 % interval of a mean difference, of test rows and of training together."""
    assert gap.low is not None and gap.high is not None and gap.std is not None
    of_rows = (gap.high - gap.low) / 2
    of_seeds = float(stats.t.ppf(0.975, gap.num_seeds - 1)) * gap.std / math.sqrt(gap.num_seeds)
    return math.hypot(of_rows, of_seeds)


def _row(comparison: Comparison, method: str) -> list[str]:
    cells = [method]
    figures = comparison.of(method)
    for place, name in enumerate(METRICS):
        spread, gap = figures.metrics[name], figures.differences.get(name)
        cells.append(f"{spread.mean:.4f} ± {spread.std or 0:.4f}")
        cells.append(f"{gap.mean:+.4f} ± {reach(gap):.4f}" if gap else "")
        cells.append(f"{(PUBLISHED[method][place] - PUBLISHED['base'][place]) / 100:+.4f}")
    return cells


def _within(comparison: Comparison) -> str:
    """The same AUCs over the pairs that one training scored; '' of comparisons without them."""
    of_base = comparison.of("base").metrics
    names = [name for name in ("cvr_auc_within_model_click", f"{COMMON_CTR_AUC}_within_model")
             if name in of_base]
    if not names:
        return ""
    rows = []
    for method in PUBLISHED:
        figures, cells = comparison.of(method), [method]
        for name in names:
            gap = figures.differences.get(name)
            cells += [f"{figures.metrics[name].mean:.4f} ± {figures.metrics[name].std or 0:.4f}",
                      f"{gap.mean:+.4f} ± {reach(gap):.4f}" if gap else ""]
        rows.append(cells)
    headings = ["method", *(cell for name in names for cell in (name, "less BASE"))]
    return (
        "Each test day is scored by a training of its own, and scores of two trainings do not "
        "compare. The same AUCs over the pairs of rows that one training scored:\n\n"
        f"{table(headings, rows)}\n"
    )


def _chart(comparison: Comparison, name: str) -> str:
    marks = {}
    for method in comparison.methods:
        gap = method.differences.get(name)
        if gap is not None:
            ends = gap.mean - reach(gap), gap.mean + reach(gap)
            marks[method.method] = Mark(gap.mean, *ends, f"{gap.mean:+.4f}")
    return difference_chart(f"{name}, less BASE", marks, f"{name}, less that of base")


def verdicts(comparison: Comparison) -> list[str]:
    """Each published difference to BASE beside ours, in words."""
    found = []
    for place, name in enumerate(METRICS):
        for method in PUBLISHED:
            gap = comparison.of(method).differences.get(name)
            if gap is None:
                continue
            published = PUBLISHED[method][place] - PUBLISHED["base"][place]
            if abs(gap.mean) <= reach(gap):
                word = "not told from 0 here"
            else:
                word = "reproduces" if (gap.mean > 0) == (published > 0) else "is reversed here"
            found.append(f"{name}: {method} {'above' if published > 0 else 'below'} base in the "
                         f"paper ({published / 100:+.4f}): {word} ({gap.mean:+.4f} ± "
                         f"{reach(gap):.4f}).")
        paper = sorted(PUBLISHED, key=lambda method: -PUBLISHED[method][place])
        ours = sorted(PUBLISHED, key=lambda method: -comparison.of(method).metrics[name].mean)
        found.append(f"{name}, best first: in the paper {', '.join(paper)}; here "
                     f"{', '.join(ours)}.")
    return found


def _tuning(comparison: Comparison) -> str:
    rates = [trial.rates for trial in comparison.tuning[0].trials]
    return table(
        ["method", "by", *(f"{r.towers:g} / {r.tables:g}" for r in rates)],
        [[choice.method, choice.metric,
          *(_trial(trial, trial == choice.best) for trial in choice.trials)]
         for choice in comparison.tuning],
    )


def _trial(trial: TuningTrial, is_best: bool) -> str:
    value = "diverged" if trial.value is None else f"{trial.value:.4f}"
    value = f"**{value}**" if is_best else value
    return "; ".join([value, *(f"{name} {tried:g}" for name, tried in trial.options.items())])


if __name__ == "__main__":
    main()
