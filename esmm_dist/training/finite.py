"""What to say when a loss is no number: the step, and the field or part it came from."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.places import Places


class NonFiniteLoss(InputError):
    """A loss or gradient became infinite or NaN; all ranks stop at the same step."""

    def __init__(self, step: int, culprits_of_rank: Sequence[Any]) -> None:
        named = [
            f"rank {rank}: {', '.join(culprits)}"
            for rank, culprits in enumerate(culprits_of_rank)
            if culprits
        ]
        super().__init__(
            f"step {step}: the loss is not finite ({'; '.join(named) or 'in the sum over ranks'}): "
            "nothing of this step was kept; lower train.*.learning_rate or look at that field"
        )


def name_the_culprit(
    model: nn.Module,
    field_names: Sequence[str],
    batch: Batch,
    rows_UD: Tensor,
    places: Places,
    sums: Mapping[str, Tensor],
) -> list[str]:
    """The column, field or part of the network in which a number first went wrong on this rank.

    In the order of the passes: the column weight, looked-up rows by field, tower weights, loss
    terms; then the gradients by field and by parameter.

    Args:
        field_names: of the F features, in order of declaration.
    """
    if not torch.isfinite(batch.weight_B).all():
        return ["column weight"]
    fields = _fields_with(_bad_rows(rows_UD), field_names, places)
    if fields:
        return [f"field {name}" for name in fields]
    weights = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    if weights:
        return [f"weights {name}" for name in weights]
    terms = [name for name, value in sums.items() if not torch.isfinite(value)]
    if terms:
        return [f"loss term {name}" for name in terms]
    assert rows_UD.grad is not None
    fields = _fields_with(_bad_rows(rows_UD.grad), field_names, places)
    return [f"gradient of field {name}" for name in fields] + [
        f"gradient of {name}"
        for name, p in model.named_parameters()
        if p.grad is not None and not torch.isfinite(p.grad).all()
    ]


def _bad_rows(values_UD: Tensor) -> Tensor:
    return ~torch.isfinite(values_UD.detach()).all(dim=1)


def _fields_with(bad_U: Tensor, field_names: Sequence[str], places: Places) -> list[str]:
    """The fields that look up any of some rows, in order of declaration."""
    rows_of_entry = torch.repeat_interleave(
        torch.arange(len(bad_U), device=bad_U.device), places.row_offsets_U1.diff()
    )
    field_of_entry = places.pool_of_entry_E % places.num_fields
    touched = set(field_of_entry[bad_U[rows_of_entry]].tolist())
    return [name for field, name in enumerate(field_names) if field in touched]
