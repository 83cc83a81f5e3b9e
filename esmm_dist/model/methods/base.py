"""BASE: a CVR network trained on clicked impressions alone. It predicts no CTR.

    L = mean_O CE(z, p_cvr)

Source: Ma et al., SIGIR 2018, arXiv 1804.07931, section 3.1.
"""

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.multiplicity import CLICKED_ROWS, Multiplicity
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.terms import cvr_term

OPTIONS = ()

CVR = NetworkSpec(heads=("cvr",))


def make(options: MethodOptions, seed: int) -> Method:
    """One network, one tower, clicked rows only."""
    return Method(networks={"cvr": CVR}, stages=(cvr_stage(CLICKED_ROWS),))


def cvr_stage(rows: Multiplicity) -> Stage:
    """Trains the network `cvr` by the plain CVR loss over some rows."""
    return Stage("cvr", trains=("cvr",), loss_sums=loss_sums, rows=rows)


def loss_sums(heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """cvr_loss, over the rows that take part."""
    return {"cvr_loss": cvr_term(heads, batch)}
