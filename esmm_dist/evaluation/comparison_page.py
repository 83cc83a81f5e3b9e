"""A comparison as a table on the terminal, as CSV, and as one HTML file that opens offline.

It turns figures into words and pictures; it computes none of them.
"""

import csv
import io
from importlib import resources
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from esmm_dist.evaluation.charts import difference_chart
from esmm_dist.evaluation.comparison_document import (
    COMMON_CTR_AUC,
    COMMON_CTR_NET,
    Comparison,
    Difference,
    Spread,
)
from esmm_dist.evaluation.figures import figure, signed
from esmm_dist.evaluation.metrics import NOT_PREDICTED
from esmm_dist.pages.svg import Mark

TEMPLATE = "comparison.html.j2"
MAIN = ("cvr_auc_click", COMMON_CTR_AUC, "ctcvr_auc", "cvr_pcoc_click", "ctcvr_ne")
WITHIN_MODELS = ("ctr_auc_within_model", "cvr_auc_within_model_click", "ctcvr_auc_within_model",
                 f"{COMMON_CTR_AUC}_within_model")
OF_TRUTH = ("true_cvr_auc", "true_cvr_auc_unclicked", "true_cvr_excess", "true_cvr_pcoc",
            "true_cvr_pcoc_click", "true_cvr_pcoc_unclicked")
DEFINITIONS = {
    "cvr_…_click": "conversion, over clicked test rows: the paper's CVR AUC",
    COMMON_CTR_AUC: "click and conversion, over all test rows, every method's pCVR times the pCTR "
                    "of one CTR network trained apart under the same seed: the paper's CTCVR AUC",
    "ctcvr_…": "the same by the method's own pCTCVR",
    "…_within_model": "the same AUC over the pairs of rows that one training scored, where several "
                      "did, as with evaluate.retrain daily: scores of two trainings do not compare",
    "true_cvr_…": "against the true p(conversion | do(click), x) of simulated logs, over all test "
                  "rows, or the clicked or un-clicked ones; auc is the expected one, without "
                  "noise of labels; excess is the mean divergence from the truth, 0 at best",
    "potential_cvr_auc…": "against whether a row would have converted, had it been clicked",
    "± and std": "standard deviation of single seeds",
    "failed": "the loss or the predictions of that training became infinite or undefined; figures "
              "are over the other seeds, differences over those that both have",
    "common_ctr": "the one CTR network of all: `independent`, chosen by its CTR AUC",
    "difference": "method less baseline, paired by seed and row; 95 % intervals of the mean over "
                  "seeds: by draws of users, and DeLong's, which takes rows as independent. "
                  "Neither holds the chance of training: that is the std of the differences",
}
CSV_COLUMNS = ("method", "metric", "mean", "std", "num_seeds", "difference", "difference_std",
               "low", "high", "delong_low", "delong_high", "note")


def print_comparison(comparison: Comparison) -> None:
    """Prints the main figures, and those against the truth where there is one."""
    console = Console()
    console.print(_table(comparison, MAIN, f"{comparison.name}: {_counts(comparison)}"))
    if any(_has(comparison, name) for name in WITHIN_MODELS):
        console.print(_table(comparison, WITHIN_MODELS, "within what one training scored"))
    if comparison.best:
        console.print(_table(comparison, OF_TRUTH, "against the truth"))
    for note in notes(comparison):
        console.print(note, soft_wrap=True, markup=False, highlight=False)


def to_csv(comparison: Comparison) -> str:
    """One line a method and metric; of a metric without a value, and of a seed without figures, the
    last column says why."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for method in comparison.methods:
        for name, spread in method.metrics.items():
            gap = method.differences.get(name)
            tail = (gap.mean, gap.std, gap.low, gap.high, gap.delong_low, gap.delong_high,
                    gap.reason) if gap else (None,) * 7
            writer.writerow((method.method, name, spread.mean, spread.std, spread.num_seeds, *tail))
        empty = (None,) * (len(CSV_COLUMNS) - 3)
        for name, reason in method.undefined.items():
            if name not in method.metrics and reason != NOT_PREDICTED:
                writer.writerow((method.method, name, *empty, reason))
        for seed, reason in method.failures.items():
            writer.writerow((method.method, None, *empty, f"seed {seed} failed: {reason}"))
    return text.getvalue()


def notes(comparison: Comparison) -> list[str]:
    """What the figures lack, and why: trainings that failed, metrics and intervals that are not
    defined. What a method is not made to predict is not among it."""
    told = [f"{method.method}, seed {seed}: failed: {reason}"
            for method in comparison.methods for seed, reason in method.failures.items()]
    told += [f"{COMMON_CTR_NET}, seed {seed}: failed, and with it {COMMON_CTR_AUC}: {reason}"
             for seed, reason in comparison.common_ctr_failures.items()]
    methods_of: dict[tuple[str, str], list[str]] = {}
    for method in comparison.methods:
        for name, reason in method.undefined.items():
            if reason != NOT_PREDICTED:
                methods_of.setdefault((name, reason), []).append(method.method)
    told += [f"{name} is not defined ({', '.join(methods)}): {reason}"
             for (name, reason), methods in methods_of.items()]
    reasons = dict.fromkeys(gap.reason for method in comparison.methods
                            for gap in method.differences.values() if gap.reason)
    return told + [f"no interval from draws of groups: {reason}" for reason in reasons]


def render_comparison(comparison: Comparison) -> str:
    """The page as the text of one HTML file without any outside resource."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)
    text = resources.files("esmm_dist.evaluation").joinpath(TEMPLATE).read_text(encoding="utf-8")
    names = [name for name in (*MAIN, *WITHIN_MODELS, *OF_TRUTH) if _has(comparison, name)]
    others = sorted({name for method in comparison.methods for name in method.metrics} - set(names))
    return environment.from_string(text).render(
        comparison=comparison, counts=_counts(comparison), definitions=DEFINITIONS,
        notes=notes(comparison),
        names=names, cells=_cells(comparison, names), best=_best(comparison, names),
        other_names=others, other_cells=_cells(comparison, others),
        other_best=_best(comparison, others),
        charts=[Markup(_chart(comparison, name)) for name in names if _is_differing(comparison,
                                                                                    name)],
        costs=[_cost(comparison, method.method) for method in comparison.methods],
    )


