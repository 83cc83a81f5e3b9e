"""Puts a checkpoint back into a model and its tables, whatever number of ranks wrote it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from esmm_dist.contract.row_space import RowSpace
from esmm_dist.training.checkpoint import Index, read_tables, read_towers
from esmm_dist.training.tower_optimizer import load_towers


class Buckets(Protocol):
    """Tables that can take rows back by bucket."""

    buckets: range
    """Those of this rank."""

    def load_buckets(
        self, first_bucket: int, tensors: Mapping[str, Tensor], space: RowSpace,
        weights_only: bool = False,
    ) -> None:
        """Takes what this rank owns of a shard that begins at a bucket."""


def restore(
    checkpoint: Path,
    index: Index,
    model: nn.Module,
    tables: Buckets,
    optimizer: torch.optim.Optimizer | None = None,
    *,
    weights_only: bool = False,
) -> None:
    """Reads the towers and this rank's share of the tables; called by all ranks.

    Args:
        optimizer: of the towers; none: its state stays as it is.
        weights_only: the tables' optimizers begin anew.

    Raises:
        InputError: a file is missing or its checksum is wrong, or a table has shrunk.
    """
    load_towers(model, read_towers(checkpoint, index), optimizer)
    space = RowSpace(index.num_rows_of_table)
    for first_bucket, tensors in read_tables(checkpoint, index, tables.buckets):
        tables.load_buckets(first_bucket, tensors, space, weights_only)
