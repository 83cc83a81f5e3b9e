"""Which fetched embedding rows make up each field vector: what the tables hand the model.

A field vector is the sum of its entries' rows, each times its weight if it has one: one entry for
a single-valued feature, any number for a multi-valued one. That is a sparse matrix of field vectors
by rows, kept both by field vector (for the forward pass) and by row (for the gradient), so that
either way is a sum over consecutive entries in a fixed order.

Shape legend: B rows of this rank; F features in order of declaration; P = B F field vectors, row
by row; E entries; U distinct embedding rows.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Places:
    """All tensors are on the device of the rows; indices and offsets are int64."""

    num_fields: int
    """F."""
    row_of_entry_E: "Tensor"
    """Entries field vector by field vector: the place of their row among the U fetched."""
    entry_offsets_P1: "Tensor"
    """Field vector p is the sum of entries [offsets[p], offsets[p + 1])."""
    pool_of_entry_E: "Tensor"
    """The same entries row by row: the field vector they belong to."""
    row_offsets_U1: "Tensor"
    """Row u stands in entries [offsets[u], offsets[u + 1]) of `pool_of_entry_E`."""
    weight_E: "Tensor | None" = None
    """float32, in the order of `row_of_entry_E`; None: every entry counts 1."""
    weight_by_row_E: "Tensor | None" = None
    """The same weights in the order of `pool_of_entry_E`."""