def _table(comparison: Comparison, names: tuple[str, ...], title: str) -> Table:
    names = tuple(name for name in names if _has(comparison, name))
    table = Table(title=title, title_justify="left", caption_justify="left",
                  caption=comparison.note or None)
    table.add_column("method", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", overflow="fold")  # cut off, names are alike
    for method, cells in _cells(comparison, list(names)).items():
        shown = ["\n".join(filter(None, (cell.value, cell.gap))) for cell in cells]
        is_lost = comparison.of(method).failures and not comparison.of(method).seeds
        table.add_row(method, *(["failed", *shown[1:]] if is_lost else shown))
    if any(name in comparison.best for name in names):
        table.add_row("(the truth)", *_best(comparison, list(names)))
    return table


class Cell(NamedTuple):
    """What is told of a method's metric."""

    value: str
    gap: str
    """The difference to the baseline."""
    chance: str
    """Its standard deviation over seeds, and DeLong's interval of it; of the page alone."""


def _cells(comparison: Comparison, names: list[str]) -> dict[str, list[Cell]]:
    """By method what is told of each metric; '-' where there is none, or no interval: `notes` say
    why."""
    cells: dict[str, list[Cell]] = {}
    for method in comparison.methods:
        row = cells[method.method] = []
        for name in names:
            spread, gap = method.metrics.get(name), method.differences.get(name)
            row.append(Cell(
                _spread(spread, name) if spread else "-",
                f"{signed(gap.mean, name)} ({_interval(gap.low, gap.high, name)})" if gap else "",
                _other_chance(gap, name) if gap else ""))
    return cells


def _other_chance(gap: Difference, name: str) -> str:
    """What stands beside the interval from draws of groups."""
    parts = [] if gap.std is None else [f"std {figure(gap.std, name)}"]
    if gap.delong_low is not None:
        parts.append(f"DeLong {_interval(gap.delong_low, gap.delong_high, name)}")
    return "; ".join(parts)


def _best(comparison: Comparison, names: list[str]) -> list[str]:
    return [figure(comparison.best[name], name) if name in comparison.best else ""
            for name in names]


def _spread(spread: Spread, name: str) -> str:
    text = figure(spread.mean, name)
    return text if spread.std is None else f"{text} ± {figure(spread.std, name)}"


def _interval(low: float | None, high: float | None, name: str) -> str:
    if low is None or high is None:
        return "-"
    return f"{signed(low, name)} to {signed(high, name)}"


def _chart(comparison: Comparison, name: str) -> str:
    marks = {}
    for method in comparison.methods:
        gap = method.differences.get(name)
        if gap is not None:
            shown = _interval(gap.low, gap.high, name)
            text = f"{method.method}: {signed(gap.mean, name)} ({shown})"
            marks[method.method] = Mark(gap.mean, gap.low, gap.high, text)
    return difference_chart(f"{name}, less that of {comparison.baseline}", marks, name)


def _is_differing(comparison: Comparison, name: str) -> bool:
    return any(name in method.differences for method in comparison.methods)


def _has(comparison: Comparison, name: str) -> bool:
    """Whether some method has it, or would, were it not for the rows or for what failed."""
    return any(name in method.metrics or method.undefined.get(name, NOT_PREDICTED) != NOT_PREDICTED
               for method in comparison.methods)


def _cost(comparison: Comparison, method: str) -> tuple[str, str, str]:
    costs = comparison.of(method).costs.values()
    whole = [cost.train_seconds for cost in costs if cost.is_whole]
    seconds = f"{sum(whole) / len(whole):,.1f}" if whole else "-"
    memory = max((cost.peak_memory_mb for cost in costs), default=0.0)
    return method, seconds, f"{memory:,.0f}"


def _counts(comparison: Comparison) -> str:
    unknown = comparison.num_unknown_to_truth
    return (
        f"{comparison.num_impressions:,} impressions, {comparison.num_clicks:,} clicks, "
        f"{comparison.num_conversions:,} conversions of {comparison.num_groups:,} groups"
        + (f"; {unknown:,} rows unknown to the truth" if unknown else "")
    )
