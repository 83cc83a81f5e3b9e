"""What checkpoints hold, whatever number of ranks wrote them."""

from pathlib import Path

import torch

from esmm_dist.contract.row_space import NUM_BUCKETS
from esmm_dist.training.checkpoint import Index, read_tables


def whole_tables(checkpoint: Path, index: Index) -> dict[str, torch.Tensor]:
    """The shards of all ranks as one, in order of buckets."""
    shards = sorted(read_tables(checkpoint, index, range(NUM_BUCKETS)), key=lambda shard: shard[0])
    return {name: torch.cat([tensors[name] for _, tensors in shards]) for name in shards[0][1]}
