"""What a candidate must show before it may serve: the config's section `gate`.

Values only; the room `gating` judges by them.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from esmm_dist.contract.expectations import Finite
from esmm_dist.contract.features import Section

MetricName = Literal[
    "ctr_auc", "ctr_gauc", "ctr_logloss", "ctr_ne", "ctr_pcoc", "ctr_ece",
    "cvr_auc_click", "cvr_gauc_click", "cvr_logloss_click", "cvr_ne_click", "cvr_pcoc_click",
    "cvr_ece_click",
    "ctcvr_auc", "ctcvr_gauc", "ctcvr_logloss", "ctcvr_ne", "ctcvr_pcoc", "ctcvr_ece",
]

Refuse = Literal["if_clearly_broken", "unless_clearly_kept"]
"""if_clearly_broken: the candidate is refused where the whole 95 % interval breaks the rule;
unless_clearly_kept: where any of it does, so that few rows refuse."""


class Bound(Section):
    """Bounds of a metric of the candidate, as it would be served, on the held-out days."""

    metric: MetricName
    min: Finite | None = None
    max: Finite | None = None
    refuse: Refuse = "if_clearly_broken"
    """Where the 95 % interval lies to the bounds: wholly outside, or not wholly inside."""

    @model_validator(mode="after")
    def _bounded(self) -> "Bound":
        if self.min is None and self.max is None:
            raise ValueError(f"the bound of {self.metric} bounds nothing: give min or max")
        if self.min is not None and self.max is not None and self.max < self.min:
            raise ValueError(f"the bound of {self.metric} has max {self.max} below {self.min}")
        return self


class Change(Section):
    """How much worse than the model in service a candidate may be, paired on the same rows."""

    metric: MetricName
    max_loss: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """In units of the metric, towards its worse end."""
    refuse: Refuse = "if_clearly_broken"
    """Where the 95 % interval of the loss lies to max_loss: wholly above, or not wholly below."""

    @model_validator(mode="after")
    def _has_an_end(self) -> "Change":
        if "_pcoc" in self.metric:
            raise ValueError(f"{self.metric} has no better end: bound it under gate.bounds")
        return self


class Gate(Section):
    """What esmm_dist.gate demands. Held-out days are the test days of the run's last fold, without
    those that taught its calibration."""

    bounds: tuple[Bound, ...] = ()
    changes: tuple[Change, ...] = ()
    max_psi: Annotated[float, Field(gt=0)] | None = 0.25
    """Population stability index of each rate, candidate against current on the same rows, in ten
    bins of equal weight by the current; none: not demanded."""
    quality: Literal["required", "ignored"] = "required"
    """Whether jobs/check_samples.py must have found every expectation to hold on the test days and
    on the days that the model in service has not learned from."""
    incomparable: Literal["refuse", "judge_alone"] = "refuse"
    """A model in service that cannot score the same rows (other features, ids learned apart, or it
    has learned from these days): refuse the candidate, or judge it by its bounds alone."""
    max_sample_difference: Annotated[float, Field(gt=0, le=1)] = 1e-6
    """Of probabilities of the bundle's sample: loaded from the bundle, against the trainer's."""
