"""Ids as the columns of a table that trees can split.

It fits no tree. What stands for what is decided on the training rows:
* a number: the place of its bucket; null is missing;
* a categorical feature: its most frequent ids as categories of their own, all others as one, and,
  where there are others, how often the id was seen, as a logarithm;
* a bag: how much the row has of each of its most frequent ids, and of ids in all.

Shape legend: B rows of a batch; N training rows; F single-valued features; C columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.features import Feature, Kind, MultiValuedFeature

MAX_CATEGORIES = 254  # with the others and null, what LightGBM's bins of one byte can tell apart
MAX_IDS_OF_BAG = 64

IntArray = NDArray[np.int64]
Columns = NDArray[np.float32]


@dataclass(frozen=True)
class Counted:
    """The ids of one feature that training saw, and how often."""

    id_S: IntArray
    """Ascending."""
    count_S: IntArray
    rank_S: IntArray
    """Place by falling count: 0 is the most frequent."""

    @classmethod
    def of(cls, ids: NDArray[Any]) -> Self:
        """Counts ids; among equally frequent ones the smaller comes first."""
        id_S, count_S = np.unique(ids.astype(np.int64), return_counts=True)
        rank_S = np.empty(len(id_S), np.int64)
        rank_S[np.lexsort((id_S, -count_S))] = np.arange(len(id_S))
        return cls(id_S, count_S, rank_S)

    def find(self, ids: NDArray[Any]) -> tuple[IntArray, IntArray]:
        """The rank and count of ids; of an unseen one a rank beyond all, and 0."""
        if not len(self.id_S):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        place = np.minimum(np.searchsorted(self.id_S, ids), len(self.id_S) - 1)
        is_seen = self.id_S[place] == ids
        return (np.where(is_seen, self.rank_S[place], len(self.id_S)),
                np.where(is_seen, self.count_S[place], 0))


@dataclass(frozen=True)
class TreeColumns:
    """From a batch to its columns."""

    is_number_F: tuple[bool, ...]
    counted_F: tuple[Counted, ...]
    counted_of_bag: tuple[Counted, ...]

    @classmethod
    def fit(cls, features: Sequence[Feature], batches: Sequence[Batch]) -> Self:
        """Decides on the rows of the training batches."""
        singles = [f for f in features if not isinstance(f, MultiValuedFeature)]
        ids_NF = np.concatenate([
            batch.ids_BF[: batch.num_rows - batch.num_padded].cpu().numpy() for batch in batches
        ])
        num_bags = len(features) - len(singles)
        ids_of_bag = [np.concatenate([batch.bags[place].ids_V.cpu().numpy() for batch in batches])
                      for place in range(num_bags)]
        return cls(
            tuple(f.kind is Kind.NUMERIC for f in singles),
            tuple(Counted.of(ids_N) for ids_N in ids_NF.T),
            tuple(Counted.of(ids_V) for ids_V in ids_of_bag),
        )

    @property
    def categorical(self) -> list[int]:
        """The columns that hold categories."""
        return [place for place, is_number in enumerate(self.is_number_F) if not is_number]

    def of(self, batch: Batch) -> Columns:
        """The columns of a batch, (B, C), float32, missing as NaN."""
        ids_BF = batch.ids_BF.cpu().numpy().astype(np.int64)
        firsts, more = [], []
        for ids_B, is_number, counted in zip(ids_BF.T, self.is_number_F, self.counted_F):
            rank_B, count_B = counted.find(ids_B)
            firsts.append(np.where(ids_B == 0, np.nan, ids_B) if is_number
                          else np.minimum(rank_B, MAX_CATEGORIES))
            if not is_number and len(counted.id_S) > MAX_CATEGORIES:
                more.append(np.log1p(count_B))
        bags = [_of_bag(bag, counted)
                for bag, counted in zip(batch.bags, self.counted_of_bag, strict=True)]
        return np.column_stack([*firsts, *more, *bags]).astype(np.float32)


def _of_bag(bag: Bag, counted: Counted) -> NDArray[np.float64]:
    """What each row has of the most frequent ids, and of all together, (B, ids + 1)."""
    ids_V, offsets_B1 = (t.cpu().numpy() for t in (bag.ids_V, bag.offsets_B1))
    weight_V = np.ones(len(ids_V)) if bag.weights_V is None else bag.weights_V.cpu().numpy()
    num_rows, num_ids = len(offsets_B1) - 1, min(len(counted.id_S), MAX_IDS_OF_BAG)
    row_V = np.repeat(np.arange(num_rows), np.diff(offsets_B1))
    rank_V, _ = counted.find(ids_V)
    has = np.zeros((num_rows, num_ids + 1))
    np.add.at(has, (row_V, np.minimum(rank_V, num_ids)), weight_V)
    has[:, num_ids] = np.bincount(row_V, weight_V, num_rows)
    return has
