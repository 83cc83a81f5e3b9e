"""Multi-DR: CVR by the doubly robust estimate, whose error is imputed where it is not seen.

    L = mean_D CE(y, p_ctr) + l mean_D [ e' + y (e - e') / p ] + m mean_D y (e - e')^2 / p
    e = CE(z, p_cvr);  e' = softplus(imputation logit);  p = max(p_ctr, min_propensity)

No gradient flows through p, nor through e in the last term: the imputation learns from what CVR
gets wrong. If CVR learned from it too, it would be drawn to the imputed errors, which are never 0:
on KuaiRand its p_cvr came out 3.7 times too high (docs/LOG.md). Source: Zhang et al., WWW 2020,
arXiv 1910.09337; where gradients stop, and that e' is a softplus (an error is positive), are our
choice.
"""

from functools import partial

import torch.nn.functional as F
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.losses import cross_entropy, inverse_propensity
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.terms import ctr_term, labels

OPTIONS = ("cvr_weight", "imputation_weight", "min_propensity")

NETWORK = NetworkSpec(heads=("ctr", "cvr", "imputation"))


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding that three towers read."""
    stage = Stage("joint", trains=("shared",), loss_sums=partial(loss_sums, options))
    return Method(networks={"shared": NETWORK}, stages=(stage,))


def loss_sums(options: MethodOptions, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss, cvr_loss and imputation_loss."""
    return {"ctr_loss": ctr_term(heads, batch),
            **doubly_robust_terms(options, heads, batch, cvr_learns_from_imputation=False)}


def doubly_robust_terms(
    options: MethodOptions, heads: Heads, batch: Batch, *, cvr_learns_from_imputation: bool
) -> dict[str, Tensor]:
    """l sum_D [ e' + y (e - e') / p ] and m sum_O (e - e')^2 / p.

    Args:
        cvr_learns_from_imputation: whether a gradient flows through e in the second term.
    """
    click_B, conversion_B, weight_B = labels(heads, batch)
    imputed_B = F.softplus(heads["imputation"])
    error_B = cross_entropy(heads["cvr"], conversion_B)
    gap_B = error_B - imputed_B
    imputation_gap_B = (error_B if cvr_learns_from_imputation else error_B.detach()) - imputed_B
    seen_B = click_B * inverse_propensity(heads["ctr"], options.min_propensity)
    return {
        "cvr_loss": options.cvr_weight * ((imputed_B + seen_B * gap_B) @ weight_B),
        "imputation_loss": options.imputation_weight * ((seen_B * imputation_gap_B**2) @ weight_B),
    }
