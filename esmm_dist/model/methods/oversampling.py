"""OVERSAMPLING: `base`, with every conversion several times in an epoch. It predicts no CTR.

    L = mean over O, conversions k times, of CE(z, p_cvr)

Its p_cvr is too high by construction: odds are k times those of `base`. Source: Weiss, SIGKDD
Explorations 2004, as used by Ma et al., SIGIR 2018, arXiv 1804.07931, section 3.1.
"""

from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.model.method import Method
from esmm_dist.model.methods.base import CVR, cvr_stage

OPTIONS = ("times_converted",)


def make(options: MethodOptions, seed: int) -> Method:
    """Clicked rows, converted ones repeated."""
    rows = Multiplicity(share_of_unclicked=0.0, times_converted=options.times_converted)
    return Method(networks={"cvr": CVR}, stages=(cvr_stage(rows),))
