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
from esmm_dist.contract.world import Pending, World
from esmm_dist.distributed.distinct import Distinct, distinct
from esmm_dist.distributed.entries import EntryFinder


@dataclass(frozen=True)
class Route:
    """What one batch needs of the tables and what the others need of this rank."""

    places: Places
    """For the model: the rows of each field vector."""
    slots_U: Tensor
    """int64, ascending in the whole space, hence by owner."""
    num_rows_to_rank: list[int]
    """How many of them each rank owns."""
    requested_R: Tensor
    """int64, slots of this rank."""
    num_rows_from_rank: list[int]
    """How many of them each rank asked for."""
    owned: Distinct
    """`requested_R` without its duplicates."""


class Router:
    """Finds routes; called by all ranks in step."""

    def __init__(
        self, features: Sequence[Feature], space: RowSpace, world: World, device: torch.device
    ) -> None:
        self._world = world
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
        return self._travel(values_RX, route.num_rows_from_rank, "embedding.rows")

    def to_owners(self, values_UX: Tensor, route: Route) -> Pending[Tensor]:
        """Begins to send back what belongs to this rank's rows; brings (R, X) of the others'."""
        return self._travel(values_UX, route.num_rows_to_rank, "embedding.gradients")

    def _travel(self, values_NX: Tensor, num_rows_to_rank: list[int], name: str) -> "_Vectors":
        return _Vectors(self._world.begin_exchange(values_NX, num_rows_to_rank, name))

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
        return _RouteAhead(self._world, places, needed, self._first_slots_N, self._own_first_slot)


class _RouteAhead:
    """A route whose requests are on their way."""

    def __init__(
        self, world: World, places: Places, needed: Distinct, first_slots_N: Tensor,
        own_first_slot: int,
    ) -> None:
        self._places, self._needed, self._own_first_slot = places, needed, own_first_slot
        slots_U = needed.values_U
        self._num_rows_to_rank = [len(slots_U)]
        if world.num_ranks > 1:
            first_rows = torch.searchsorted(slots_U, first_slots_N).tolist()
            self._num_rows_to_rank = [
                after - first for first, after in zip(first_rows, [*first_rows[1:], len(slots_U)])
            ]
        self._is_alone = world.num_ranks == 1
        self._requests = world.begin_exchange(slots_U, self._num_rows_to_rank, "embedding.ids")

    def wait(self) -> Route:
        """The route, once every rank's requests have arrived."""
        requested_R, num_rows_from_rank = self._requests.wait()
        owned = self._needed
        if not self._is_alone:
            requested_R -= self._own_first_slot
            owned = distinct(requested_R)
        return Route(
            self._places, self._needed.values_U, self._num_rows_to_rank, requested_R,
            num_rows_from_rank, owned,
        )


@dataclass(frozen=True)
class _Vectors:
    """Vectors on their way to this rank."""

    arriving: Pending[tuple[Tensor, list[int]]]

    def wait(self) -> Tensor:
        """The vectors, by the rank that sent them."""
        vectors_NX, _ = self.arriving.wait()
        return vectors_NX
