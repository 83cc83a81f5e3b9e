"""Loss terms that several methods share, each summed over a batch's rows times their weights.

Shape legend: B rows. Notation as in `losses`; y the click, z the conversion, O the clicked rows.
"""

from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.model.losses import cross_entropy, ctcvr_loss
from esmm_dist.model.method import Heads


def labels(heads: Heads, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """click, conversion and weight, each (B,), of the logits' type."""
    dtype = next(iter(heads.values())).dtype
    return batch.click_B.to(dtype), batch.conversion_B.to(dtype), batch.weight_B.to(dtype)


def ctr_term(heads: Heads, batch: Batch) -> Tensor:
    """sum_D CE(y, p_ctr)."""
    click_B, _, weight_B = labels(heads, batch)
    return cross_entropy(heads["ctr"], click_B) @ weight_B


def cvr_term(heads: Heads, batch: Batch) -> Tensor:
    """sum CE(z, p_cvr) over all rows given, clicked or not."""
    _, conversion_B, weight_B = labels(heads, batch)
    return cross_entropy(heads["cvr"], conversion_B) @ weight_B


def cvr_term_of_clicked(heads: Heads, batch: Batch) -> Tensor:
    """sum_O CE(z, p_cvr)."""
    click_B, conversion_B, weight_B = labels(heads, batch)
    return (click_B * cross_entropy(heads["cvr"], conversion_B)) @ weight_B


def ctcvr_term(heads: Heads, batch: Batch) -> Tensor:
    """sum_D CE(y z, p_ctr p_cvr)."""
    _, conversion_B, weight_B = labels(heads, batch)
    return ctcvr_loss(heads["ctr"], heads["cvr"], conversion_B) @ weight_B


def ctcvr_term_by_itself(heads: Heads, batch: Batch) -> Tensor:
    """sum_D CE(y z, p_ctcvr), of a head that predicts CTCVR directly."""
    _, conversion_B, weight_B = labels(heads, batch)
    return cross_entropy(heads["ctcvr"], conversion_B) @ weight_B
