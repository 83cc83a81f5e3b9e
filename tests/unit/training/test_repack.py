"""A copy of a checkpoint holds the same, in files that do not tell who trained it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.row_space import NUM_BUCKETS
from esmm_dist.training.checkpoint import (
    TOWERS,
    Index,
    read_tables,
    read_towers,
    write_index,
)
from esmm_dist.training.identity import Identity
from esmm_dist.training.repack import repack
from esmm_dist.training.shards import write_shard

ROWS_KSD = torch.arange(NUM_BUCKETS * 2 * 3, dtype=torch.float32).reshape(NUM_BUCKETS, 2, 3)
STATE_KS = torch.arange(NUM_BUCKETS * 2, dtype=torch.float32).reshape(NUM_BUCKETS, 2)


def checkpoint_of_ranks(folder: Path, ends: Sequence[int]) -> tuple[Path, Index]:
    """The same tables, written by ranks whose buckets end there."""
    folder.mkdir()
    towers = {"parameter/w": torch.ones(2), "state/w/exp_avg": torch.zeros(2)}
    shards = [write_shard(folder, TOWERS, towers)]
    for first, end in zip([0, *ends], ends):
        tensors = {"main/rows": ROWS_KSD[first:end], "main/sum": STATE_KS[first:end]}
        name = f"tables-{first:04d}-{end:04d}.safetensors"
        shards.append(write_shard(folder, name, tensors, range(first, end)))
    index = Index(
        identity=Identity(fingerprint="f", encodings="e", model="m"), step=1, num_steps=1,
        manifest=1, course="c", num_ranks=1, num_lanes=8, num_rows_of_table={"user": 5},
        shards=tuple(shards),
    )
    write_index(folder, index)
    return folder, index


def all_tables(folder: Path, index: Index) -> dict[str, Tensor]:
    parts = [tensors for _, tensors in read_tables(folder, index, range(NUM_BUCKETS))]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def test_a_rank_reads_no_file_without_its_buckets(tmp_path: Path) -> None:
    checkpoint, index = checkpoint_of_ranks(tmp_path / "three", [341, 682, NUM_BUCKETS])
    (checkpoint / "tables-0341-0682.safetensors").unlink()
    for buckets in (range(341), range(700, NUM_BUCKETS)):
        read = [tensors["main/rows"] for _, tensors in read_tables(checkpoint, index, buckets)]
        assert torch.equal(torch.cat(read), ROWS_KSD[buckets.start : buckets.stop])
    with pytest.raises(InputError, match="tables-0341-0682.safetensors: No such file"):
        list(read_tables(checkpoint, index, range(342)))


@pytest.mark.parametrize("max_file_bytes", [10, 9_000, 2**30])
def test_the_copy_holds_the_same_in_files_of_bounded_size(
    tmp_path: Path, max_file_bytes: int
) -> None:
    checkpoint, index = checkpoint_of_ranks(tmp_path / "three", [341, 682, NUM_BUCKETS])
    copy = repack(checkpoint, index, tmp_path / "copy", with_optimizer=True,
                  max_file_bytes=max_file_bytes)
    assert Index.read(tmp_path / "copy") == copy
    tables = all_tables(tmp_path / "copy", copy)
    assert torch.equal(tables["main/rows"], ROWS_KSD)
    assert torch.equal(tables["main/sum"], STATE_KS)
    assert set(read_towers(tmp_path / "copy", copy)) == {"parameter/w", "state/w/exp_avg"}
    if max_file_bytes == 9_000:
        sizes = [shard.num_bytes for shard in copy.shards if shard.buckets]
        assert len(sizes) > 3 and max(sizes) < 1.2 * max_file_bytes


def test_the_files_do_not_tell_how_many_ranks_trained(tmp_path: Path) -> None:
    shards = [
        repack(*checkpoint_of_ranks(tmp_path / f"{len(ends)}", ends),
               tmp_path / f"copy-{len(ends)}", with_optimizer=True).shards
        for ends in ([NUM_BUCKETS], [341, 682, NUM_BUCKETS])
    ]
    assert shards[0] == shards[1]


def test_without_the_optimizer_only_what_predicts_is_copied(tmp_path: Path) -> None:
    checkpoint, index = checkpoint_of_ranks(tmp_path / "one", [NUM_BUCKETS])
    copy = repack(checkpoint, index, tmp_path / "copy", with_optimizer=False)
    assert set(all_tables(tmp_path / "copy", copy)) == {"main/rows"}
    assert set(read_towers(tmp_path / "copy", copy)) == {"parameter/w"}


def test_a_damaged_checkpoint_is_not_copied(tmp_path: Path) -> None:
    checkpoint, index = checkpoint_of_ranks(tmp_path / "one", [NUM_BUCKETS])
    path = checkpoint / f"tables-0000-{NUM_BUCKETS}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="its checksum differs"):
        repack(checkpoint, index, tmp_path / "copy", with_optimizer=True)
    assert not (tmp_path / "copy" / "index.json").exists()
