"""DCMT: CVR on clicks and a counterfactual CVR on the rest, each by inverse propensity.

    L = mean_D CE(y, p_ctr)
        + l [ sum_O CE(z, p_cvr) / p + sum_N CE(1, p_cvr*) / p' ] / |D|
        + m mean_D |1 - (p_cvr + p_cvr*)|
    p = max(p_ctr, min_propensity);  p' = max(1 - p_ctr, min_propensity)

p_cvr* is the chance of *not* converting, from a twin tower; on un-clicked rows its label is 1. No
gradient flows through p and p'. The sums are divided by |D|, as in the paper's equations, not by
the sum of inverse propensities. Source: Zhu et al., ICDE 2023, arXiv 2302.06141.
"""

from functools import partial

import torch
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.losses import cross_entropy, excess, inverse_propensity
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.methods.multi_ipw import cvr_term_by_propensity
from esmm_dist.model.terms import ctr_term, labels

OPTIONS = ("cvr_weight", "counterfactual_weight", "min_propensity")


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding that three towers read."""
    network = NetworkSpec(heads=("ctr", "cvr", "counterfactual"))
    stage = Stage("joint", trains=("shared",), loss_sums=partial(loss_sums, options))
    return Method(networks={"shared": network}, stages=(stage,))


def loss_sums(options: MethodOptions, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss, cvr_loss, counterfactual_loss and agreement_loss."""
    click_B, _, weight_B = labels(heads, batch)
    other = heads["counterfactual"]
    error_B = cross_entropy(other, torch.ones_like(other))
    inverse_B = inverse_propensity(-heads["ctr"], options.min_propensity)
    counterfactual = ((1 - click_B) * error_B * inverse_B) @ weight_B
    # 1 - sigmoid(x) = sigmoid(-x): the twins agree where sigmoid(cvr) = sigmoid(-counterfactual)
    gap_B = excess(heads["cvr"], -other) + excess(-other, heads["cvr"])
    return {
        "ctr_loss": ctr_term(heads, batch),
        "cvr_loss": cvr_term_by_propensity(options, heads, batch),
        "counterfactual_loss": options.cvr_weight * counterfactual,
        "agreement_loss": options.counterfactual_weight * (gap_B @ weight_B),
    }
