"""Whole tables: every row of every shard comes to its place, in memory and in a file."""

from pathlib import Path

import pytest
import torch

from esmm_dist.contract.row_space import NUM_BUCKETS, RowSpace
from esmm_dist.interchange.tables import ALIGNMENT, WholeTables

SPACE = RowSpace({"user": 3000, "tag": 3, "item": 1024})
NETWORKS = ("ctr", "cvr")
DIM = 2


def row(network: str, table: str, row_id: int) -> list[float]:
    """What stands in a row, so that no two are alike."""
    place = NETWORKS.index(network) * 3 + list(SPACE.num_rows_of_table).index(table)
    return [float(row_id), float(place)]


def shards(num_shards: int) -> list[tuple[int, dict[str, torch.Tensor]]]:
    """The space as so many ranks hold it; slots of no row hold NaN."""
    whole = {f"{network}/rows": torch.full((SPACE.num_slots, DIM), torch.nan)
             for network in NETWORKS}
    for network in NETWORKS:
        for table, num_rows in SPACE.num_rows_of_table.items():
            for row_id in range(num_rows):
                values = torch.tensor(row(network, table, row_id))
                whole[f"{network}/rows"][SPACE.slot_of(table, row_id)] = values
    per_shard = NUM_BUCKETS // num_shards
    return [
        (first, {name: rows.unflatten(0, (NUM_BUCKETS, -1))[first : first + per_shard]
                 for name, rows in whole.items()})
        for first in range(0, NUM_BUCKETS, per_shard)
    ]


@pytest.mark.parametrize("num_shards", [1, 4])
@pytest.mark.parametrize("is_file", [False, True])
def test_every_row_comes_to_its_place(num_shards: int, is_file: bool, tmp_path: Path) -> None:
    path = tmp_path / "tables" if is_file else None
    tables = WholeTables(NETWORKS, SPACE, DIM, torch.float32, path)
    for first_bucket, tensors in shards(num_shards):
        tables.load_buckets(first_bucket, tensors, SPACE)
    for network in NETWORKS:
        for table, num_rows in SPACE.num_rows_of_table.items():
            wanted = [row(network, table, row_id) for row_id in range(num_rows)]
            assert tables.of_network[network][table].tolist() == wanted
    if path is not None:
        content = path.read_bytes()
        for (network, table), stretch in tables.stretches.items():
            assert stretch.offset % ALIGNMENT == 0
            written = content[stretch.offset : stretch.offset + stretch.num_bytes]
            assert written == tables.of_network[network][table].numpy().tobytes()


def test_a_digest_tells_contents_apart() -> None:
    digests = set()
    for value in (0.0, 1.0):
        tables = WholeTables(["a"], SPACE, DIM, torch.float32)
        tables.of_network["a"]["tag"][1, 1] = value
        digests.add(tables.digest())
    assert len(digests) == 2
