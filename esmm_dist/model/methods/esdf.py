"""ESDF: ESMM over labels that are not final, with the delay of conversions beside them.

    L = mean_D CE(y, p_ctr) - mean_D [ z log(p_ctr p_cvr p_k) + (1 - z) log(1 - p_ctr p_cvr F) ]

A conversion falls into slot k of its delay with p_k = h_k prod_{j<k} (1 - h_j), by hazards h; F is
the chance that one which comes has come within the time that its row was observed, uniform inside
a slot, and 1 where labels are final. This is the likelihood that the paper's EM climbs: the
gradient of an M step begun at the current parameters is its gradient. Un-clicked rows count from
their impression: were they taken as final, those clicked would seem to convert too rarely. Source:
Wang et al. 2020, arXiv 2011.11826; slots of declared width, and F inside a slot, are our choice.

Shape legend: B rows; K slots of delay; H = K - 1 hazards; I inputs.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esmm_dist.contract.batch import Batch, Delays
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.method_options import MethodOptions
from esmm_dist.contract.sections import Model, Samples
from esmm_dist.model.losses import LOG_HALF, log_1m_p_ctcvr, log_p_ctcvr
from esmm_dist.model.method import Heads, Method, NetworkSpec, Stage
from esmm_dist.model.terms import ctr_term, labels
from esmm_dist.model.towers import ParallelMlps, Towers

OPTIONS = ("delay_slot_hours",)

SECONDS_PER_HOUR = 3600
# A row that was looked at in the second of its click has shown a little: F has a logarithm.
LEAST_SHARE = 1e-9


def make(options: MethodOptions, seed: int) -> Method:
    """One embedding that a CTR, a CVR and a delay tower read."""
    hazards = tuple(f"hazard_{slot}" for slot in range(1, len(options.delay_slot_hours)))
    network = NetworkSpec(heads=("ctr", "cvr", *hazards), make_body=TowersAndHazards)
    return Method(networks={"shared": network}, stages=(Stage(
        "joint", trains=("shared",), loss_sums=partial(loss_sums, options), needs_delays=True,
        check_samples=partial(check_samples, options),
    ),))


class TowersAndHazards(nn.Module):
    """A tower for CTR, one for CVR, and one that ends in all hazards."""

    def __init__(
        self, num_heads: int, num_inputs: int, model: Model, generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.towers = Towers(2, num_inputs, model.hidden_units, generator, dtype)
        self.hazards = ParallelMlps(1, [num_inputs, *model.hidden_units, num_heads - 2], generator,
                                    dtype, ends_linear=True)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        """Logits (2 + H, B)."""
        return torch.cat([self.towers(inputs_BI), self.hazards(inputs_BI)[0].T])


def check_samples(options: MethodOptions, samples: Samples) -> None:
    """Refuses slots that end elsewhere than conversions are counted.

    Raises:
        InputError: names both settings.
    """
    if options.delay_slot_hours[-1] != samples.conversion_window_hours:
        raise InputError(
            f"model.options.delay_slot_hours = {list(options.delay_slot_hours)}: the last slot "
            f"must end with samples.conversion_window_hours = {samples.conversion_window_hours:g}"
        )


def loss_sums(options: MethodOptions, heads: Heads, batch: Batch) -> dict[str, Tensor]:
    """ctr_loss and observed_loss, of what was seen of clicks with conversion until then."""
    _, conversion_B, weight_B = labels(heads, batch)
    assert batch.delays is not None
    ends_K = torch.tensor(options.delay_slot_hours, dtype=torch.float64) * SECONDS_PER_HOUR
    slot_B, is_known_B = slot_of_conversion(batch.delays, ends_K)
    log_p_of_own_B = log_p_of_slots(heads).gather(0, slot_B[None])[0]
    seen_B = log_p_ctcvr(heads["ctr"], heads["cvr"]) + torch.where(is_known_B, log_p_of_own_B, 0.0)
    share_KB = observed_shares(batch.delays, ends_K).to(weight_B.dtype)
    unseen_B = log_1m_p_observed(heads, share_KB)
    loss_B = -torch.where(conversion_B == 1, seen_B, unseen_B)
    return {"ctr_loss": ctr_term(heads, batch), "observed_loss": loss_B @ weight_B}


def log_survival(heads: Heads) -> Tensor:
    """log p(the delay reaches slot k), (K, B): 0 for the first."""
    hazards_HB = _hazards(heads)
    return torch.cat([torch.zeros_like(hazards_HB[:1]), F.logsigmoid(-hazards_HB).cumsum(0)])


def log_p_of_slots(heads: Heads) -> Tensor:
    """log p(the delay falls into slot k), (K, B); what no hazard takes, the last slot does."""
    survives_KB = log_survival(heads)
    falls_KB = torch.cat([F.logsigmoid(_hazards(heads)), torch.zeros_like(survives_KB[:1])])
    return survives_KB + falls_KB


def _hazards(heads: Heads) -> Tensor:
    return torch.stack([logit for name, logit in heads.items() if name.startswith("hazard_")])


def slot_of_conversion(delays: Delays, ends_K: Tensor) -> tuple[Tensor, Tensor]:
    """The slot of each row's conversion, and whether its delay is known, both (B,)."""
    delay_B = delays.conversion_delay_s_B.double()
    slot_B = torch.searchsorted(ends_K.to(delay_B.device), delay_B, right=True)
    return slot_B.clamp(max=len(ends_K) - 1), delay_B >= 0


