"""Checkpoints on disk: written by all ranks, one shard of the tables each, read by any number.

A checkpoint is a directory `step-<n>` of safetensors files and an `index.json` that names them with
their checksums. The index is written last, after every rank has written its files: a directory
without one is no checkpoint. What the tensors mean is the caller's business.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.row_space import NUM_BUCKETS
from esmm_dist.contract.world import World
from esmm_dist.storage.address import reason_of
from esmm_dist.storage.files import files_below, make_folder, remove, write
from esmm_dist.training.identity import Identity
from esmm_dist.training.shards import (
    Shard,
    read_buckets,
    read_shard,
    sha256_of,
    way_out,
    write_shard,
)

INDEX = "index.json"
TOWERS = "towers.safetensors"

_NAME = re.compile(r"step-\d+")

# A network file system may show a file of another machine a little later.
SECONDS_TO_APPEAR = 5.0


class Index(BaseModel):
    """The commit of a checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: Identity
    step: int
    """Steps done since the beginning of the fold."""
    num_steps: int
    """Steps of the whole fold."""
    manifest: int
    """Number of the samples manifest that the run is pinned to."""
    course: str
    """Digest of the training days and the train section."""
    num_ranks: int
    num_lanes: int
    """Parallel row ranges that its batches were cut in."""
    num_rows_of_table: dict[str, int]
    """In the order in which the tables lie inside a bucket."""
    shards: tuple[Shard, ...] = ()
    parent: str | None = None
    """The bundle that training began from, if any."""
    first_day: date | None = None
    """The first training day learned: the parent has learned those before; none: all are."""
    has_optimizer: bool = True
    """Whether it holds what the optimizers remember."""

    @classmethod
    def read(cls, checkpoint: Path) -> Self:
        """Reads a checkpoint's index.

        Raises:
            InputError: it is missing or damaged.
        """
        path = checkpoint / INDEX
        try:
            index = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: {reason_of(error)}: no complete checkpoint there") from None
        except ValidationError:
            index = None
        is_named = _NAME.fullmatch(checkpoint.name)
        if not (index and index.names_all and (not is_named or index.step == _step_of(checkpoint))):
            raise InputError(f"{path}: damaged, or of another version: {way_out(checkpoint)}")
        return index

    @property
    def names_all(self) -> bool:
        """Whether its files are the towers and every bucket of rows, once each."""
        held = sorted(shard.buckets for shard in self.shards if shard.buckets is not None)
        firsts, ends = ([buckets[side] for buckets in held] for side in (0, 1))
        return [*firsts, NUM_BUCKETS] == [0, *ends] and len(held) + 1 == len(self.shards)


def latest_checkpoint(directory: Path) -> Path | None:
    """The complete checkpoint with the most steps below a fold's directory; None without one."""
    return max(_complete(directory), key=_step_of, default=None)


def remove_checkpoints(directory: Path) -> None:
    """Removes the checkpoints of all folds of a run; of what a kill leaves, none is complete."""
    for index in directory.glob(f"*/step-*/{INDEX}"):
        remove(index)
    remove(directory)


def remove_older(newest: Path, num_kept: int) -> None:
    """Removes those beyond the last few, and what kills left of others: half written, or half
    removed.

    Index first, so that a half-removed checkpoint is none.

    Args:
        newest: a complete one, which counts as kept.
    """
    directory = newest.parent
    older = sorted((path for path in _complete(directory) if _step_of(path) < _step_of(newest)),
                   key=_step_of, reverse=True)
    kept = {path.name for path in older[: num_kept - 1]}
    for folder in directory.glob("step-*"):
        if (_NAME.fullmatch(folder.name) and _step_of(folder) < _step_of(newest)
                and folder.name not in kept):
            remove(folder / INDEX)
            remove(folder)


def digest_of_checkpoint(checkpoint: Path) -> str:
    """Identity of a checkpoint's content: its index names every file by its checksum."""
    return sha256_of(checkpoint / INDEX)


def write_checkpoint(
    directory: Path,
    *,
    towers: Mapping[str, Tensor],
    tables: Mapping[str, Tensor],
    buckets: range,
    index: Index,
    world: World,
    num_kept: int,
) -> Path:
    """Writes one checkpoint; called by all ranks with their own share of the tables.

    Args:
        directory: the fold's checkpoints.
        towers: replicated tensors, written by rank 0.
        tables: this rank's rows and their optimizer state.
        buckets: those that the rows belong to.
        index: everything but the shards.
        num_kept: older checkpoints beyond this many are removed, after this one is complete.

    Raises:
        InputError: on all ranks, before the index, when rank 0 does not see what another wrote.
    """
    checkpoint = directory / f"step-{index.step:09d}"
    if world.rank == 0:
        _empty(checkpoint)
    world.barrier(name="checkpoint.begin")
    make_folder(checkpoint)
    name = f"tables-{buckets.start:04d}-{buckets.stop:04d}.safetensors"
    shards = [write_shard(checkpoint, name, tables, buckets)]
    if world.rank == 0:
        shards.append(write_shard(checkpoint, TOWERS, towers))
    shards_of_rank = world.gather_objects([s.model_dump() for s in shards], name="checkpoint")
    flat = [Shard.model_validate(s) for of_rank in shards_of_rank
            for s in of_rank]  # type: ignore[attr-defined]
    unseen = world.gather_objects(
        _first_unseen(checkpoint, flat) if world.rank == 0 else None, name="checkpoint.seen"
    )[0]
    if unseen is not None:
        raise InputError(
            f"{checkpoint}/{unseen}: rank 0 does not see it, though another rank wrote it: all "
            "ranks must share one runs_path"
        )
    if world.rank == 0:
        complete = index.model_copy(update={"shards": tuple(flat)})
        write_index(checkpoint, complete)
        remove_older(checkpoint, num_kept)
    world.barrier(name="checkpoint.end")
    return checkpoint


def write_index(checkpoint: Path, index: Index) -> None:
    """Commits a checkpoint, all of whose files are there."""
    write(checkpoint / INDEX, index.model_dump_json(indent=1))


def read_towers(checkpoint: Path, index: Index) -> dict[str, Tensor]:
    """The replicated tensors of a checkpoint, on the CPU."""
    (shard,) = [shard for shard in index.shards if shard.buckets is None]
    return read_shard(checkpoint, shard)


def read_tables(
    checkpoint: Path, index: Index, buckets: range
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """What the shards hold of some buckets, a few of them at a time.

    Yields:
        A first bucket, and the tensors of it and the next ones, on the CPU.
    """
    for shard in index.shards:
        if shard.buckets is None:
            continue
        first, end = shard.buckets
        if first < buckets.stop and buckets.start < end:
            yield from read_buckets(checkpoint, shard, buckets)


def _complete(directory: Path) -> list[Path]:
    """A fold's complete checkpoints; a folder that somebody has renamed is none."""
    return [path.parent for path in directory.glob(f"step-*/{INDEX}")
            if _NAME.fullmatch(path.parent.name)]


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step-"))


def _first_unseen(checkpoint: Path, shards: Sequence[Shard]) -> str | None:
    """The first shard that does not lie there whole; None if all do."""
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    for shard in shards:
        path = checkpoint / shard.path
        while not (path.exists() and path.stat().st_size == shard.num_bytes):
            if time.monotonic() > deadline:
                return shard.path
            time.sleep(0.1)
    return None


def _empty(checkpoint: Path) -> None:
    """Removes what is there of a checkpoint that a kill left half written, perhaps by other ranks;
    index first. The folder stays, which other machines may remember."""
    remove(checkpoint / INDEX)
    for left in files_below(checkpoint):
        remove(left)
