"""Multi-IPW: CVR on clicks, weighted by the inverse propensity that CTR predicts.

    L = mean_D CE(y, p_ctr) + l mean_D y CE(z, p_cvr) / max(p_ctr, min_propensity)

No gradient flows through the propensity. Source: Zhang et al., WWW 2020, arXiv 1910.09337.
"""

from functools import partial

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.losses import cross_entropy, inverse_propensity
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.terms import ctr_term, labels

OPTIONS = ("cvr_weight", "min_propensity")


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding that both towers read."""
    return Method(
        networks={"shared": NetworkSpec(heads=("ctr", "cvr"))},
        stages=(Stage("joint", trains=("shared",), loss_sums=partial(loss_sums, options)),),
    )


def loss_sums(options: MethodOptions, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss and cvr_loss."""
    return {"ctr_loss": ctr_term(heads, batch),
            "cvr_loss": cvr_term_by_propensity(options, heads, batch)}


def cvr_term_by_propensity(options: MethodOptions, heads: Heads, batch: Batch) -> Tensor:
    """l sum_O CE(z, p_cvr) / p_ctr."""
    click_B, conversion_B, weight_B = labels(heads, batch)
    error_B = cross_entropy(heads["cvr"], conversion_B)
    inverse_B = inverse_propensity(heads["ctr"], options.min_propensity)
    return options.cvr_weight * ((click_B * error_B * inverse_B) @ weight_B)
