"""Figures as text, written alike in the report and on the terminal.

It computes none of them.
"""

from esmm_dist.evaluation.metrics import HIGHER_IS_BETTER
from esmm_dist.evaluation.scorecard import Estimate

NAMES_OF_REFERENCES = {
    "logistic_regression": "logistic regression",
    "trees_apart": "boosted trees (apart)",
    "trees_jointly": "boosted trees (joint)",
    "clicked_rate": "conversion rate of clicks",
    "truth": "the truth itself",
}
NUM_DECIMALS = {"ece": 5, "logloss": 5, "excess": 6}


def figure(value: float | None, metric: str) -> str:
    """A metric's value with the decimals that mean something."""
    return "–" if value is None else f"{value:.{_num_decimals(metric)}f}"


def signed(value: float | None, metric: str) -> str:
    """A difference, always with its sign."""
    return "–" if value is None else f"{value:+.{_num_decimals(metric)}f}".replace("-", "−")


def interval_text(estimate: Estimate, metric: str, *, of_difference: bool = False) -> str:
    """An interval as `low to high`, or why there is none."""
    if estimate.value is None:
        return estimate.reason or "undefined"
    if estimate.interval is None:
        return estimate.reason or "too few draws define it"
    write = signed if of_difference else figure
    return f"{write(estimate.low, metric)} to {write(estimate.high, metric)}"


def verdict(estimate: Estimate, metric: str) -> str:
    """What a difference says: better, worse, or none where chance explains it; '' of pcoc."""
    better_up = next((up for name, up in HIGHER_IS_BETTER.items() if name in metric.split("_")),
                     None)
    if better_up is None or estimate.interval is None or estimate.value is None:
        return ""
    if not estimate.interval.excludes_zero:
        return "none"
    return "better" if (estimate.value > 0) == better_up else "worse"


def method_name(name: str) -> str:
    """A method or reference as people write it: ESMM, logistic regression."""
    return NAMES_OF_REFERENCES.get(name) or name.upper().replace("_", "-")


def _num_decimals(metric: str) -> int:
    return next((n for name, n in NUM_DECIMALS.items() if name in metric.split("_")), 4)
