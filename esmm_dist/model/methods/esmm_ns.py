"""ESMM-NS: ESMM's loss on two networks that share no embedding.

Source: Ma et al., SIGIR 2018, arXiv 1804.07931, section 3.1.
"""

from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.method import Method, NetworkSpec, Stage
from esmm_dist.model.methods.esmm import loss_sums

OPTIONS = ()


def make(options: MethodOptions, seed: int) -> Method:
    """An embedding and a tower for each of CTR and CVR, trained together."""
    return Method(
        networks={"ctr": NetworkSpec(heads=("ctr",)), "cvr": NetworkSpec(heads=("cvr",))},
        stages=(Stage("joint", trains=("ctr", "cvr"), loss_sums=loss_sums),),
    )
