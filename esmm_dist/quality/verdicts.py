"""Which declared expectations hold on which day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from esmm_dist.contract.expectations import COLUMN_METRICS, Expectation
from esmm_dist.quality.figures import DayFigures


@dataclass(frozen=True)
class Verdict:
    """One expectation on one day, of one feature where it is of features."""

    expectation: Expectation
    day: date
    feature: str | None
    value: float | None
    """None: the metric is not defined, for want of rows or of trailing days."""

    @property
    def holds(self) -> bool | None:
        """None where the metric is not defined."""
        if self.value is None:
            return None
        low, high = self.expectation.min, self.expectation.max
        return (low is None or self.value >= low) and (high is None or self.value <= high)

    @property
    def text(self) -> str:
        """What was expected and what was found."""
        of = f" of {self.feature}" if self.feature else ""
        found = "undefined" if self.value is None else f"{self.value:.6g}"
        return (
            f"{self.expectation.name}: {self.expectation.metric}{of} on {self.day} is {found}, "
            f"expected {bounds(self.expectation)}"
        )


def bounds(expectation: Expectation) -> str:
    """An expectation's bounds as a person says them."""
    low, high = expectation.min, expectation.max
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def verdicts(
    expectations: Sequence[Expectation], days: Sequence[DayFigures], features: Sequence[str]
) -> tuple[Verdict, ...]:
    """Every expectation on every day.

    Args:
        features: those that an expectation is of if it names none.
    """
    found: list[Verdict] = []
    for expectation in expectations:
        named = [expectation.feature] if expectation.feature is not None else list(features)
        for day in days:
            if expectation.metric in COLUMN_METRICS:
                found += [
                    Verdict(expectation, day.day, name, _value(day.columns[name], expectation))
                    for name in named
                ]
            else:
                found.append(Verdict(expectation, day.day, None, _value(day, expectation)))
    return tuple(found)


def _value(figures: Any, expectation: Expectation) -> float | None:
    value = getattr(figures, expectation.metric)
    return None if value is None else float(value)
