"""What to say when a loss is no number: the step, and the field or part it came from."""

import math
from collections.abc import Mapping, Sequence

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.places import Places


class NonFiniteLoss(InputError):
    """A loss or gradient became infinite or NaN; all ranks stop at the same step."""

    def __init__(self, step: int, findings: Sequence["Finding"]) -> None:
        """Takes what each rank found, in order of ranks."""
        named = [
            f"rank {rank}: {', '.join(finding.culprits)}"
            for rank, finding in enumerate(findings) if finding.culprits
        ] or ["only in the sum over ranks"]
        sizes = [finding.largest for finding in findings if finding.largest]
        if len(sizes) == len(findings):  # else the field is named already
            where, size = max(sizes, key=lambda found: found[1])
            named.append(f"the largest number is {size:.1e} in {where}")
        super().__init__(
            f"step {step}: the loss is not finite ({'; '.join(named)}): nothing of this step was "
            "kept; lower train.*.learning_rate or look at that field"
        )


class Finding(BaseModel):
    """What one rank knows of a step that went wrong."""

    culprits: list[str]
    """Where a number first went wrong; none where all of this rank's numbers are finite."""
    largest: tuple[str, float] | None = None
    """The largest of the numbers that the passes began with, where those are finite."""


def find_culprits(
    model: nn.Module,
    field_names: Sequence[str],
    batch: Batch,
    rows_UD: Tensor,
    places: Places,
    sums: Mapping[str, Tensor],
) -> Finding:
    """The column, field or part of the network in which a number first went wrong on this rank.

    In the order of the passes: the column weight, looked-up rows by field, tower weights; where
    these are finite, loss terms, then the gradients by field and by parameter.

    Args:
        field_names: of the F features, in order of declaration.
    """
    sizes = _sizes(model, field_names, batch, rows_UD, places)
    culprits = [name for name, size in sizes.items() if not math.isfinite(size)]
    if culprits:
        kind = culprits[0].split()[0]  # what is wrong with the towers may come from the rows
        return Finding(culprits=[name for name in culprits if name.split()[0] == kind])
    culprits = [f"loss term {name}" for name, value in sums.items() if not torch.isfinite(value)]
    if not culprits:
        assert rows_UD.grad is not None
        sizes_F = _largest_by_field(rows_UD.grad, len(field_names), places)
        culprits = [f"gradient of field {name}" for name, size in zip(field_names, sizes_F)
                    if not math.isfinite(size)]
        culprits += [f"gradient of {name}" for name, p in model.named_parameters()
                     if p.grad is not None and not torch.isfinite(p.grad).all()]
    return Finding(culprits=culprits, largest=max(sizes.items(), key=lambda found: found[1]))


def _sizes(
    model: nn.Module, field_names: Sequence[str], batch: Batch, rows_UD: Tensor, places: Places
) -> dict[str, float]:
    """The largest number of each thing that the passes begin with, in their order."""
    sizes_F = _largest_by_field(rows_UD, len(field_names), places)
    return {
        "column weight": _largest(batch.weight_B),
        **{f"field {name}": size for name, size in zip(field_names, sizes_F)},
        **{f"weights {name}": _largest(p) for name, p in model.named_parameters()},
    }


def _largest_by_field(values_UD: Tensor, num_fields: int, places: Places) -> list[float]:
    """The largest number, NaN before all, in the rows that each field looks up; 0 without any."""
    size_U = values_UD.detach().abs().amax(dim=1)
    row_of_entry = torch.repeat_interleave(
        torch.arange(len(size_U), device=size_U.device), places.row_offsets_U1.diff()
    )
    field_of_entry = places.pool_of_entry_E % places.num_fields
    sizes_F = size_U.new_zeros(num_fields)
    sizes_F.scatter_reduce_(0, field_of_entry, size_U[row_of_entry], "amax")
    return sizes_F.tolist()


def _largest(tensor: Tensor) -> float:
    """The largest number by its size; NaN before all, 0 without any."""
    return tensor.detach().abs().max().item() if tensor.numel() else 0.0
