"""The tables of several networks that share no embedding: each has its own rows for every id.

The networks look up the same ids, so that one route serves them all. It knows no loss.

Shape legend: U distinct rows of a batch; D their width; X = D times the networks asked for, network
by network.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.row_space import RowSpace
from esmm_dist.contract.world import Pending
from esmm_dist.distributed.embedding import Leaf, ShardedEmbedding
from esmm_dist.distributed.routing import Route


class NetworkTables:
    """All tables of a method: what a checkpoint holds."""

    def __init__(self, tables_of_network: Mapping[str, ShardedEmbedding]) -> None:
        """Takes tables of one row space."""
        self._tables = dict(tables_of_network)
        first = next(iter(self._tables.values()))
        self.buckets, self.own_buckets = first.buckets, first.own_buckets

    def part(self, trained: Sequence[str], read: Sequence[str]) -> "TablesInUse":
        """Those that a stage needs, in this order."""
        return TablesInUse(
            [self._tables[name] for name in trained], [self._tables[name] for name in read]
        )

    def state(self) -> dict[str, Tensor]:
        """As ShardedEmbedding.state, by `<network>/<name>`."""
        return {
            f"{network}/{name}": tensor
            for network, tables in self._tables.items() for name, tensor in tables.state().items()
        }

    def expire(self, before_day: int) -> Tensor:
        """As ShardedEmbedding.expire, of all networks together."""
        return torch.stack([tables.expire(before_day) for tables in self._tables.values()]).sum(0)

    def count_as_seen(self, day: int) -> None:
        """As ShardedEmbedding.count_as_seen."""
        for tables in self._tables.values():
            tables.count_as_seen(day)

    def load_buckets(
        self, first_bucket: int, tensors: Mapping[str, Tensor], space: RowSpace,
        weights_only: bool = False,
    ) -> None:
        """As ShardedEmbedding.load_buckets, of tensors named as `state` does.

        Raises:
            InputError: a network's shard lacks a tensor or a table, or has more rows of one.
        """
        for network, tables in self._tables.items():
            prefix = f"{network}/"
            own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()
                   if name.startswith(prefix)}
            tables.load_buckets(first_bucket, own, space, weights_only)


class TablesInUse:
    """The tables of one stage: the rows of several networks side by side."""

    def __init__(
        self, trained: Sequence[ShardedEmbedding], read: Sequence[ShardedEmbedding]
    ) -> None:
        self._trained = tuple(trained)
        self._all = (*trained, *read)
        self._router = self._all[0].router

    def begin_route(self, batch: Batch) -> Pending[Route]:
        """Begins to find the distinct rows of a batch, of all networks alike."""
        return self._all[0].begin_route(batch)

    def route(self, batch: Batch) -> Route:
        """The same, waited for."""
        return self.begin_route(batch).wait()

    def begin_fetch(self, route: Route) -> Pending[Tensor]:
        """Begins to fetch the rows, (U, X), a leaf that takes a gradient."""
        if len(self._all) == 1:
            return self._all[0].begin_fetch(route)
        rows_RX = torch.cat([tables.asked_rows(route) for tables in self._all], dim=1)
        return Leaf(self._router.to_askers(rows_RX, route))

    def fetch(self, route: Route) -> Tensor:
        """The same, waited for."""
        return self.begin_fetch(route).wait()

    def send(self, route: Route, grad_UX: Tensor) -> Pending[Tensor]:
        """Begins to send the gradients of those that are trained to the rows' owners."""
        width = grad_UX.shape[1] // len(self._all) * len(self._trained)
        return self._router.to_owners(grad_UX[:, :width], route)

    def apply(self, route: Route, grad_RX: Tensor, scale: float) -> None:
        """As ShardedEmbedding.apply, for every network that is trained."""
        width = grad_RX.shape[1] // len(self._trained)
        for tables, grad_RD in zip(self._trained, grad_RX.split(width, dim=1), strict=True):
            tables.apply(route, grad_RD.contiguous(), scale)
