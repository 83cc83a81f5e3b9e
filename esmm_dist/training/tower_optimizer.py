"""The optimizer of the replicated towers: torch's own, and its state as named tensors.

The tables' row-wise optimizers live with the rows, in `distributed`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from esmm_dist.contract.sections import Optimizer

PARAMETER = "parameter/"
STATE = "state/"


def make_tower_optimizer(model: nn.Module, section: Optimizer) -> torch.optim.Optimizer:
    """Adam (0.9, 0.999, 1e-8) as in the paper, Adagrad, or plain SGD."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rate, decay = section.learning_rate, section.weight_decay
    match section.name:
        case "adam":
            return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
        case "adagrad":
            return torch.optim.Adagrad(parameters, lr=rate, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, weight_decay=decay)
    raise AssertionError(section.name)


def tower_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All that the towers are: `parameter/<name>` and `state/<name>/<moment>`."""
    tensors = {PARAMETER + name: p.detach() for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{STATE}{name}/{moment}"] = value
    return tensors


def load_towers(
    model: nn.Module, tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Puts saved tensors back, in place; without an optimizer its state is left aside."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[PARAMETER + name])
    if optimizer is None:
        return
    for name, parameter in model.named_parameters():
        prefix = f"{STATE}{name}/"
        saved = {key.removeprefix(prefix): t for key, t in tensors.items()
                 if key.startswith(prefix)}
        if saved:
            # `step` stays where torch keeps it; moments follow their parameter
            optimizer.state[parameter] = {
                moment: value.to(parameter.device) for moment, value in saved.items()
            }
