"""INDEPENDENT: a CTR network over all impressions, a CVR network over clicks, trained apart.

    L_1 = mean_D CE(y, p_ctr);  L_2 = mean_O CE(z, p_cvr);  p_ctcvr = p_ctr p_cvr

Its CVR network is that of `base`, its CTR network the one by which methods without CTR are given a
CTCVR.
"""

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.multiplicity import CLICKED_ROWS
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.methods.base import CVR, cvr_stage
from esmm_dist.model.terms import ctr_term

OPTIONS = ()

CTR = NetworkSpec(heads=("ctr",))


def make(options: MethodOptions, seed: int) -> Method:
    """Two networks in two stages."""
    return Method(networks={"ctr": CTR, "cvr": CVR}, stages=(CTR_STAGE, cvr_stage(CLICKED_ROWS)))


def ctr_loss_sums(heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss."""
    return {"ctr_loss": ctr_term(heads, batch)}


CTR_STAGE = Stage("ctr", trains=("ctr",), loss_sums=ctr_loss_sums)
