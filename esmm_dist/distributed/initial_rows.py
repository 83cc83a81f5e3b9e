"""The values that embedding rows begin with: the same for any number of ranks.

Shape legend: K buckets; S slots of a bucket; D width.
"""

import hashlib

import torch
from torch import Tensor

from esmm_dist.contract.row_space import RowSpace


def fill_initial_rows(
    rows_KSD: Tensor, buckets: range, space: RowSpace, seed: int, std: float
) -> None:
    """Fills the rows of some buckets with `initial_rows`."""
    for place, bucket in enumerate(buckets):
        rows_KSD[place] = initial_rows(
            bucket, space, seed, std, rows_KSD.shape[1:], rows_KSD.dtype
        )


def initial_rows(
    bucket: int, space: RowSpace, seed: int, std: float, shape: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    """The rows of a bucket, (S, D), from a normal distribution of mean 0.

    What a table holds in a bucket depends on the seed, the table's name and size and the bucket's
    number, hence neither on the ranks nor on other tables. Drawn on the CPU for every device.
    """
    generator = torch.Generator()
    values_SD = torch.empty(shape, dtype=dtype)
    for table, slots in space.slots_of_table.items():
        generator.manual_seed(_seed_of(seed, table, bucket))
        values_SD[slots.start : slots.stop].normal_(0, std, generator=generator)
    return values_SD


def _seed_of(seed: int, table: str, bucket: int) -> int:
    # torch's generator is seeded by 32 bits.
    digest = hashlib.blake2b(f"{seed}/{bucket}/{table}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
