"""FNW: `base` on a stream in which each conversion was a negative before. It predicts no CTR.

    L = mean of z (1 + p) (-log p_cvr) + (1 - z) (1 - p) (1 + p) (-log(1 - p_cvr)),  p = p_cvr

over the clicked rows of the stream, without a gradient through p. Where each click stands once as
unconverted, and once more when it converts, the share of positives is p / (1 + p); the weights
undo that. They do not know of conversions that are still to come. Source: Ktena et al., RecSys
2019, arXiv 1907.06558.
"""

import torch
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.contract.sections import Samples
from esmm_dist.model.losses import cross_entropy
from esmm_dist.model.method import Heads, Method, Stage
from esmm_dist.model.methods.base import CVR
from esmm_dist.model.terms import labels

OPTIONS = ()

STREAM = Multiplicity(share_of_unclicked=0.0, fake_negatives=True)


def make(options: MethodOptions, seed: int) -> Method:
    """One network, one tower, the clicked rows of the stream."""
    stage = Stage("cvr", trains=("cvr",), loss_sums=loss_sums, rows=STREAM,
                  check_samples=check_samples)
    return Method(networks={"cvr": CVR}, stages=(stage,))


def check_samples(samples: Samples) -> None:
    """Refuses a stream in which some conversions were never negatives.

    Raises:
        InputError: names samples.fake_negative_after_hours.
    """
    if samples.fake_negative_after_hours > 0:
        raise InputError(
            f"samples.fake_negative_after_hours = {samples.fake_negative_after_hours:g}: the "
            "method fnw needs a stream in which every conversion was a negative before: build it "
            "with 0, or take es_dfm"
        )


def loss_sums(heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """cvr_loss, over the rows of the stream."""
    _, conversion_B, weight_B = labels(heads, batch)
    p_B, not_p_B = (torch.sigmoid(sign * heads["cvr"].detach()) for sign in (1, -1))
    importance_B = (1 + p_B) * torch.where(conversion_B == 1, 1.0, not_p_B)
    return {"cvr_loss": (importance_B * cross_entropy(heads["cvr"], conversion_B)) @ weight_B}
