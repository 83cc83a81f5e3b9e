"""ESCM2-DR: ESMM, and CVR by the doubly robust estimate.

    L = mean_D CE(y, p_ctr) + l_c mean_D [ e' + y (e - e') / p ] + m mean_D y (e - e')^2 / p
        + l_g mean_D CE(y z, p_ctr p_cvr)

e, e' and p as in `multi_dr`, except that here, as the formula stands, gradients flow through e in
every term; several papers saw it unstable, and its p_cvr comes out too high (docs/LOG.md). Source:
Wang et al., SIGIR 2022, arXiv 2204.05125.
"""

from functools import partial

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.method import Heads, Method, Stage
from esmm_dist.model.methods import multi_dr
from esmm_dist.model.terms import ctcvr_term, ctr_term

OPTIONS = ("cvr_weight", "ctcvr_weight", "imputation_weight", "min_propensity")


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding that three towers read."""
    stage = Stage("joint", trains=("shared",), loss_sums=partial(loss_sums, options))
    return Method(networks={"shared": multi_dr.NETWORK}, stages=(stage,))


def loss_sums(options: MethodOptions, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss, cvr_loss, imputation_loss and ctcvr_loss."""
    return {
        "ctr_loss": ctr_term(heads, batch),
        **multi_dr.doubly_robust_terms(options, heads, batch, cvr_learns_from_imputation=True),
        "ctcvr_loss": options.ctcvr_weight * ctcvr_term(heads, batch),
    }
