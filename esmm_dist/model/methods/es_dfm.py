"""ES-DFM: CVR on a stream in which late conversions were negatives before. It predicts no CTR.

    L_1 = mean CE(f, g) over the stream + mean (1 - z) CE(1 - f, r)
    L_2 = mean of [z (-log p_cvr) + (1 - z) r (-log(1 - p_cvr))] / (1 - g)

over the clicked rows of the stream; f marks a fake negative, g is its share of all rows, r that of
real negatives among the negatives. With p_dp = p(converts, but late | x) a stream of each click
once, and of each late conversion twice, has g = p_dp / (1 + p_dp): hence 1 / (1 - g) = 1 + p_dp,
the paper's weight, without asking from when on a conversion is late. The weights do not know of
conversions that are still to come. Source: Yang et al., AAAI 2021, arXiv 2012.03245; that p_dp is
read off the stream's own marks is our choice.
"""

import torch
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.losses import cross_entropy
from esmm_dist.model.method import Heads, Method, NetworkSpec, Prediction, Stage
from esmm_dist.model.methods.base import CVR
from esmm_dist.model.methods.fnw import STREAM
from esmm_dist.model.terms import labels

OPTIONS = ()

DELAY = NetworkSpec(heads=("fake", "real"))


def make(options: MethodOptions, seed: int) -> Method:
    """What the stream's marks tell first, the CVR network then."""
    return Method(
        networks={"delay": DELAY, "cvr": CVR},
        stages=(
            Stage("delay", trains=("delay",), loss_sums=delay_loss_sums, rows=STREAM,
                  needs_delays=True),
            Stage("cvr", trains=("cvr",), reads=("delay",), loss_sums=loss_sums, rows=STREAM),
        ),
        predict=lambda heads: Prediction(None, heads["cvr"]),
    )


def delay_loss_sums(heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """fake_loss, over the rows of the stream, and real_loss, over its negatives."""
    _, conversion_B, weight_B = labels(heads, batch)
    assert batch.delays is not None
    fake_B = batch.delays.fake_negative_B.to(weight_B.dtype)
    return {
        "fake_loss": cross_entropy(heads["fake"], fake_B) @ weight_B,
        "real_loss": ((1 - conversion_B) * cross_entropy(heads["real"], 1 - fake_B)) @ weight_B,
    }


def loss_sums(heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """cvr_loss, over the rows of the stream."""
    _, conversion_B, weight_B = labels(heads, batch)
    real_B = torch.sigmoid(heads["real"].detach())
    importance_B = (1 + torch.exp(heads["fake"].detach())) * torch.where(
        conversion_B == 1, 1.0, real_B)
    return {"cvr_loss": (importance_B * cross_entropy(heads["cvr"], conversion_B)) @ weight_B}
