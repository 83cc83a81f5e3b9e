"""A finished checkpoint written again for its readers: files of bounded size, whoever trained it.

Files depend on the tables alone, not on the number of ranks. No more than one of them is held in
memory, so that tables larger than a machine's memory pass through it.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import safe_open

from esmm_dist.contract.row_space import NUM_BUCKETS
from esmm_dist.training.checkpoint import TOWERS, Index, read_towers, write_index
from esmm_dist.training.shards import Shard, checked_shard, write_shard
from esmm_dist.training.tower_optimizer import STATE

MAX_FILE_BYTES = 2**30
# Of tables, all but what their optimizer remembers.
OF_ROWS = ("/rows", "/sightings", "/last_seen")


def repack(
    checkpoint: Path, index: Index, target: Path, *, with_optimizer: bool,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> Index:
    """Copies a checkpoint's weights, and if wanted its optimizer's state.

    Args:
        target: the folder to write to; its index is written last.
        max_file_bytes: of a file of tables, unless one bucket alone has more.

    Returns:
        The index of the copy.

    Raises:
        InputError: a file of the checkpoint is missing or damaged.
    """
    target.mkdir(parents=True)
    towers = {name: tensor for name, tensor in read_towers(checkpoint, index).items()
              if with_optimizer or not name.startswith(STATE)}
    shards = [write_shard(target, TOWERS, towers)]
    sources = [shard for shard in index.shards if shard.buckets is not None]
    num_bytes = sum(shard.num_bytes for shard in sources)
    per_file = max(1, NUM_BUCKETS * max_file_bytes // max(1, num_bytes))
    with ExitStack() as stack:
        path_of_shard = {
            shard: stack.enter_context(checked_shard(checkpoint, shard)) for shard in sources
        }
        for first in range(0, NUM_BUCKETS, per_file):
            buckets = range(first, min(first + per_file, NUM_BUCKETS))
            tensors = _tensors_of(buckets, path_of_shard, with_optimizer)
            name = f"tables-{buckets.start:04d}-{buckets.stop:04d}.safetensors"
            shards.append(write_shard(target, name, tensors, buckets))
    copy = index.model_copy(update={
        "shards": tuple(shards), "has_optimizer": with_optimizer and index.has_optimizer,
    })
    write_index(target, copy)
    return copy


def _tensors_of(
    buckets: range, path_of_shard: Mapping[Shard, Path], with_optimizer: bool
) -> dict[str, torch.Tensor]:
    """The rows of some buckets, and what is known of them, from wherever they lie."""
    pieces: dict[str, list[torch.Tensor]] = {}
    with ExitStack() as stack:
        for shard in sorted(path_of_shard, key=_first_bucket):
            first, end = shard.buckets or (0, 0)
            begin, stop = max(first, buckets.start) - first, min(end, buckets.stop) - first
            if begin >= stop:
                continue
            file = stack.enter_context(safe_open(path_of_shard[shard], framework="pt"))
            for name in file.keys():
                if with_optimizer or name.endswith(OF_ROWS):
                    pieces.setdefault(name, []).append(file.get_slice(name)[begin:stop])
        return {name: parts[0] if len(parts) == 1 else torch.cat(parts)
                for name, parts in pieces.items()}


def _first_bucket(shard: Shard) -> int:
    assert shard.buckets is not None
    return shard.buckets[0]
