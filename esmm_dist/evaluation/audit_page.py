"""An audit as sentences on the terminal, and as one HTML file that opens offline.

It turns figures into words and pictures; it computes none of them.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from esmm_dist.evaluation.audit import BASE, NUM_DECILES, REFERENCES
from esmm_dist.evaluation.audit_answer import (
    answers,
    difference_text,
    ratio_text,
    seeds_text,
)
from esmm_dist.evaluation.audit_document import Audit, Estimate, ScenarioFigures
from esmm_dist.evaluation.charts import ratio_chart
from esmm_dist.evaluation.figures import method_name
from esmm_dist.pages.page import rendered
from esmm_dist.pages.svg import Mark

TEMPLATE = "audit.html.j2"
DECILES = tuple(range(1, NUM_DECILES + 1))
COLUMNS = {
    True: {"true_cvr_pcoc": "all", "true_cvr_pcoc_click": "clicked",
           "true_cvr_pcoc_unclicked": "un-clicked", "true_cvr_given_pcoc": "all, to given click",
           "true_cvr_auc": "expected AUC", "true_cvr_excess": "divergence, nats",
           "num_steps": "steps"},
    False: {"cvr_pcoc_click": "predicted / seen, clicks", "implied_rate_click": "implied, clicked",
            "implied_rate_unclicked": "implied, un-clicked"},
}
BESIDE_BASE = {
    True: {"cvr_to_base": "all", "cvr_to_base_click": "clicked",
           "cvr_to_base_unclicked": "un-clicked", "cvr_to_base_decile_1": "tenth 1",
           f"cvr_to_base_decile_{NUM_DECILES}": f"tenth {NUM_DECILES}",
           "true_cvr_auc_less_base": "expected AUC less BASE's"},
    False: {"cvr_to_base_click": "clicked", "cvr_to_base_unclicked": "un-clicked",
            "cvr_to_base_unclicked_decile_1": "un-clicked, tenth 1",
            f"cvr_to_base_unclicked_decile_{NUM_DECILES}": f"un-clicked, tenth {NUM_DECILES}"},
}
ON_TERMINAL = ("true_cvr_pcoc", "true_cvr_pcoc_unclicked", "true_cvr_auc")
"""What fits into 80 columns."""
OF_TRUTH = {"given_to_do": "clicks lead to", "clicked_rate_to_true_cvr": "ESCM2 says at least",
            "mean_of_ratios_to_ratio_of_means": "its first inequality, at least 1"}


def print_audit(audit: Audit) -> None:
    """Prints the figures of the world as declared, or of the logs, and the answer."""
    console = Console()
    scenario = audit.scenarios[0]
    columns = {name: words for name, words in COLUMNS[audit.is_simulated].items()
               if not audit.is_simulated or name in ON_TERMINAL}
    table = Table(title=f"{audit.name}: pCVR against the truth, {scenario.name}"
                  if audit.is_simulated else audit.name, title_justify="left")
    for column in ("method", *columns.values()):
        is_name = column == "method"
        table.add_column(column, justify="left" if is_name else "right", no_wrap=is_name)
    for method, figures in scenario.methods.items():
        table.add_row(method, *(figure_text(name, figures.get(name)) for name in columns))
    console.print(table)
    for sentence in answers(audit):
        console.print(f"* {sentence}", highlight=False, markup=False)


def figure_text(name: str, estimate: Estimate | None) -> str:
    """A figure of a table."""
    if name == "num_steps":
        return "–" if estimate is None else f"{estimate.value:,.0f}"
    if name.endswith("_less_base"):
        return difference_text(estimate)
    return ratio_text(estimate)


def render_audit(audit: Audit) -> str:
    """The page as the text of one file."""
    return rendered(
        "esmm_dist.evaluation", TEMPLATE,
        {"method": method_name, "figure": figure_text, "seeds": seeds_text},
        audit=audit, answers=answers(audit), columns=COLUMNS[audit.is_simulated],
        beside_base=BESIDE_BASE[audit.is_simulated], base=BASE, references=REFERENCES,
        of_truth=OF_TRUTH, deciles=DECILES,
        charts={key: _charts_of_axis(audit, key, names) for key, names in audit.varied.items()},
        decile_charts=_charts_of_deciles(audit.scenarios[0], audit.is_simulated),
        tenths_of_axis={key: _tenths_of_axis(audit, names) for key, names in audit.varied.items()},
    )


def _charts_of_axis(audit: Audit, key: str, names: Sequence[str]) -> dict[str, Markup]:
    return {method: Markup(chart_of_axis(audit, method, key, names))
            for method in _charted(audit, names)}


def _charted(audit: Audit, names: Sequence[str]) -> list[str]:
    """Methods of all these scenarios; not AMAN, which is so far off that nothing else would be
    seen, nor what is right or constant by definition."""
    return [method for method in audit.of(names[0]).methods
            if method not in ("aman", *REFERENCES)
            and all(method in audit.of(name).methods for name in names)]


def _charts_of_deciles(scenario: ScenarioFigures, is_simulated: bool) -> dict[str, Markup]:
    left_out = ("aman", "truth") if is_simulated else ()
    return {method: Markup(chart_of_deciles(scenario, method, is_simulated))
            for method in scenario.methods if method not in left_out}


def _tenths_of_axis(audit: Audit, names: Sequence[str]) -> dict[str, dict[str, Markup]]:
    """By method and scenario; all of an axis reach as far."""
    charted = _charted(audit, names)
    reach = [bound for name in names for method in charted
             for mark in _marks(audit.of(name).methods[method], "true_cvr_pcoc", "")
             if mark is not None for bound in (mark.low, mark.high) if bound is not None]
    return {method: {name: Markup(chart_of_deciles(audit.of(name), method, True, reach))
                     for name in names} for method in charted}


def chart_of_axis(audit: Audit, method: str, key: str, names: Sequence[str]) -> str:
    """What was seen of a method over the levels of a key, beside what clicks lead to."""
    scenarios = [audit.of(name) for name in names]
    return ratio_chart(f"{method_name(method)}, {key} varied", {
        "model": [_mark(s.methods[method].get("true_cvr_pcoc"), "seen") for s in scenarios],
        "reference": [_mark(s.truth.get("given_to_do"), "clicks lead to") for s in scenarios],
    }, [f"{scenario.settings[key]:g}" for scenario in scenarios], key)


def chart_of_deciles(
    scenario: ScenarioFigures, method: str, is_simulated: bool, reach: Sequence[float] = ()
) -> str:
    """Predicted / true, or seen, over the tenths of pCTR, on an axis that holds `reach` too."""
    figures = scenario.methods[method]
    name = "true_cvr_pcoc" if is_simulated else "cvr_pcoc_click"
    series = {"model": _marks(figures, name, "all impressions" if is_simulated else "clicks")}
    if is_simulated:
        series["reference"] = _marks(figures, f"{name}_click", "clicked")
    return ratio_chart(f"{method_name(method)} by tenths of pCTR", series,
                       [str(d) for d in DECILES],
                       "tenth by pCTR, the least likely to be clicked first", reach)


def _marks(figures: Mapping[str, Estimate], name: str, series: str) -> list[Mark | None]:
    return [_mark(figures.get(f"{name}_decile_{d}"), f"{series}, tenth {d}") for d in DECILES]


def _mark(estimate: Estimate | None, series: str) -> Mark | None:
    if estimate is None or estimate.value <= 0:
        return None
    return Mark(estimate.value, estimate.low, estimate.high,
                f"{series}: {ratio_text(estimate)}")
