"""What an audit says: figures by scenario and method, with intervals. The content of audit.json.

It reads no prediction.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from esmm_dist.evaluation.intervals import LEVEL
from esmm_dist.evaluation.saturation import Saturated

AS_DECLARED = "as declared"
LENGTH = "num_epochs"
"""The one key whose levels are no worlds of their own."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Document):
    """A figure with its 95 % interval, if there is one."""

    value: float
    low: float | None = None
    high: float | None = None
    by_seed: tuple[float, ...] = ()
    """What single trainings say, where the interval holds the chance of the rows alone."""

    @classmethod
    def of_ratios(cls, values: Sequence[float]) -> "Estimate":
        """Of replicates: the geometric mean, and Student's interval of the logarithms."""
        if min(values) <= 0:
            return cls(value=float(np.mean(values)))
        of_logs = cls.of_differences([float(log) for log in np.log(values)])
        low, high = (None if bound is None else float(np.exp(bound))
                     for bound in (of_logs.low, of_logs.high))
        return cls(value=float(np.exp(of_logs.value)), low=low, high=high)

    @classmethod
    def of_differences(cls, values: Sequence[float]) -> "Estimate":
        """Of replicates: the mean, and Student's interval."""
        center = float(np.mean(values))
        if len(values) == 1:
            return cls(value=center)
        error = float(np.std(values, ddof=1)) / np.sqrt(len(values))
        reach = error * float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
        return cls(value=center, low=center - reach, high=center + reach)

    def side_of(self, value: float) -> Literal["above", "below", "not told"]:
        """Where the interval lies; without one nothing is told."""
        if not self.is_off(value):
            return "not told"
        return "above" if self.value > value else "below"

    def is_off(self, value: float) -> bool:
        """Whether the interval, if there is one, leaves a value out."""
        return self.low is not None and self.high is not None and not (
            self.low <= value <= self.high)


def pooled(
    replicates: Sequence[Mapping[str, float]],
    as_one: Callable[[Sequence[float]], Estimate] = Estimate.of_ratios,
) -> dict[str, Estimate]:
    """Figures of all replicates as one; those that a replicate does not define are left out."""
    return {
        name: as_one([values[name] for values in replicates])
        for name in replicates[0]
        if all(name in values and np.isfinite(values[name]) for values in replicates)
    }


class ScenarioFigures(_Document):
    """One world, or the real logs."""

    name: str
    settings: dict[str, float]
    """ctr, selection, sharing and confounding of the world, and num_epochs; empty for real logs."""
    num_impressions: int
    """Of the test days, over all replicates."""
    num_clicks: int
    num_conversions: int
    truth: dict[str, Estimate]
    """What the truths say of each other; empty for real logs."""
    methods: dict[str, dict[str, Estimate]]
    """Of simulated logs also what `audit.REFERENCES` names."""


class Audit(_Document):
    """The content of audit.json."""

    format_version: Literal[1] = 1
    name: str
    note: str
    audited_at: datetime
    commit: str | None
    num_replicates: int
    is_simulated: bool
    varied: dict[str, tuple[str, ...]]
    """By key that was varied the scenarios, in order of levels."""
    scenarios: tuple[ScenarioFigures, ...]
    saturated: tuple[Saturated, ...]

    @property
    def worlds(self) -> tuple[ScenarioFigures, ...]:
        """The scenarios that were drawn, each world once."""
        of_length = set(self.varied.get(LENGTH, ())) - {AS_DECLARED}
        return tuple(figures for figures in self.scenarios if figures.name not in of_length)

    def of(self, scenario: str) -> ScenarioFigures:
        """The figures of a scenario by its name."""
        return next(figures for figures in self.scenarios if figures.name == scenario)
