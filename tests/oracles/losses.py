"""Every loss from its formula as it stands, in 60-digit arithmetic; gradients by differences."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from mpmath import mp, mpf  # type: ignore[import-untyped]

mp.dps = 60


def sigmoid(x: float) -> mpf:
    """1 / (1 + e^-x)."""
    return 1 / (1 + mp.exp(-mpf(x)))


def log_p_ctcvr(a: float, b: float) -> mpf:
    """log(sigmoid(a) sigmoid(b))."""
    return mp.log(sigmoid(a) * sigmoid(b))


def log_1m_p_ctcvr(a: float, b: float) -> mpf:
    """log(1 - sigmoid(a) sigmoid(b)); at logits of 110, 12 of the 60 digits are left of 1 - p."""
    return mp.log(1 - sigmoid(a) * sigmoid(b))


def ctcvr_loss(a: float, b: float, label: int) -> mpf:
    """CE(label, p_ctcvr)."""
    return -log_p_ctcvr(a, b) if label else -log_1m_p_ctcvr(a, b)


def ctcvr_gradient(a: float, b: float, label: int) -> tuple[mpf, mpf]:
    """d CE / da and d CE / db, by hand: dp/da = p (1 - sigmoid(a))."""
    p = sigmoid(a) * sigmoid(b)
    dloss_dp = -1 / p if label else 1 / (1 - p)
    return dloss_dp * p * sigmoid(-a), dloss_dp * p * sigmoid(-b)


def cross_entropy(x: mpf, label: int) -> mpf:
    """CE(label, sigmoid(x))."""
    return -mp.log(sigmoid(x if label else -x))


def entropy(x: mpf) -> mpf:
    """-p log p - (1 - p) log(1 - p)."""
    p = sigmoid(x)
    return -p * mp.log(p) - (1 - p) * mp.log(1 - p)


# ---------------------------------------------------------------------------------------------
# The methods: the terms of one row
# ---------------------------------------------------------------------------------------------

Logits = Mapping[str, mpf]

MIN_PROPENSITY = mpf("0.05")
CVR_WEIGHT, CTCVR_WEIGHT, IMPUTATION_WEIGHT = mpf("0.5"), mpf("0.25"), mpf("2")
COUNTERFACTUAL_WEIGHT, ORDER_WEIGHT = mpf("0.125"), mpf("0.6")


class Row(NamedTuple):
    """A row's labels, and its logits as constants: where a formula stops the gradient."""

    y: int
    z: int
    fixed: Logits
    fake: int = 0
    waited_s: float | None = None
    """From the click, or without one the impression, till the row was last looked at; None: its
    labels are final."""
    delay_s: float = -1
    """From the click to the conversion; -1: not known."""

    @property
    def fixed_p_ctr(self) -> mpf:
        return sigmoid(self.fixed["ctr"])


def ctr(x: Logits, row: Row) -> mpf:
    return cross_entropy(x["ctr"], row.y)


def cvr(x: Logits, row: Row) -> mpf:
    return cross_entropy(x["cvr"], row.z)


def ctcvr(x: Logits, row: Row) -> mpf:
    p = sigmoid(x["ctr"]) * sigmoid(x["cvr"])
    return -mp.log(p if row.y * row.z else 1 - p)


def ctcvr_by_itself(x: Logits, row: Row) -> mpf:
    return cross_entropy(x["ctcvr"], row.y * row.z)


def inverse_propensity_weighted(x: Logits, row: Row) -> mpf:
    return CVR_WEIGHT * row.y * cvr(x, row) / max(row.fixed_p_ctr, MIN_PROPENSITY)


def imputed(x: Logits) -> mpf:
    return mp.log(1 + mp.exp(x["imputation"]))


def doubly_robust(x: Logits, row: Row) -> mpf:
    p = max(row.fixed_p_ctr, MIN_PROPENSITY)
    return CVR_WEIGHT * (imputed(x) + row.y * (cvr(x, row) - imputed(x)) / p)


def imputation(x: Logits, row: Row) -> mpf:
    p = max(row.fixed_p_ctr, MIN_PROPENSITY)
    return IMPUTATION_WEIGHT * row.y * (cvr(x, row) - imputed(x)) ** 2 / p


def imputation_alone(x: Logits, row: Row) -> mpf:
    return imputation({**x, "cvr": row.fixed["cvr"]}, row)


def counterfactual(x: Logits, row: Row) -> mpf:
    p = max(1 - row.fixed_p_ctr, MIN_PROPENSITY)
    return CVR_WEIGHT * (1 - row.y) * cross_entropy(x["counterfactual"], 1) / p


def agreement(x: Logits, row: Row) -> mpf:
    return COUNTERFACTUAL_WEIGHT * abs(1 - (sigmoid(x["cvr"]) + sigmoid(x["counterfactual"])))


def clicked_or_entropy(x: Logits, row: Row) -> mpf:
    return cvr(x, row) if row.y else entropy(x["cvr"])


def weighted_cvr_of_clicked(x: Logits, row: Row) -> mpf:
    return CVR_WEIGHT * row.y * cvr(x, row)


