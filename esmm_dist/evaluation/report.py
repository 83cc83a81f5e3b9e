"""report.html: one file that opens anywhere, offline, from the figures of a scorecard.

It turns figures into words and pictures; it computes none of them and reads no file but its own
template.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from markupsafe import Markup

from esmm_dist.contract.manifest import Day
from esmm_dist.contract.sections import Config
from esmm_dist.evaluation.calibration import ReliabilityBin
from esmm_dist.evaluation.charts import curve_chart, difference_chart, reliability_chart
from esmm_dist.evaluation.figures import (
    figure,
    interval_text,
    method_name,
    signed,
    verdict,
)
from esmm_dist.evaluation.ripeness import horizon
from esmm_dist.evaluation.scorecard import Estimate, Scorecard, metric_names
from esmm_dist.evaluation.tasks import Task, metric_name
from esmm_dist.pages.charts import day_chart
from esmm_dist.pages.page import rendered
from esmm_dist.pages.svg import Mark

TEMPLATE = "report.html.j2"
TITLES = {Task.CTR: "CTR", Task.CVR: "CVR on clicks", Task.CTCVR: "CTCVR"}
QUESTIONS = {
    Task.CTR: "Is an impression clicked?",
    Task.CVR: "Is a click converted? Clicked impressions only.",
    Task.CTCVR: "Is an impression clicked and converted?",
}
Reliability = Mapping[Literal["model", "reference"], list[ReliabilityBin]]

ROWS_IN = "impressions_in"
FATES_AT_THE_ENDS = {"in": -1, "out": 1, "credited": 1}
ROW_WORDS = {Task.CTR: "impressions", Task.CVR: "clicks", Task.CTCVR: "impressions"}


@dataclass(frozen=True)
class CurvePoint:
    """A point of a fold's training curve: means over the rows since the point before."""

    num_samples: int
    losses: Mapping[str, float]
    """By loss term; all of them together under `loss`."""
    samples_per_second: float


@dataclass(frozen=True)
class Evidence:
    """All that a report shows."""

    config: Config
    scorecard: Scorecard
    days: Sequence[Day]
    """The built days that were trained or tested on, in order."""
    curves: Mapping[str, Sequence[CurvePoint]]
    """By fold, in order."""


def render_report(evidence: Evidence) -> str:
    """The report as the text of one HTML file without any outside resource."""
    return rendered(
        "esmm_dist.evaluation", TEMPLATE,
        {"figure": figure, "interval": interval_text, "signed": signed, "method": method_name,
         "verdict": verdict},
        run=evidence.scorecard.run, config=evidence.config, card=evidence.scorecard,
        tasks=[_task_view(task, evidence.scorecard) for task in Task],
        difference_chart=Markup(_differences(evidence.scorecard)),
        horizons=_horizons(evidence.days),
        funnel=_funnel(evidence), counters=_counters(evidence.days), days=evidence.days,
        curves=_curve_charts(evidence.curves), folds=_fold_rows(evidence),
    )


# ---------------------------------------------------------------------------------------------
# Views of the template
# ---------------------------------------------------------------------------------------------


def _task_view(task: Task, card: Scorecard) -> dict[str, Any]:
    names = metric_names(task, card.pooled)
    return {
        "title": TITLES[task], "question": QUESTIONS[task], "auc": metric_name(task, "auc"),
        "metrics": names, "gauc": metric_name(task, "gauc"),
        "bins": card.reliability[task],
        "reliability": _reliability(task, card.reliability[task]),
        "calibrated": card.calibration and _reliability(task, card.calibration.reliability[task]),
        "by_day": Markup(_by_day(task, card)),
    }


def _reliability(task: Task, bins: Reliability) -> Markup:
    return Markup(reliability_chart(
        f"Reliability of {TITLES[task]}: predicted against observed rate",
        {"model": bins["model"], "reference": bins["reference"]}, ROW_WORDS[task],
    ))


def _mark(estimate: Estimate, metric: str, label: str) -> Mark | None:
    if estimate.value is None:
        return None
    text = f"{label}: {figure(estimate.value, metric)} ({interval_text(estimate, metric)})"
    return Mark(estimate.value, estimate.low, estimate.high, text)


