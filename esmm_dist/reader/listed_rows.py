"""Rows of a batch as plain lists by feature, and back: for the few that others are to look at.

Shape legend: B rows; V ids of all rows of one multi-valued feature.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.features import Feature, MultiValuedFeature


class ListedRow(NamedTuple):
    """The ids of one row."""

    sample_id: int
    ids: Mapping[str, int | list[int]]
    """By feature."""
    weights: Mapping[str, list[float]]
    """Of the multi-valued features that have any: one an id."""


def listed(batch: Batch, features: Sequence[Feature]) -> list[ListedRow]:
    """The rows of a batch that are no padding."""
    singles = [f.name for f in features if not isinstance(f, MultiValuedFeature)]
    bags = dict(zip((f.name for f in features if isinstance(f, MultiValuedFeature)), batch.bags))
    rows = []
    for b in range(batch.num_rows - batch.num_padded):
        ids: dict[str, int | list[int]] = dict(zip(singles, batch.ids_BF[b].tolist()))
        weights: dict[str, list[float]] = {}
        for name, bag in bags.items():
            own = slice(int(bag.offsets_B1[b]), int(bag.offsets_B1[b + 1]))
            ids[name] = bag.ids_V[own].tolist()
            if bag.weights_V is not None:
                weights[name] = bag.weights_V[own].tolist()
        rows.append(ListedRow(int(batch.sample_id_B[b]), ids, weights))
    return rows


def batch_of(rows: Sequence[ListedRow], features: Sequence[Feature]) -> Batch:
    """The rows as a batch whose labels are 0."""
    singles = [f.name for f in features if not isinstance(f, MultiValuedFeature)]
    zeros_B = torch.zeros(len(rows))
    ids_BF = [[row.ids[name] for name in singles] for row in rows]
    return Batch(
        ids_BF=torch.tensor(ids_BF, dtype=torch.int32).reshape(len(rows), len(singles)),
        bags=tuple(_bag(feature, rows) for feature in features
                   if isinstance(feature, MultiValuedFeature)),
        click_B=zeros_B, conversion_B=zeros_B, weight_B=torch.ones(len(rows)),
        sample_id_B=torch.tensor([row.sample_id for row in rows], dtype=torch.int64),
        group_id_B=torch.zeros(len(rows), dtype=torch.int64),
    )


def _bag(feature: MultiValuedFeature, rows: Sequence[ListedRow]) -> Bag:
    ids_of_row = [row.ids[feature.name] for row in rows]
    lengths = [len(ids) for ids in ids_of_row if isinstance(ids, list)]
    assert len(lengths) == len(rows), f"{feature.name} has several ids a row"
    weights_V: Tensor | None = None
    if feature.weights is not None:
        weights_V = torch.tensor([w for row in rows for w in row.weights[feature.name]])
    return Bag(
        torch.tensor([i for ids in ids_of_row if isinstance(ids, list) for i in ids],
                     dtype=torch.int32),
        torch.tensor([0, *accumulate(lengths)], dtype=torch.int64), weights_V,
    )
