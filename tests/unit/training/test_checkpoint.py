"""Checkpoints: the index is the commit, damage is named, old ones go only after the new one is."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from esmm_dist.contract.errors import InputError
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.storage.address import path_of
from esmm_dist.storage.files import files_below, make_folder
from esmm_dist.storage.files import write as write_file
from esmm_dist.training.checkpoint import (
    Index,
    latest_checkpoint,
    read_tables,
    read_towers,
    remove_checkpoints,
    write_checkpoint,
)
from esmm_dist.training.identity import Identity

ROWS = torch.arange(2048.0).view(1024, 2)
IDENTITY = Identity(fingerprint="f" * 64, encodings="e" * 64, model="m" * 64)


def write(
    directory: Path, step: int, num_kept: int = 2, world: SoloWorld = SoloWorld()
) -> Path:
    """A checkpoint whose values tell its step."""
    return write_checkpoint(
        directory,
        towers={"w": torch.full((3,), float(step))},
        tables={"rows": step + ROWS, "sum": torch.arange(1024, dtype=torch.int32)},
        buckets=range(1024),
        index=Index(identity=IDENTITY, step=step, num_steps=20, manifest=1, course="c",
                    num_ranks=1, num_lanes=8, num_rows_of_table={"user": 5}),
        world=world,
        num_kept=num_kept,
    )


def tables(checkpoint: Path, buckets: range) -> list[tuple[int, dict[str, Tensor]]]:
    """What a rank with these buckets reads."""
    return list(read_tables(checkpoint, Index.read(checkpoint), buckets))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 7)
    index = Index.read(checkpoint)
    assert index.step == 7
    assert torch.equal(read_towers(checkpoint, index)["w"], torch.full((3,), 7.0))
    ((first, tensors),) = tables(checkpoint, range(0, 1024))
    assert first == 0
    assert torch.equal(tensors["rows"], 7 + ROWS)


def test_a_rank_reads_its_own_buckets_alone_and_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esmm_dist.training.shards.PIECE_BYTES", 300)
    pieces = tables(write(tmp_path, 7), range(300, 400))
    assert [first for first, _ in pieces] == list(range(300, 400, len(pieces[0][1]["sum"])))
    assert len(pieces) > 3 and pieces[0][1].keys() == {"rows", "sum"}
    rows, numbers = (torch.cat([piece[name] for _, piece in pieces]) for name in ("rows", "sum"))
    assert torch.equal(rows, 7 + ROWS[300:400])
    assert torch.equal(numbers, torch.arange(300, 400, dtype=torch.int32))


def test_the_latest_is_the_one_with_most_steps(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    write(tmp_path, 9)
    newest = write(tmp_path, 10)
    assert latest_checkpoint(tmp_path) == newest


def test_a_folder_without_index_is_no_checkpoint(tmp_path: Path) -> None:
    older, newer = write(tmp_path, 1), write(tmp_path, 2)
    (newer / "index.json").unlink()
    assert latest_checkpoint(tmp_path) == older
    with pytest.raises(InputError, match="no complete checkpoint"):
        Index.read(newer)


def test_only_the_last_ones_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        write(tmp_path, step, num_kept=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000010", "step-000000015"]


@pytest.fixture(params=["local", "elsewhere"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a run's checkpoints lie."""
    if request.param == "local":
        return tmp_path / "checkpoints"
    return path_of(f"memory://{tmp_path.name}/checkpoints")


def names(folder: Path) -> list[str]:
    return [str(path)[len(str(folder)) + 1:] for path in files_below(folder)]


def test_what_kills_left_of_other_checkpoints_is_removed_with_the_older_ones(home: Path) -> None:
    for half in ("step-000000003", "step-000000007", "step-000000010", "step-7.kept-by-hand"):
        make_folder(home / half)
        write_file(home / half / "tables-0000-0256.safetensors", "of four ranks")
    whole = {f"step-00000000{step}/{name}" for step in (5, 9) for name in names(write(home, step))}
    assert set(names(home)) == whole | {
        "step-000000010/tables-0000-0256.safetensors",
        "step-7.kept-by-hand/tables-0000-0256.safetensors",
    }, "what is ahead may be being written; what somebody has named is theirs"


def test_what_a_kill_left_of_the_same_checkpoint_is_removed_first(home: Path) -> None:
    checkpoint = home / "step-000000004"
    make_folder(checkpoint)
    for name in ("index.json", "tables-0000-0256.safetensors", ".towers.safetensors.4711"):
        write_file(checkpoint / name, "of four ranks")
    assert write(home, 4) == checkpoint
    assert names(checkpoint) == ["index.json", "tables-0000-1024.safetensors", "towers.safetensors"]
    assert Index.read(checkpoint).step == 4