def _by_day(task: Task, card: Scorecard) -> str:
    name = metric_name(task, "auc")
    series = {
        who: [_mark(getattr(scope, who)[name], name, f"{day} {who}")
              for day, scope in card.days.items()]
        for who in ("model", "reference")
    }
    return day_chart(f"{name} by test day", series, [day.isoformat() for day in card.days])


def _differences(card: Scorecard) -> str:
    marks = {}
    for metric in ("auc", "gauc"):
        for task in Task:
            name = metric_name(task, metric)
            estimate = card.pooled.difference[name]
            if estimate.value is not None:
                shown = interval_text(estimate, name, of_difference=True)
                text = f"{name}: {signed(estimate.value, name)} ({shown})"
                marks[name] = Mark(estimate.value, estimate.low, estimate.high, text)
    names = f"{method_name(card.run.method)} minus {method_name(card.run.reference)}"
    return difference_chart(f"Paired differences, {names}", marks, names)


def _curve_charts(curves: Mapping[str, Sequence[CurvePoint]]) -> list[dict[str, Any]]:
    """One chart a loss term; the total is shown only where it is the only one."""
    terms = list(dict.fromkeys(t for points in curves.values() for p in points for t in p.losses))
    if len(terms) > 1 and "loss" in terms:
        terms.remove("loss")
    charts = []
    for term in terms:
        lines = {name: [(p.num_samples, p.losses[term]) for p in points if term in p.losses]
                 for name, points in curves.items()}
        picture = curve_chart(f"Training {term} over samples seen, by fold", lines, term)
        if picture:
            charts.append({"term": term, "picture": Markup(picture)})
    return charts


def _fold_rows(evidence: Evidence) -> list[dict[str, Any]]:
    rows = []
    for fold in evidence.scorecard.run.folds:
        points = evidence.curves.get(fold.name, ())
        last = points[-1] if points else None
        rows.append({"fold": fold, "loss": last.losses.get("loss") if last else None,
                     "speed": last.samples_per_second if last else None})
    return rows


def _horizons(days: Sequence[Day]) -> list[str]:
    """As of when days were built; nothing if all are from complete logs."""
    if all(day.as_of is None for day in days):
        return []
    return [
        f"{same[0].day} to {same[-1].day}: {text}" if len(same) > 1 else f"{same[0].day}: {text}"
        for text, group in groupby(days, horizon) for same in [list(group)]
    ]


def _funnel(evidence: Evidence) -> list[dict[str, Any]]:
    """A row a built day, and their total."""
    tested = evidence.config.evaluate.days
    rows = [_funnel_row(day.day.isoformat(),
                        "test" if tested.first <= day.day <= tested.last else "train", [day])
            for day in evidence.days]
    return [*rows, _funnel_row("all days", "", evidence.days)]


def _funnel_row(name: str, role: str, days: Sequence[Day]) -> dict[str, Any]:
    num_rows = sum(day.num_rows for day in days)
    num_clicks = sum(day.num_clicks for day in days)
    num_conversions = sum(day.num_conversions for day in days)
    return {
        "name": name, "role": role, "num_rows": num_rows, "num_clicks": num_clicks,
        "num_conversions": num_conversions,
        "num_dropped": sum(day.counters[ROWS_IN] - day.num_rows for day in days
                           if ROWS_IN in day.counters),
        "ctr": num_clicks / num_rows if num_rows else None,
        "cvr": num_conversions / num_clicks if num_clicks else None,
    }


def _counters(days: Sequence[Day]) -> dict[str, list[dict[str, Any]]]:
    """Everything the build counted, by what it counted: impressions, clicks, …"""
    counters: dict[str, list[dict[str, Any]]] = {}
    for name in dict.fromkeys(name for day in days for name in day.counters):
        counted, _, fate = name.partition("_")
        values = [day.counters.get(name, 0) for day in days]
        counters.setdefault(counted, []).append(
            {"name": name, "fate": fate.replace("_", " "), "values": values, "total": sum(values)}
        )
    return {counted: sorted(rows, key=lambda row: FATES_AT_THE_ENDS.get(row["fate"], 0))
            for counted, rows in counters.items()}
