"""ESMM: CTR over all impressions and CTCVR over all impressions; no direct CVR loss.

    L = mean_D CE(y, p_ctr) + mean_D CE(y z, p_ctr p_cvr)

Source: Ma et al., SIGIR 2018, arXiv 1804.07931, equation 3.
"""

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.terms import ctcvr_term, ctr_term

OPTIONS = ()


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding that both towers read."""
    return Method(
        networks={"shared": NetworkSpec(heads=("ctr", "cvr"))},
        stages=(Stage("joint", trains=("shared",), loss_sums=loss_sums),),
    )


def loss_sums(heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss and ctcvr_loss."""
    return {"ctr_loss": ctr_term(heads, batch), "ctcvr_loss": ctcvr_term(heads, batch)}