def test_a_checkpoint_that_somebody_has_renamed_is_none(tmp_path: Path) -> None:
    older, newer = write(tmp_path, 1), write(tmp_path, 2)
    newer.rename(tmp_path / "step-000000002.damaged")
    assert latest_checkpoint(tmp_path) == older
    write(tmp_path, 3, num_kept=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000002.damaged",
                                                          "step-000000003"]


def test_a_kill_while_all_are_removed_leaves_none_that_is_complete(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        """In place of a kill."""

    def remove_one(path: Path) -> None:
        if path == home:
            raise Killed
        path.unlink()

    for fold in ("a", "b"):
        write(home / fold, 1)
    with monkeypatch.context() as patch:
        patch.setattr("esmm_dist.training.checkpoint.remove", remove_one)
        with pytest.raises(Killed):
            remove_checkpoints(home)
    assert [latest_checkpoint(home / fold) for fold in ("a", "b")] == [None, None]
    remove_checkpoints(home)
    assert names(home) == []


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 3)
    shard = checkpoint / "tables-0000-1024.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=f"{shard}: its checksum .* remove {checkpoint} and go on"):
        tables(checkpoint, range(0, 1024))


def test_a_lost_shard_is_named(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 3)
    (checkpoint / "towers.safetensors").unlink()
    with pytest.raises(InputError, match=f"towers.safetensors: No such file.*remove {checkpoint}"):
        read_towers(checkpoint, Index.read(checkpoint))


@pytest.mark.parametrize("content", [b"{}", b"", b"[1", b"\xff\xfe\0"])
def test_a_damaged_index_is_named(tmp_path: Path, content: bytes) -> None:
    checkpoint = write(tmp_path, 3)
    (checkpoint / "index.json").write_bytes(content)
    with pytest.raises(InputError, match=f"index.json: damaged, .*: remove {checkpoint} and go on"):
        Index.read(checkpoint)


@pytest.mark.parametrize(("before", "after"), [
    ('"step": 3', '"step": 2'), ("1024", "1023"), ('"buckets": null', '"buckets": [0, 4]'),
    ("0,\n    1024", "1,\n    1024"),
])
def test_an_index_that_fits_neither_its_folder_nor_all_rows_is_damaged(
    tmp_path: Path, before: str, after: str
) -> None:
    index = write(tmp_path, 3) / "index.json"
    assert before in index.read_text()
    index.write_text(index.read_text().replace(before, after))
    with pytest.raises(InputError, match="index.json: damaged"):
        Index.read(index.parent)


@pytest.mark.parametrize("part", ["fingerprint", "encodings", "model"])
def test_another_identity_is_refused_by_its_part(part: str) -> None:
    other = IDENTITY.model_copy(update={part: "0" * 64})
    IDENTITY.check(IDENTITY, Path("here"))
    with pytest.raises(InputError, match=f"here: its {part} is"):
        IDENTITY.check(other, Path("here"))


def test_encodings_that_appended_to_a_checkpoints_are_accepted_and_no_older_ones() -> None:
    grown = IDENTITY.model_copy(update={"encodings": "d" * 64, "ancestry": ("a" * 64, "e" * 64)})
    IDENTITY.check(grown, Path("here"))
    with pytest.raises(InputError, match="here: its encodings is"):
        grown.check(IDENTITY, Path("here"))
    with pytest.raises(InputError, match="here: its model is"):
        IDENTITY.check(grown.model_copy(update={"model": "0" * 64}), Path("here"))


class UnsharedRanks(SoloWorld):
    """Two ranks, seen by the first, of which the other writes to a folder of its own."""

    def gather_objects(self, value: object, name: str) -> list[object]:
        if name != "checkpoint":
            return [value, None]
        assert isinstance(value, list)
        return [value, [{**value[0], "path": "tables-0512-1024.safetensors"}]]


def test_what_rank_0_does_not_see_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esmm_dist.training.checkpoint.SECONDS_TO_APPEAR", 0.1)
    write(tmp_path, 4)
    with pytest.raises(InputError, match="step-000000008/tables-0512-1024.*must share one runs_pa"):
        write(tmp_path, 8, world=UnsharedRanks())
    assert latest_checkpoint(tmp_path) == tmp_path / "step-000000004"


def test_rewriting_a_step_replaces_it(tmp_path: Path) -> None:
    write(tmp_path, 4)
    assert latest_checkpoint(tmp_path) == write(tmp_path, 4)


def test_who_may_read_the_folder_may_read_its_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        checkpoint = write(tmp_path / "fold", 4)
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in checkpoint.iterdir()} == {"0o640"}
