"""NISE: un-clicked rows teach CVR by the entropy of what it says of them.

    L = mean_D CE(y, p_ctr) + w [ sum_O CE(z, p_cvr) + sum_N H(p_cvr) ] / |D|
    w = l min(L_ctr / L_cvr, max_loss_ratio)

H is the entropy; its gradient flows through both factors: were the pseudo-label detached, cross
entropy at its own prediction would have none. L_ctr and L_cvr are the two means over the global
batch, and w is a constant to the gradient. Source: Huang et al., RecSys 2024 (non-click samples
improved semi-supervised method).
"""

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.losses import entropy
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.terms import ctr_term, cvr_term_of_clicked, labels

OPTIONS = ("cvr_weight", "max_loss_ratio")


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding that both towers read."""
    stage = Stage("joint", trains=("shared",), loss_sums=loss_sums,
                  weigh_terms=partial(weigh_terms, options))
    return Method(networks={"shared": NetworkSpec(heads=("ctr", "cvr"))}, stages=(stage,))


def loss_sums(heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss and cvr_loss."""
    click_B, _, weight_B = labels(heads, batch)
    unclicked = ((1 - click_B) * entropy(heads["cvr"])) @ weight_B
    return {"ctr_loss": ctr_term(heads, batch),
            "cvr_loss": cvr_term_of_clicked(heads, batch) + unclicked}


def weigh_terms(options: MethodOptions, means: Mapping[str, float]) -> dict[str, float]:
    """1 for CTR, w for CVR."""
    ctr, cvr = means["ctr_loss"], means["cvr_loss"]
    cap = options.max_loss_ratio
    ratio = ctr / cvr if ctr < cap * cvr else cap  # a CVR loss of 0 too
    return {"ctr_loss": 1.0, "cvr_loss": options.cvr_weight * ratio}
