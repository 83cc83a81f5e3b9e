"""model_card.md: what a model learned from, how well it was measured, and where that ends.

It turns figures into text and computes none of them (Mitchell et al., FAT* 2019).
"""

from collections.abc import Sequence

from esmm_dist.contract.manifest import Day
from esmm_dist.contract.sections import Config
from esmm_dist.evaluation.figures import figure, interval_text, method_name
from esmm_dist.evaluation.scorecard import FoldRecord, Scorecard, metric_names
from esmm_dist.evaluation.tasks import Task, metric_name
from esmm_dist.pages.text import count, percent, span


def model_card(
    config: Config, card: Scorecard, fold: FoldRecord, train_days: Sequence[Day],
    test_days: Sequence[Day], notes: Sequence[str],
) -> str:
    """The card of one fold's model, as Markdown.

    Args:
        card: of the run that the fold is of.
        train_days: what the model learned from.
        test_days: what the figures are of.
        notes: further limits, a sentence each.
    """
    return "\n".join([
        f"# {config.name}: {method_name(config.model.method)}",
        "",
        f"Rates of click, conversion and both over all impressions, from {len(config.features)} "
        "features. " + config.note,
        "",
        "## Data",
        "",
        "| | days | impressions | clicks | CTR | conversions | CVR |",
        "|---|---|---|---|---|---|---|",
        _funnel("learned from", span(fold.train_days), train_days),
        _funnel("measured on", span(config.evaluate.days), test_days),
        "",
        f"Days in {config.logs.day_timezone}. A click counts up to "
        f"{config.samples.click_window_hours:g} h after its impression, a conversion up to "
        f"{config.samples.conversion_window_hours:g} h after its click.",
        "",
        "## Metrics",
        "",
        "Of the model as it predicts, before any calibration. 95 % intervals, by draws of "
        f"{config.samples.group_key}. " + _whose(card),
        "",
        "| metric | value | 95 % interval |",
        "|---|---|---|",
        *[_metric(card, name) for task in Task for name in metric_names(task, card.pooled)],
        "",
        "`ctr_*` and `ctcvr_*` are over impressions, `cvr_*_click` over clicked impressions. How a "
        "click would convert on impressions that nobody clicked was not observed, and is not "
        "measured here.",
        "",
        *_calibration(card),
        "## Limits",
        "",
        *[f"* {limit}" for limit in [*card.run.warnings, *notes]],
        f"* It knows the features {', '.join(f'`{f.name}`' for f in config.features)} as declared "
        "in `config.yaml`, encoded by `encodings.json`, and nothing else. Values that are new "
        "since then count as unknown.",
        "* Rates were right on the days above; they drift. The gate measures the next model on "
        "later days.",
        "",
    ])


def _funnel(role: str, days: str, built: Sequence[Day]) -> str:
    num_rows = sum(day.num_rows for day in built)
    num_clicks = sum(day.num_clicks for day in built)
    num_conversions = sum(day.num_conversions for day in built)
    ctr = num_clicks / num_rows if num_rows else None
    cvr = num_conversions / num_clicks if num_clicks else None
    figures = (count(num_rows), count(num_clicks), percent(ctr), count(num_conversions),
               percent(cvr))
    return f"| {role} | {days} | {' | '.join(figures)} |"


def _whose(card: Scorecard) -> str:
    if len(card.run.folds) == 1:
        return "All of it lies after the days it learned from."
    return ("Each test day was predicted by a model of the same run that learned from the days "
            "before it; this is the last of them.")


def _calibration(card: Scorecard) -> list[str]:
    """What is served instead of what the model predicts, if anything."""
    found = card.calibration
    if found is None or found.calibration.days is None:
        return []
    names = [metric_name(task, metric) for task in Task for metric in ("pcoc", "ece")]
    kinds = ", ".join(f"{task} {by.kind}" for task, by in found.calibration.maps.items())
    rows = [
        f"| {name} | {figure(found.scope.reference[name].value, name)} "
        f"| {figure(found.scope.model[name].value, name)} "
        f"| {interval_text(found.scope.model[name], name)} |" for name in names
    ]
    return [
        "## Calibration",
        "",
        f"Served through maps ({kinds}) learned on {span(found.calibration.days)}; the figures are "
        f"of {span(found.days)}.",
        "",
        "| metric | as predicted | as served | 95 % interval |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _metric(card: Scorecard, name: str) -> str:
    estimate = card.pooled.model[name]
    return f"| {name} | {figure(estimate.value, name)} | {interval_text(estimate, name)} |"
