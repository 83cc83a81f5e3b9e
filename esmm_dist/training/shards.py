"""One file of a checkpoint: written whole or not at all, and read only if it is what was written.

What its tensors mean is the caller's business; nothing is unpickled.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from esmm_dist.contract.errors import InputError
from esmm_dist.storage.address import reason_of
from esmm_dist.storage.files import at_hand, drafted

# Of tables, read at a time.
PIECE_BYTES = 2**25
# What tables and their optimizers are made of, by the names of safetensors.
DTYPES = {"F32": torch.float32, "F64": torch.float64, "I16": torch.int16, "I32": torch.int32}


class Shard(BaseModel):
    """One file of a checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    num_bytes: int
    sha256: str
    buckets: tuple[int, int] | None
    """The first and one past the last bucket of table rows it holds; none: the towers."""


def write_shard(
    checkpoint: Path, name: str, tensors: Mapping[str, Tensor], buckets: range | None = None
) -> Shard:
    """Writes one file of a checkpoint, whole or not at all.

    Raises:
        InputError: the system does not take it.
    """
    path = checkpoint / name
    with drafted(path) as draft:
        try:
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()},
                      draft)
        except SafetensorError as error:  # what the system says of the file comes as this too
            raise InputError(f"{path}: {error}") from None
        # safetensors lets nobody else read it: others may be those that serve.
        draft.chmod(draft.parent.stat().st_mode & 0o666)
        digest, num_bytes = sha256_of(draft), draft.stat().st_size
    held = None if buckets is None else (buckets.start, buckets.stop)
    return Shard(path=name, num_bytes=num_bytes, sha256=digest, buckets=held)


@contextmanager
def checked_shard(checkpoint: Path, shard: Shard) -> Iterator[Path]:
    """A local path of a file, once it has been found to be what the index says.

    Raises:
        InputError: it is missing or damaged.
    """
    path = checkpoint / shard.path
    with ExitStack() as stack:
        try:
            own = stack.enter_context(at_hand(path))
            found = sha256_of(own)
        except OSError as error:
            raise InputError(
                f"{path}: {reason_of(error)}: the checkpoint has lost a file: "
                f"{way_out(checkpoint)}"
            ) from None
        if found != shard.sha256:
            raise InputError(
                f"{path}: its checksum differs from the index's: the file is damaged: "
                f"{way_out(checkpoint)}"
            )
        yield own


def read_shard(checkpoint: Path, shard: Shard) -> dict[str, Tensor]:
    """Its tensors, on the CPU.

    Raises:
        InputError: it is missing or damaged.
    """
    with checked_shard(checkpoint, shard) as path:
        return load_file(path)


def read_buckets(
    checkpoint: Path, shard: Shard, buckets: range
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """What a shard of tables holds of some buckets, a few of them at a time.

    Read rather than mapped, which would take as much again of a process's limit as its tables.

    Yields:
        A first bucket, and the tensors of it and the next ones, on the CPU.

    Raises:
        InputError: the shard is missing or damaged.
    """
    assert shard.buckets is not None
    first, end = shard.buckets
    num_at_a_time = max(1, PIECE_BYTES * (end - first) // max(1, shard.num_bytes))
    start, stop = max(first, buckets.start), min(end, buckets.stop)
    with checked_shard(checkpoint, shard) as path, path.open("rb") as file:
        entries = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        entries.pop("__metadata__", None)
        origin = file.tell()
        for bucket in range(start, stop, num_at_a_time):
            rows = range(bucket - first, min(bucket + num_at_a_time, stop) - first)
            yield bucket, {
                name: _read_rows(file, origin, entry, rows) for name, entry in entries.items()
            }


def _read_rows(file: BinaryIO, origin: int, entry: Mapping[str, Any], rows: range) -> Tensor:
    """Some rows of a tensor of a safetensors file, by its entry in the file's header."""
    begin, after = entry["data_offsets"]
    num_rows, *shape = entry["shape"]
    bytes_per_row = (after - begin) // num_rows
    file.seek(origin + begin + rows.start * bytes_per_row)
    content = bytearray(len(rows) * bytes_per_row)
    num_read = file.readinto(content)  # type: ignore[attr-defined]
    assert num_read == len(content), "a file that has been checked is whole"
    return torch.frombuffer(content, dtype=DTYPES[entry["dtype"]]).view(len(rows), *shape)


def sha256_of(path: Path) -> str:
    """Of a local file or an object."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def way_out(checkpoint: Path) -> str:
    """What to do about a damaged checkpoint."""
    return (f"remove {checkpoint} and go on from the one before it with esmm_dist.train --resume, "
            "or train again")
