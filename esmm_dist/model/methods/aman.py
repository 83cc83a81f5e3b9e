"""AMAN: `base`, with a random share of the un-clicked impressions as unconverted. No CTR.

    L = mean over O and a drawn part of N of CE(z, p_cvr)

At a share of 1 it fits p_ctcvr. Source: Pan et al., ICDM 2008 (all missing as negative), as used
by Ma et al., SIGIR 2018, arXiv 1804.07931, section 3.1.
"""

from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.model.method import Method
from esmm_dist.model.methods.base import CVR, cvr_stage

OPTIONS = ("share_of_unclicked",)


def make(options: MethodOptions, seed: int) -> Method:
    """The un-clicked rows are drawn anew in every epoch."""
    rows = Multiplicity(share_of_unclicked=options.share_of_unclicked)
    return Method(networks={"cvr": CVR}, stages=(cvr_stage(rows),))
