"""Random batches over four features, small enough to loop over, with the usual trouble in them.

Ids follow a steep law (a few are in every batch), two features share a table, one feature is
multi-valued with empty and repeated values, another one has weights too, and some batches are
empty.
"""

from dataclasses import replace

import torch
from torch import Tensor

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.features import (
    CategoricalFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
)

USERS, ITEMS, TAGS = 5000, 1500, 3
FEATURES: tuple[Feature, ...] = (
    CategoricalFeature(name="user", group=Group.USER, encode=HashEncoding(hash_size=USERS)),
    MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM,
                       encode=HashEncoding(hash_size=TAGS)),
    MultiValuedFeature(name="history", kind=Kind.MULTI_VALUED, group=Group.USER, weights="counts",
                       encode=HashEncoding(hash_size=ITEMS), table="item"),
    CategoricalFeature(name="item", group=Group.ITEM, encode=HashEncoding(hash_size=ITEMS)),
    CategoricalFeature(name="last_item", group=Group.USER, encode=HashEncoding(hash_size=ITEMS),
                       table="item"),
)
NUM_ROWS_OF_TABLE = {"user": USERS, "tags": TAGS, "item": ITEMS}
MAX_TAGS = 4


def random_batch(num_rows: int, generator: torch.Generator) -> Batch:
    """A batch of some rows, possibly none."""
    sizes = (USERS, ITEMS, ITEMS)
    ids_BF = torch.stack([_steep(size, num_rows, generator) for size in sizes], dim=1)
    tags = _bag(TAGS, num_rows, generator)
    history = _bag(ITEMS, num_rows, generator)
    weights_V = torch.randn(len(history.ids_V), generator=generator)
    labels_B = torch.randint(2, (num_rows,), generator=generator).float()
    keys_B = torch.zeros(num_rows, dtype=torch.int64)
    return Batch(
        ids_BF=ids_BF.int(), click_B=labels_B,
        bags=(tags, replace(history, weights_V=weights_V)),
        conversion_B=labels_B, weight_B=torch.ones(num_rows), sample_id_B=keys_B,
        group_id_B=keys_B,
    )


def batches_of_rank(rank: int, num_steps: int, max_rows: int = 12) -> list[Batch]:
    """What a rank sees: nothing at step 7, nor at every fifth step, another one on every rank."""
    generator = torch.Generator().manual_seed(1000 + rank)
    return [
        random_batch(0 if step == 7 or (step + rank) % 5 == 4 else max_rows - rank, generator)
        for step in range(num_steps)
    ]


def _bag(size: int, num_rows: int, generator: torch.Generator) -> Bag:
    lengths_B = torch.randint(MAX_TAGS + 1, (num_rows,), generator=generator)
    offsets_B1 = torch.cat((torch.zeros(1, dtype=torch.int64), lengths_B.cumsum(0)))
    return Bag(torch.randint(size, (int(offsets_B1[-1]),), generator=generator).int(), offsets_B1)


def _steep(size: int, num_rows: int, generator: torch.Generator) -> Tensor:
    """Zipf's law with exponent 1 on 0 .. size - 1, by its inverse."""
    uniform = torch.rand(num_rows, generator=generator, dtype=torch.float64)
    return torch.floor(size**uniform).long() - 1
