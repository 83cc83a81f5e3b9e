"""CTCVR-DIRECT: one network for conversion over all impressions, and nothing else.

    L = mean_D CE(y z, p_ctcvr)

It predicts neither CTR nor CVR: the third pole beside `independent` and `esmm`.
"""

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.terms import ctcvr_term_by_itself

OPTIONS = ()

CTCVR = NetworkSpec(heads=("ctcvr",))


def make(options: MethodOptions, seed: int) -> Method:
    """One network, one tower."""
    return Method(networks={"ctcvr": CTCVR}, stages=(CTCVR_STAGE,))


def loss_sums(heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctcvr_loss."""
    return {"ctcvr_loss": ctcvr_term_by_itself(heads, batch)}


CTCVR_STAGE = Stage("ctcvr", trains=("ctcvr",), loss_sums=loss_sums)
