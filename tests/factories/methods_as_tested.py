"""Methods with options that a test chooses, and the gradients of their losses."""

from typing import Any

import torch

from esmm_dist.contract.sections import Model
from esmm_dist.model.method import Method, method_of
from tests.oracles import losses as oracle

OPTIONS = {
    "cvr_weight": float(oracle.CVR_WEIGHT),
    "ctcvr_weight": float(oracle.CTCVR_WEIGHT),
    "imputation_weight": float(oracle.IMPUTATION_WEIGHT),
    "counterfactual_weight": float(oracle.COUNTERFACTUAL_WEIGHT),
    "delay_slot_hours": oracle.SLOT_HOURS,
}


def make(name: str, **options: Any) -> Method:
    """A method; of the options those that it uses."""
    model = Model.model_validate({"method": name, "options": options})
    return method_of(model, seed=3)


def as_tested(name: str) -> Method:
    """With weights by which no two terms can be taken for each other."""
    module = __import__(f"esmm_dist.model.methods.{name}", fromlist=["OPTIONS"])
    return make(name, **{key: value for key, value in OPTIONS.items() if key in module.OPTIONS})


def heads_of(method: Method, stage: int) -> list[str]:
    of_stage = method.stages[stage]
    read = of_stage.reads if of_stage.reweigh is None else ()  # unbias asks them elsewhere
    return [head for network in (*of_stage.trains, *read)
            for head in method.networks[network].heads]


def gradients(loss: torch.Tensor, heads: dict[str, torch.Tensor]) -> dict[str, float]:
    """By every head, 0 where there is none."""
    if not loss.requires_grad:
        return dict.fromkeys(heads, 0.0)
    found = torch.autograd.grad(loss, list(heads.values()), retain_graph=True, allow_unused=True)
    return {head: 0.0 if grad is None else grad.item() for head, grad in zip(heads, found)}
