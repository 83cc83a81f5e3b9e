"""DIVISION: p_ctr and p_ctcvr of two networks trained apart; p_cvr is their quotient.

    L_1 = mean_D CE(y, p_ctr);  L_2 = mean_D CE(y z, p_ctcvr);  p_cvr = p_ctcvr / p_ctr

The quotient may exceed 1: it is kept as a logarithm, ranks as it is, and where it reaches 1 there
is no log loss. Source: Ma et al., SIGIR 2018, arXiv 1804.07931, section 3.1.
"""

import torch.nn.functional as F

from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.model.method import Heads, Method, Prediction
from esmm_dist.model.methods.ctcvr_direct import CTCVR, CTCVR_STAGE
from esmm_dist.model.methods.independent import CTR, CTR_STAGE

OPTIONS = ()


def make(options: MethodOptions, seed: int) -> Method:
    """Two networks in two stages."""
    return Method(
        networks={"ctr": CTR, "ctcvr": CTCVR}, stages=(CTR_STAGE, CTCVR_STAGE), predict=quotient
    )


def quotient(heads: Heads) -> Prediction:
    """log p_cvr = log p_ctcvr - log p_ctr."""
    cvr_log_p_B = F.logsigmoid(heads["ctcvr"]) - F.logsigmoid(heads["ctr"])
    return Prediction(
        ctr_logit_B=heads["ctr"], cvr_logit_B=None, ctcvr_logit_B=heads["ctcvr"],
        cvr_log_p_B=cvr_log_p_B,
    )