def observed_shares(delays: Delays, ends_K: Tensor) -> Tensor:
    """How much of each slot had passed when the row was last looked at, (K, B) in 0 to 1."""
    waited_B = delays.observed_s_B.double() - delays.click_delay_s_B.clamp(min=0)
    ends_K1 = ends_K.to(waited_B.device)[:, None]
    starts_K1 = torch.cat([torch.zeros_like(ends_K1[:1]), ends_K1[:-1]])
    share_KB = ((waited_B - starts_K1) / (ends_K1 - starts_K1)).clamp(0, 1)
    share_KB[0].clamp_(min=LEAST_SHARE)
    return torch.where(delays.mature_B.bool(), 1.0, share_KB)


def log_1m_p_observed(heads: Heads, share_KB: Tensor) -> Tensor:
    """log(1 - p_ctcvr F), (B,), with F the part of the delay's distribution that had passed.

    As log1p(-p F) where that is at most 1/2, else as log((1 - p) + p (1 - F)): either cancels where
    the other is used. F is summed by how much less of each next slot had passed, times the chance
    to end before it, 1 - F by how much more is left, times the chance to reach it: summed by slots,
    gradients of early hazards would cancel.
    """
    log_p_B = log_p_ctcvr(heads["ctr"], heads["cvr"])
    log_rest_B = log_1m_p_ctcvr(heads["ctr"], heads["cvr"])
    is_final_B = (share_KB == 1).all(0)
    survives_KB = log_survival(heads)
    none_1B = torch.zeros_like(share_KB[:1])
    less_KB = -torch.diff(share_KB, dim=0, append=none_1B)
    ends_KB = torch.cat([log_1m_exp(survives_KB[1:]), none_1B])
    log_seen_B = log_p_B + torch.logsumexp(ends_KB + less_KB.log(), 0)
    is_small_B = log_seen_B <= LOG_HALF
    small_B = torch.log1p(-torch.exp(torch.where(is_small_B, log_seen_B, LOG_HALF)))
    # Where nothing is left to come its logarithm is none: those rows take another branch.
    left_KB = torch.where(is_final_B, 1.0, 1 - share_KB)
    more_KB = torch.diff(left_KB, dim=0, prepend=none_1B)
    log_left_B = torch.logsumexp(survives_KB + more_KB.log(), 0)
    large_B = torch.logaddexp(log_rest_B, log_p_B + log_left_B)
    return torch.where(is_final_B, log_rest_B, torch.where(is_small_B, small_B, large_B))


def log_1m_exp(x: Tensor) -> Tensor:
    """log(1 - e^x) of x < 0: either form loses digits where the other is used."""
    is_small = x <= LOG_HALF
    small = torch.log1p(-torch.exp(torch.where(is_small, x, LOG_HALF)))
    large = torch.log(-torch.expm1(torch.where(is_small, LOG_HALF, x)))
    return torch.where(is_small, small, large)
