"""The ids of a batch as slots of the row space, in the order of the field vectors they make up.

It looks up no row and speaks to no rank.

Shape legend: B rows; F features in order of declaration, S of them single-valued; P = B F field
vectors, row by row; V ids of one multi-valued feature; E entries: all ids of the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, MultiValuedFeature, table_of
from esmm_dist.contract.row_space import BUCKET_STRIDE, NUM_BUCKETS, RowSpace


@dataclass(frozen=True)
class Entries:
    """Every id of a batch, field vector by field vector."""

    slots_E: Tensor
    """The id's slot, int32 where the row space ends below 2^31, else int64."""
    pool_of_entry_E: Tensor
    """int64, the field vector it belongs to, ascending."""
    offsets_P1: Tensor
    """int64, field vector p owns entries [offsets[p], offsets[p + 1])."""
    weight_E: Tensor | None = None
    """float32, what each counts in its field vector; None: 1 each."""


class EntryFinder:
    """Knows which column of a batch looks up which table."""

    def __init__(self, features: Sequence[Feature], space: RowSpace, device: torch.device) -> None:
        self._space = space
        self._device = device
        # Half the bytes to exchange, and sorted twice as fast (docs/LOG.md).
        self._dtype = torch.int32 if space.num_slots < 2**31 else torch.int64
        self._features = tuple(features)
        self.num_fields = len(self._features)
        columns: dict[bool, list[int]] = {True: [], False: []}
        for column, feature in enumerate(features):
            columns[isinstance(feature, MultiValuedFeature)].append(column)
        self._bag_columns = columns[True]
        self._single_columns = torch.tensor(columns[False], dtype=torch.int64, device=device)
        self._first_slot_F = self._per_feature(
            [space.slots_of_table[table_of(feature)].start for feature in features]
        )
        self._num_rows_F = self._per_feature(
            [space.num_rows_of_table[table_of(feature)] for feature in features]
        )

    def _per_feature(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)

    def find(self, batch: Batch) -> Entries:
        """The entries of a batch.

        Raises:
            InputError: an id lies outside its table.
        """
        slots_BS = self._slots(batch.ids_BF, self._single_columns)
        num_rows = len(slots_BS)
        num_pools = num_rows * len(self._features)
        if not self._bag_columns:
            pools_P1 = torch.arange(num_pools + 1, device=self._device)
            return Entries(slots_BS.flatten(), pools_P1[:-1], pools_P1)
        lengths_BF = torch.ones(
            num_rows, len(self._features), dtype=torch.int64, device=self._device
        )
        bags = [bag.to(self._device) for bag in batch.bags]
        for column, bag in zip(self._bag_columns, bags, strict=True):
            lengths_BF[:, column] = bag.offsets_B1.diff()
        lengths_P = lengths_BF.flatten()
        offsets_P1 = torch.nn.functional.pad(lengths_P.cumsum(0), (1, 0))
        starts_BF = offsets_P1[:-1].view_as(lengths_BF)

        num_entries = slots_BS.numel() + sum(len(bag.ids_V) for bag in bags)
        slots_E = torch.empty(num_entries, dtype=self._dtype, device=self._device)
        slots_E.scatter_(0, starts_BF[:, self._single_columns].flatten(), slots_BS.flatten())
        weight_E = None
        if any(bag.weights_V is not None for bag in bags):
            weight_E = torch.ones(num_entries, dtype=torch.float32, device=self._device)
        for column, bag in zip(self._bag_columns, bags):
            slots_V = self._slots(bag.ids_V.unsqueeze(1), self._per_feature([column])).flatten()
            shift_V = torch.repeat_interleave(
                starts_BF[:, column] - bag.offsets_B1[:-1],
                lengths_BF[:, column],
                output_size=len(slots_V),
            )
            places_V = shift_V.add_(torch.arange(len(slots_V), device=self._device))
            slots_E.scatter_(0, places_V, slots_V)
            if weight_E is not None and bag.weights_V is not None:
                weight_E.scatter_(0, places_V, bag.weights_V)
        pool_of_entry_E = torch.repeat_interleave(lengths_P, output_size=num_entries)
        return Entries(slots_E, pool_of_entry_E, offsets_P1, weight_E)

    def _slots(self, ids_NS: Tensor, columns_S: Tensor) -> Tensor:
        """RowSpace.slot_of for ids whose second dimension runs over `columns_S`."""
        ids_NS = ids_NS.to(self._device, non_blocking=True)
        num_rows_S = self._num_rows_F[columns_S].to(ids_NS.dtype)
        if bool(((ids_NS < 0) | (ids_NS >= num_rows_S)).any()):
            raise InputError(self._describe_stray_id(ids_NS, columns_S))
        ids_NS = ids_NS.to(self._dtype)
        # Powers of two: & and >> take a third of the time of % and //. What overflows 32 bits
        # leaves the lower ones as they are.
        bucket_NS = (ids_NS * BUCKET_STRIDE).bitwise_and_(NUM_BUCKETS - 1)
        slots_NS = bucket_NS.mul_(self._space.slots_per_bucket)
        slots_NS += ids_NS >> (NUM_BUCKETS.bit_length() - 1)
        return slots_NS.add_(self._first_slot_F[columns_S].to(self._dtype))

    def _describe_stray_id(self, ids_NS: Tensor, columns_S: Tensor) -> str:
        num_rows_S = self._num_rows_F[columns_S]
        row, column = ((ids_NS < 0) | (ids_NS >= num_rows_S)).nonzero()[0].tolist()
        feature = self._features[int(columns_S[column])]
        return (
            f"feature {feature.name!r}: the samples hold the id {int(ids_NS[row, column]):,}, its "
            f"table {table_of(feature)!r} has {int(num_rows_S[column]):,} rows: rebuild the samples"
        )
