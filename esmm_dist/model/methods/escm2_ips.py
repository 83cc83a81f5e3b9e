"""ESCM2-IPS: ESMM, and CVR on clicks weighted by inverse propensity.

    L = mean_D CE(y, p_ctr) + l_c mean_D y CE(z, p_cvr) / max(p_ctr, min_propensity)
        + l_g mean_D CE(y z, p_ctr p_cvr)

No gradient flows through the propensity. Source: Wang et al., SIGIR 2022, arXiv 2204.05125.
"""

from functools import partial

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.methods import multi_ipw
from esmm_dist.model.terms import ctcvr_term

OPTIONS = ("cvr_weight", "ctcvr_weight", "min_propensity")


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding that both towers read."""
    return Method(
        networks={"shared": NetworkSpec(heads=("ctr", "cvr"))},
        stages=(Stage("joint", trains=("shared",), loss_sums=partial(loss_sums, options)),),
    )


def loss_sums(options: MethodOptions, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss, cvr_loss and ctcvr_loss."""
    terms = multi_ipw.loss_sums(options, heads, batch)
    return {**terms, "ctcvr_loss": options.ctcvr_weight * ctcvr_term(heads, batch)}