def order(x: Logits, row: Row) -> mpf:
    return ORDER_WEIGHT * max(sigmoid(x["ctcvr"]) - sigmoid(x["ctr"]), mpf(0))


def fnw(x: Logits, row: Row) -> mpf:
    p, f = sigmoid(row.fixed["cvr"]), sigmoid(x["cvr"])
    return -(row.z * (1 + p) * mp.log(f) + (1 - row.z) * (1 - p) * (1 + p) * mp.log(1 - f))


def share_of_fake(x: Logits, row: Row) -> mpf:
    return cross_entropy(x["fake"], row.fake)


def share_of_real(x: Logits, row: Row) -> mpf:
    return (1 - row.z) * cross_entropy(x["real"], 1 - row.fake)


def es_dfm(x: Logits, row: Row) -> mpf:
    g, r, f = sigmoid(row.fixed["fake"]), sigmoid(row.fixed["real"]), sigmoid(x["cvr"])
    p_dp = g / (1 - g)
    return -(1 + p_dp) * (row.z * mp.log(f) + (1 - row.z) * r * mp.log(1 - f))


SLOT_HOURS = (1.0, 6.0, 24.0)


def p_of_slots(x: Logits) -> list[mpf]:
    left, found = mpf(1), []
    for slot in range(1, len(SLOT_HOURS)):
        hazard = sigmoid(x[f"hazard_{slot}"])
        found.append(left * hazard)
        left *= 1 - hazard
    return [*found, left]


def observed(x: Logits, row: Row) -> mpf:
    p, p_of_slot = sigmoid(x["ctr"]) * sigmoid(x["cvr"]), p_of_slots(x)
    ends = [mpf(3600) * mpf(hours) for hours in SLOT_HOURS]
    starts = [mpf(0), *ends[:-1]]
    if row.z:
        if row.delay_s < 0:
            return -mp.log(p)
        slot = next(k for k, (start, end) in enumerate(zip(starts, ends))
                    if start <= row.delay_s < end)
        return -mp.log(p * p_of_slot[slot])
    if row.waited_s is None:
        return -mp.log(1 - p)
    share = [min(max((row.waited_s - start) / (end - start), mpf(0)), mpf(1))
             for start, end in zip(starts, ends)]
    if share[-1] == 1:
        return -mp.log(1 - p)
    return -mp.log(1 - p * mp.fsum(a * b for a, b in zip(share, p_of_slot)))


Term = Callable[[Logits, Row], mpf]

ESMM: dict[str, Term] = {"ctr_loss": ctr, "ctcvr_loss": ctcvr}
CVR_ALONE: dict[str, Term] = {"cvr_loss": cvr}
MULTI_TASK: dict[str, Term] = {"ctr_loss": ctr, "cvr_loss": weighted_cvr_of_clicked}
MULTI_DR: dict[str, Term] = {
    "ctr_loss": ctr, "cvr_loss": doubly_robust, "imputation_loss": imputation_alone,
}


def weighted_ctcvr(x: Logits, row: Row) -> mpf:
    return CTCVR_WEIGHT * ctcvr(x, row)


TERMS_OF_STAGES: dict[str, list[dict[str, Term]]] = {
    "esmm": [ESMM],
    "esmm_ns": [ESMM],
    "base": [CVR_ALONE],
    "aman": [CVR_ALONE],
    "oversampling": [CVR_ALONE],
    "unbias": [{"ctr_loss": ctr}, CVR_ALONE],
    "division": [{"ctr_loss": ctr}, {"ctcvr_loss": ctcvr_by_itself}],
    "independent": [{"ctr_loss": ctr}, CVR_ALONE],
    "ctcvr_direct": [{"ctcvr_loss": ctcvr_by_itself}],
    "multi_ipw": [{"ctr_loss": ctr, "cvr_loss": inverse_propensity_weighted}],
    "multi_dr": [MULTI_DR],
    "escm2_ips": [{
        "ctr_loss": ctr, "cvr_loss": inverse_propensity_weighted, "ctcvr_loss": weighted_ctcvr,
    }],
    "escm2_dr": [{**MULTI_DR, "imputation_loss": imputation, "ctcvr_loss": weighted_ctcvr}],
    "dcmt": [{
        "ctr_loss": ctr, "cvr_loss": inverse_propensity_weighted,
        "counterfactual_loss": counterfactual, "agreement_loss": agreement,
    }],
    "nise": [{"ctr_loss": ctr, "cvr_loss": clicked_or_entropy}],
    "shared_bottom": [MULTI_TASK],
    "mmoe": [MULTI_TASK],
    "ple": [MULTI_TASK],
    "fnw": [{"cvr_loss": fnw}],
    "es_dfm": [{"fake_loss": share_of_fake, "real_loss": share_of_real}, {"cvr_loss": es_dfm}],
    "esdf": [{"ctr_loss": ctr, "observed_loss": observed}],
    "aitm": [{"ctr_loss": ctr, "ctcvr_loss": ctcvr_by_itself, "order_loss": order}],
}


def gradient(term: Term, x: Logits, row: Row, head: str) -> mpf:
    """d term / d logit of a head, by a difference of 60 digits more."""
    return mp.diff(lambda value: term({**x, head: value}, row), x[head])
