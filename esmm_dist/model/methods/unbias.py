"""UNBIAS: clicked rows re-sampled towards the distribution of impressions.

    L_1 = mean_D CE(y, p_ctr);  L_2 = mean of CE(z, p_cvr) over the rows of O that are kept,
    each with probability min(1, c / p_ctr)

Clicks are drawn from impressions with probability p_ctr, so that keeping one with c / p_ctr undoes
it, down to p_ctr = c. Whether a row is kept depends on its sample id and the seed, in every epoch
alike; the row that is not kept weighs 0, since its p_ctr is known only once the CTR network has
been trained. Source: Zadrozny, ICML 2004, as used by Ma et al., SIGIR 2018, arXiv 1804.07931,
section 3.1.
"""

from dataclasses import replace

import torch

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.draws import NUM_DRAWS, draws_of_samples
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.multiplicity import CLICKED_ROWS
from esmm_dist.model.method import Heads, Method
from esmm_dist.model.methods.base import CVR, cvr_stage
from esmm_dist.model.methods.independent import CTR, CTR_STAGE

OPTIONS = ("always_kept_p_ctr",)

# Apart from the draws that count the rows of an epoch, whose streams are the epochs.
STREAM = 2**32


def make(options: MethodOptions, seed: int) -> Method:
    """The CTR network first, then the CVR network, which asks it."""

    def keep(heads: Heads, batch: Batch) -> Batch:
        p_ctr_B = torch.sigmoid(heads["ctr"].detach()).double()
        draw_B = draws_of_samples(batch.sample_id_B, seed, STREAM).double() / NUM_DRAWS
        # draw < c / p_ctr, without the division
        kept_B = draw_B * p_ctr_B < options.always_kept_p_ctr
        return replace(batch, weight_B=batch.weight_B * kept_B)

    cvr = replace(cvr_stage(CLICKED_ROWS), reads=("ctr",), reweigh=keep, needs_keys=True)
    return Method(networks={"ctr": CTR, "cvr": CVR}, stages=(CTR_STAGE, cvr))
