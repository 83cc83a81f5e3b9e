"""What a data team declares of its samples: the config's section `quality`.

What a metric is stands in the room `quality`, which computes it.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from esmm_dist.contract.features import Section

Finite = Annotated[float, Field(allow_inf_nan=False)]

DayMetric = Literal["num_rows", "ctr", "cvr", "dropped_rate", "ctr_change", "cvr_change"]
ColumnMetric = Literal["null_rate", "unknown_rate", "num_ids", "top_share", "psi"]
COLUMN_METRICS: tuple[str, ...] = ("null_rate", "unknown_rate", "num_ids", "top_share", "psi")


class Expectation(Section):
    """Bounds of a metric that every day has to keep."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What the job says when it does not hold."""
    metric: DayMetric | ColumnMetric
    """num_rows; ctr (clicks / rows); cvr (conversions / clicks); dropped_rate (of the rows in the
    log); ctr_change, cvr_change (against the trailing days: +.1 is 10 % above them). Of a feature:
    null_rate (of rows), unknown_rate (of values, out of vocabulary), num_ids (distinct), top_share
    (of the most frequent id), psi (population stability index against the trailing days)."""
    feature: str | None = None
    """The feature, or group_id; none: every feature, for a metric of features."""
    min: Finite | None = None
    """The least value allowed."""
    max: Finite | None = None
    """The greatest value allowed."""

    @model_validator(mode="after")
    def _bounded(self) -> "Expectation":
        if self.min is None and self.max is None:
            raise ValueError(f"the expectation {self.name!r} bounds nothing: give min or max")
        if self.min is not None and self.max is not None and self.max < self.min:
            raise ValueError(f"the expectation {self.name!r} has max {self.max} below {self.min}")
        if self.feature is not None and self.metric not in COLUMN_METRICS:
            raise ValueError(
                f"the expectation {self.name!r}: {self.metric} is a day's, not a feature's: "
                f"leave the feature out, or take one of {', '.join(COLUMN_METRICS)}"
            )
        return self


class Quality(Section):
    """What check_samples reports, and what it demands."""

    trailing_days: Annotated[int, Field(ge=1, le=366)] = 7
    """Built days before a day that it is compared with."""
    expectations: tuple[Expectation, ...] = ()
    """Names are free, each once."""

    @model_validator(mode="after")
    def _names_differ(self) -> "Quality":
        names = [expectation.name for expectation in self.expectations]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the expectation {twice!r} stands there twice: name them apart")
        return self


def check_columns(quality: Quality, columns: tuple[str, ...]) -> None:
    """Refuses expectations of columns that are not there.

    Raises:
        ValueError: names the expectation and the column.
    """
    for expectation in quality.expectations:
        if expectation.feature is not None and expectation.feature not in columns:
            raise ValueError(
                f"quality: the expectation {expectation.name!r} is of {expectation.feature!r}, "
                f"which is no feature (there are {', '.join(columns)})"
            )
