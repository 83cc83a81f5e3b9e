"""Which rows a batch needs, who owns them, and what the others need of this rank.

It holds no row. A route depends on none either: the next batch's ids may travel while this batch
is computed, and its route be made before this batch's gradients are applied.

Shape legend: U distinct rows that a rank's batch needs; N ranks; R rows asked of this rank, by the
rank that asks, then ascending; X the width of what travels, of one table or several side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.features import Feature
from esmm_dist.contract.places import Places
from esmm_dist.contract.row_space import RowSpace, buckets_of_rank
from esmm_dist.contract.world import Here, Pending, World
from esmm_dist.distributed.distinct import Distinct, distinct, latest_of_duplicates
from esmm_dist.distributed.entries import EntryFinder


@dataclass(frozen=True)
class Route:
    """What one batch needs of the tables and what the others need of this rank."""

    places: Places
    """For the model: the rows of each field vector."""
    slots_U: Tensor
    """Ascending in the whole space, hence by owner; typed as `Entries.slots_E`."""
    num_rows_to_rank: list[int]
    """How many of them each rank owns."""
    requested_R: Tensor
    """Places in this rank's memory that are to be read; where tables are replicated, those that its
    own batch needs."""
    num_rows_from_rank: list[int]
    """How many of them each rank asked for."""
    moved: Distinct
    """Places in this rank's memory that some rank's gradient moves, without duplicates."""
    day_O: Tensor | None = None
    """int32: of each of them the latest day of the samples that hold it; None where batches tell no
    days."""


class Router:
    """Finds routes and moves vectors along them; called by all ranks in step."""

    def __init__(
        self, features: Sequence[Feature], space: RowSpace, world: World, device: torch.device,
        travel_dtype: torch.dtype, is_replicated: bool,
    ) -> None:
        """
        Args:
            travel_dtype: of vectors between ranks.
            is_replicated: every rank holds all rows: it asks nobody, and tells all its gradients.
        """
        self._world, self._travel_dtype = world, travel_dtype
        self._is_replicated = is_replicated and world.num_ranks > 1
        self._finder = EntryFinder(features, space, device)
        first_slots = [
            space.slots_of_buckets(buckets_of_rank(rank, world.num_ranks)).start
            for rank in range(world.num_ranks)
        ]
        self._first_slots_N = torch.tensor(first_slots, device=device)
        self._own_first_slot = first_slots[world.rank]

    def to_askers(self, values_RX: Tensor, route: Route) -> Pending[Tensor]:
        """Begins to send what was asked of this rank; brings (U, X) of what it asked for, in the
        order of its rows."""
        if self._is_replicated:
            return Here(values_RX)
        return self._travel(values_RX, route.num_rows_from_rank, "embedding.rows")

    def to_owners(self, values_UX: Tensor, route: Route) -> Pending[Tensor]:
        """Begins to send back what belongs to this rank's rows; brings the others' (R, X), in the
        order of the places that `route.moved` finds the duplicates of.

        What is too large for the type in which it travels becomes the largest that is not; a row
        would be learned from as another, and becomes infinite.
        """
        largest = torch.finfo(self._travel_dtype).max
        if largest < torch.finfo(values_UX.dtype).max:
            values_UX = values_UX.clamp(-largest, largest)
        if self._is_replicated:
            values_UX = values_UX.repeat(self._world.num_ranks, 1)
        return self._travel(values_UX, route.num_rows_to_rank, "embedding.gradients")

    def _travel(self, values_NX: Tensor, num_rows_to_rank: list[int], name: str) -> "_Vectors":
        dtype = values_NX.dtype
        if self._world.num_ranks > 1 and self._travel_dtype.itemsize < dtype.itemsize:
            values_NX = values_NX.to(self._travel_dtype)
        arriving = self._world.begin_exchange(values_NX, num_rows_to_rank, name)
        return _Vectors(arriving, dtype)

    def begin(self, batch: Batch) -> Pending[Route]:
        """Finds the distinct rows of a batch and sends their owners word.

        Raises:
            InputError: an id lies outside its table.
        """
        entries = self._finder.find(batch)
        needed = distinct(entries.slots_E)
        weight_E = entries.weight_E
        places = Places(
            num_fields=self._finder.num_fields,
            row_of_entry_E=needed.place_N,
            entry_offsets_P1=entries.offsets_P1,
            pool_of_entry_E=entries.pool_of_entry_E[needed.order_N],
            row_offsets_U1=needed.offsets_U1,
            weight_E=weight_E,
            weight_by_row_E=None if weight_E is None else weight_E[needed.order_N],
        )
        day_U = None
        if batch.day_B is not None:
            row_of_entry_E = entries.pool_of_entry_E // self._finder.num_fields
            day_U = latest_of_duplicates(batch.day_B[row_of_entry_E], needed)
        if self._is_replicated:
            return self._tell_all(places, needed, day_U)
        return self._ask_owners(places, needed, day_U)

    def _ask_owners(
        self, places: Places, needed: Distinct, day_U: Tensor | None
    ) -> "_Asking":
        slots_U = needed.values_U
        num_rows_to_rank = [len(slots_U)]
        if self._world.num_ranks > 1:
            first_rows = torch.searchsorted(
                slots_U, self._first_slots_N.to(slots_U.dtype)
            ).tolist()
            num_rows_to_rank = [
                after - first for first, after in zip(first_rows, [*first_rows[1:], len(slots_U)])
            ]
        requests = self._world.begin_exchange(slots_U, num_rows_to_rank, "embedding.ids")
        days = None if day_U is None else self._world.begin_exchange(
            day_U, num_rows_to_rank, "embedding.days"
        )
        is_alone = self._world.num_ranks == 1
        return _Asking(
            places, needed, num_rows_to_rank, requests, days, self._own_first_slot, is_alone
        )

    def _tell_all(
        self, places: Places, needed: Distinct, day_U: Tensor | None
    ) -> "_Telling":
        num_ranks, num_rows = self._world.num_ranks, len(needed.values_U)
        told = self._world.begin_exchange(
            needed.values_U.repeat(num_ranks), [num_rows] * num_ranks, "embedding.ids"
        )
        days = None if day_U is None else self._world.begin_exchange(
            day_U.repeat(num_ranks), [num_rows] * num_ranks, "embedding.days"
        )
        own = [num_rows if rank == self._world.rank else 0 for rank in range(num_ranks)]
        return _Telling(places, needed, own, told, days)


@dataclass(frozen=True)
class _Asking:
    """A route whose requests are on their way to the rows' owners."""

    places: Places
    needed: Distinct
    num_rows_to_rank: list[int]
    requests: Pending[tuple[Tensor, list[int]]]
    days: Pending[tuple[Tensor, list[int]]] | None
    own_first_slot: int
    is_alone: bool

    def wait(self) -> Route:
        """The route, once every rank's requests have arrived."""
        requested_R, num_rows_from_rank = self.requests.wait()
        day_R = None if self.days is None else self.days.wait()[0]
        moved = self.needed
        if not self.is_alone:
            requested_R -= self.own_first_slot
            moved = distinct(requested_R)
            day_R = None if day_R is None else latest_of_duplicates(day_R, moved)
        return Route(self.places, self.needed.values_U, self.num_rows_to_rank, requested_R,
                     num_rows_from_rank, moved, day_R)


@dataclass(frozen=True)
class _Telling:
    """A route of tables that every rank holds: all tell all which rows they will move."""

    places: Places
    needed: Distinct
    own_rows_of_rank: list[int]
    told: Pending[tuple[Tensor, list[int]]]
    days: Pending[tuple[Tensor, list[int]]] | None

    def wait(self) -> Route:
        """The route, once every rank has been heard."""
        slots_of_all, _ = self.told.wait()
        slots_U = self.needed.values_U
        num_rows_to_rank = [len(slots_U)] * len(self.own_rows_of_rank)
        moved = distinct(slots_of_all)
        day_O = None if self.days is None else latest_of_duplicates(self.days.wait()[0], moved)
        return Route(self.places, slots_U, num_rows_to_rank, slots_U, self.own_rows_of_rank, moved,
                     day_O)


@dataclass(frozen=True)
class _Vectors:
    """Vectors on their way to this rank."""

    arriving: Pending[tuple[Tensor, list[int]]]
    dtype: torch.dtype

    def wait(self) -> Tensor:
        """The vectors, by the rank that sent them."""
        vectors_NX, _ = self.arriving.wait()
        return vectors_NX.to(self.dtype)
