"""Whole embedding tables, gathered from the shards that a checkpoint holds them in.

Large ones lie in a file that is mapped into memory: the shards are read one after the other, and
the tables are never held twice. It knows neither checkpoints nor networks.

Shape legend: N rows of a table; D their width; K buckets of a shard; S slots of a bucket.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from esmm_dist.contract.row_space import NUM_BUCKETS, RowSpace, rows_of_bucket

# Whoever maps the file later begins each table at a multiple of this: the largest page in use.
ALIGNMENT = 65_536


@dataclass(frozen=True)
class Stretch:
    """Where a table lies in the file of all tables."""

    offset: int
    num_bytes: int


class WholeTables:
    """The tables of some networks, all of one row space, width and type."""

    buckets = range(NUM_BUCKETS)
    """Those that it takes: all."""

    def __init__(
        self, networks: Sequence[str], space: RowSpace, dim: int, dtype: torch.dtype,
        path: Path | None = None,
    ) -> None:
        """Makes room for them, in memory or, if `path` is given, in a file of that name."""
        self.stretches: dict[tuple[str, str], Stretch] = {}
        """Where the tables lie in the file; nothing where there is none."""
        self.of_network: dict[str, dict[str, Tensor]] = {network: {} for network in networks}
        names = [(n, t, num) for n in networks for t, num in space.num_rows_of_table.items()]
        if path is None:
            for network, table, num_rows in names:
                self.of_network[network][table] = torch.zeros(num_rows, dim, dtype=dtype)
            return
        end = 0
        for network, table, num_rows in names:
            self.stretches[network, table] = Stretch(end, num_rows * dim * dtype.itemsize)
            end += -(-self.stretches[network, table].num_bytes // ALIGNMENT) * ALIGNMENT
        mapped = torch.from_file(str(path), shared=True, size=end, dtype=torch.uint8)
        for (network, table), stretch in self.stretches.items():
            part = mapped[stretch.offset : stretch.offset + stretch.num_bytes]
            self.of_network[network][table] = part.view(dtype).view(-1, dim)

    def load_buckets(
        self, first_bucket: int, tensors: Mapping[str, Tensor], space: RowSpace,
        weights_only: bool = True,
    ) -> None:
        """Copies the rows of a shard to their places.

        Args:
            first_bucket: of the shard.
            tensors: `<network>/rows`, (K, S, D); what else a shard holds is left alone.
            space: the row space in which the shard was written.
            weights_only: here it is always so.
        """
        for network, tables in self.of_network.items():
            rows_KSD = tensors[f"{network}/rows"]
            for table, slots in space.slots_of_table.items():
                whole_ND = tables[table]
                for place, rows_SD in enumerate(rows_KSD[:, slots.start : slots.stop]):
                    rows = rows_of_bucket(first_bucket + place, len(whole_ND))
                    whole_ND[rows.start :: rows.step] = rows_SD[: len(rows)]

    def digest(self) -> str:
        """SHA-256 of all rows, table by table."""
        digest = hashlib.sha256()
        for tables in self.of_network.values():
            for rows_ND in tables.values():
                digest.update(rows_ND.numpy().data)
        return digest.hexdigest()
