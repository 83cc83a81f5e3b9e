"""What a comparison says: figures of methods over seeds, their differences, their costs, and how
their learning rates were chosen. The content of comparison.json; it computes nothing.
"""

from datetime import datetime
from math import inf
from typing import Literal

from pydantic import BaseModel, ConfigDict

from esmm_dist.contract.protocols import LearningRates

COMMON_CTR_AUC = "ctcvr_auc_common_ctr"
"""The paper's CTCVR AUC: every method's pCVR times the pCTR of one CTR network trained apart."""

COMMON_CTR_NET = "common_ctr"
"""That network, where it is named beside methods."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_Document):
    """A figure over seeds."""

    mean: float
    std: float | None
    """Of single seeds; None for one seed."""
    num_seeds: int


class Difference(Spread):
    """A method less the baseline, seed by seed on the same rows."""

    low: float | None = None
    high: float | None = None
    """95 % of the mean, from draws of users."""
    delong_low: float | None = None
    delong_high: float | None = None
    """95 % of the mean, rows taken as independent; of AUCs."""
    reason: str | None = None
    """Why draws of users give no interval; None: they do, or the metric has none."""


class Cost(_Document):
    """What a training took."""

    train_seconds: float
    peak_memory_mb: float
    """Of the first rank, its embedding tables included."""
    num_ranks: int
    is_whole: bool
    """Whether it was trained in one go; else the seconds are those of the last part."""


class TuningTrial(_Document):
    """One trial on the validation day."""

    rates: LearningRates
    options: dict[str, int | float] = {}
    """In place of the config's."""
    value: float | None
    """None: it diverged."""
    failure: str | None = None
    """How it diverged."""


class Choice(_Document):
    """How a method's learning rates and options were chosen."""

    method: str
    """Or COMMON_CTR_NET."""
    metric: str
    """Of the validation day; higher is better. '': no trial came to a value."""
    trials: tuple[TuningTrial, ...]

    @property
    def best(self) -> TuningTrial | None:
        """Of equal ones the first; none: all have diverged."""
        best = max(self.trials, key=lambda trial: -inf if trial.value is None else trial.value)
        return None if best.value is None else best

    @property
    def failure(self) -> str | None:
        """Why there is no best one."""
        if self.best is not None:
            return None
        return f"all {len(self.trials)} tuning trials diverged, the last: {self.trials[-1].failure}"


class MethodFigures(_Document):
    """One method."""

    method: str
    metrics: dict[str, Spread]
    differences: dict[str, Difference]
    """To the baseline; empty for itself."""
    seeds: dict[int, dict[str, float]]
    costs: dict[int, Cost]
    undefined: dict[str, str] = {}
    """By metric, why a seed has no value of it."""
    failures: dict[int, str] = {}
    """By seed, why it came to no predictions; the figures are those of the other seeds."""


class Comparison(_Document):
    """The content of comparison.json."""

    format_version: Literal[1] = 1
    name: str
    note: str
    compared_at: datetime
    commit: str | None
    baseline: str
    num_impressions: int
    num_clicks: int
    num_conversions: int
    num_groups: int
    num_bootstraps: int
    num_unknown_to_truth: int | None
    """Rows of no truth, such as bots', which truth metrics leave out; None: there is no truth."""
    best: dict[str, float]
    """Truth metrics of the truth itself: what can be had."""
    methods: tuple[MethodFigures, ...]
    common_ctr_failures: dict[int, str] = {}
    """By seed, why there is no CTR network for all, and so no COMMON_CTR_AUC."""
    tuning: tuple[Choice, ...] = ()
    """Empty: all methods have the learning rates and options of the config."""

    def of(self, method: str) -> MethodFigures:
        """The figures of a method by its name."""
        return next(figures for figures in self.methods if figures.method == method)
