"""ESMM: CTR over all impressions and CTCVR over all impressions; no direct CVR loss.

L = mean CE(y, p_ctr) + mean CE(y z, p_ctr p_cvr). Source: Ma et al., SIGIR 2018, arXiv 1804.07931.
It only sums: the division by the global weight is the trainer's, who alone sees all ranks.
"""

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.model.losses import click_loss, ctcvr_loss
from esmm_dist.model.network import Logits


def esmm_loss_sums(logits: Logits, batch: Batch) -> dict[str, Tensor]:
    """The two losses, each summed over this rank's rows times their weights, scalars."""
    ctr_logit_B, cvr_logit_B = logits
    dtype = ctr_logit_B.dtype
    weight_B = batch.weight_B.to(dtype)
    ctr_B = click_loss(ctr_logit_B, batch.click_B.to(dtype))
    ctcvr_B = ctcvr_loss(ctr_logit_B, cvr_logit_B, batch.conversion_B.to(dtype))
    return {"ctr_loss": ctr_B @ weight_B, "ctcvr_loss": ctcvr_B @ weight_B}
