"""The methods by name, and the numbers that some of them ask for.

What a method does with them is said in esmm_dist/model/methods, and in docs/methods.md.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from esmm_dist.contract.features import Section

MethodName = Literal[
    "esmm",
    "esmm_ns",
    "base",
    "aman",
    "oversampling",
    "unbias",
    "division",
    "independent",
    "ctcvr_direct",
    "multi_ipw",
    "multi_dr",
    "escm2_ips",
    "escm2_dr",
    "dcmt",
    "nise",
    "shared_bottom",
    "mmoe",
    "ple",
    "aitm",
    "fnw",
    "es_dfm",
    "esdf",
]

Share = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
SlotEnd = Annotated[float, Field(gt=0)]
FewTimes = Annotated[int, Field(gt=0, le=1000)]


class MethodOptions(Section):
    """What a method weighs and draws by. One that the method does not use must keep its default."""

    share_of_unclicked: Share = 0.1
    """aman: the share of un-clicked rows that count as unconverted, drawn in every epoch."""
    times_converted: FewTimes = 5
    """oversampling: how often a converted row takes part."""
    always_kept_p_ctr: Share = 0.05
    """unbias: a clicked row is kept with probability min(1, always_kept_p_ctr / pCTR)."""
    min_propensity: Share = 0.05
    """Inverse propensities (multi_*, escm2_*, dcmt): pCTR counts as at least this."""
    cvr_weight: Weight = 1.0
    """Of the direct CVR loss (multi_*, escm2_*, dcmt, nise, shared_bottom, mmoe, ple)."""
    ctcvr_weight: Weight = 1.0
    """escm2_*: of the CTCVR loss."""
    imputation_weight: Weight = 1.0
    """multi_dr, escm2_dr: of the loss of the imputed errors."""
    counterfactual_weight: Weight = 0.001
    """dcmt: of mean |1 - (pCVR + counterfactual pCVR)|."""
    max_loss_ratio: Weight = 10.0
    """nise: the CVR loss is weighted by cvr_weight * min(CTR loss / CVR loss, max_loss_ratio)."""
    order_weight: Weight = 0.6
    """aitm: of the mean excess of pCTCVR over pCTR."""
    num_experts: FewTimes = 4
    """mmoe: of all tasks together; ple: of each task, and as many shared ones."""
    num_levels: FewTimes = 2
    """ple: of experts, each as wide as the hidden layer it stands for."""
    delay_slot_hours: Annotated[tuple[SlotEnd, ...], Field(min_length=2, max_length=64)] = (
        1, 3, 6, 12, 24,
    )
    """esdf: where the slots of a conversion's delay end, in rising order; the last one with
    samples.conversion_window_hours."""

    @model_validator(mode="after")
    def _slots_rise(self) -> Self:
        ends = self.delay_slot_hours
        if any(later <= earlier for earlier, later in zip(ends, ends[1:])):
            raise ValueError(f"delay_slot_hours = {list(ends)}: let each end after the one before")
        return self
