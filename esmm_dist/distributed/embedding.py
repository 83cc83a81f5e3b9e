"""Embedding tables sharded by row over the ranks, trained where they lie.

It knows no loss and writes no file. A step costs what the batch holds, whatever the tables' size:

    route = embedding.route(batch)            ids -> distinct rows -> their owners
    rows_UD = embedding.fetch(route)          owners -> rows, a leaf that takes a gradient
    ... model(rows_UD, route.places), backward ...
    sent = embedding.send(route, rows_UD.grad)        gradients -> owners
    embedding.apply(route, sent.wait(), scale)        owners update the rows seen

Routes and rows may be begun and waited for later, too. A rank whose batch is empty, or touches no
row of another rank, takes part all the same.

Shape legend: B rows of this rank's batch; U distinct rows it needs; D their width; S slots of this
rank; R rows asked of this rank, by the rank that asks, then ascending; O distinct ones among them;
K buckets that a rank holds or, of replicated ones, answers for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature
from esmm_dist.contract.row_space import NUM_BUCKETS, RowSpace, buckets_of_rank
from esmm_dist.contract.world import Pending, World
from esmm_dist.distributed.admission import SIGHTINGS
from esmm_dist.distributed.distinct import sums_of_duplicates
from esmm_dist.distributed.expiry import LAST_SEEN, begin_anew, new_days, note_days
from esmm_dist.distributed.initial_rows import fill_initial_rows
from esmm_dist.distributed.memory import zeros
from esmm_dist.distributed.routing import Route, Router
from esmm_dist.distributed.row_optimizers import RowOptimizer

# A null, or a value out of the vocabulary, is a row like another: what is missing is told to the
# model too. Nothing is padded, so no row has to be kept at zero.
INITIAL_STD = 0.01

ROWS = "rows"
# Known of a row beside what its optimizer remembers.
OF_SIGHTINGS = (SIGHTINGS, LAST_SEEN)


class ShardedEmbedding:
    """The tables of one width; this rank holds the buckets dealt to it."""

    def __init__(
        self,
        features: Sequence[Feature],
        num_rows_of_table: Mapping[str, int],
        dim: int,
        world: World,
        optimizer: RowOptimizer | None,
        seed: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        initial_std: float = INITIAL_STD,
        travel_dtype: torch.dtype = torch.float64,
        is_replicated: bool = False,
        notes_days: bool = False,
    ) -> None:
        """Makes this rank's shard with its initial values.

        Args:
            features: in order of declaration.
            num_rows_of_table: rows of each table that the features name.
            optimizer: None where nothing is trained: no memory is spent on its state.
            travel_dtype: vectors of a wider type travel between ranks as this one.
            is_replicated: this rank holds all buckets.
            notes_days: of each row the day is kept on which it was last seen, for `expire`; batches
                tell their rows' days then.
        """
        self.space = RowSpace(num_rows_of_table)
        self.own_buckets = buckets_of_rank(world.rank, world.num_ranks)
        self.buckets = range(NUM_BUCKETS) if is_replicated else self.own_buckets
        self._num_ranks = world.num_ranks
        self._optimizer = optimizer
        device = torch.device(device)
        self.router = Router(
            features, self.space, world, device, travel_dtype, is_replicated
        )
        num_slots = len(self.space.slots_of_buckets(self.buckets))
        self._rows_SD = zeros((num_slots, dim), dtype, device)
        rows_KSD = self._by_bucket(self._rows_SD)
        self._seed, self._initial_std = seed, initial_std
        fill_initial_rows(rows_KSD, self.buckets, self.space, seed, initial_std)
        self._state = optimizer.new_state(self._rows_SD) if optimizer else {}
        if optimizer and notes_days:
            self._state[LAST_SEEN] = new_days(self._rows_SD)

    def begin_route(self, batch: Batch) -> Pending[Route]:
        """Finds the distinct rows of a batch and sends their owners word.

        Raises:
            InputError: an id lies outside its table.
        """
        return self.router.begin(batch)

    def route(self, batch: Batch) -> Route:
        """The same, waited for."""
        return self.begin_route(batch).wait()

    def asked_rows(self, route: Route) -> Tensor:
        """The rows that the ranks have asked this one for, as they are now, (R, D)."""
        return self._rows_SD.index_select(0, route.requested_R)

    def begin_fetch(self, route: Route) -> Pending[Tensor]:
        """Begins to fetch the rows of a route as they are now, (U, D), a leaf that takes a
        gradient."""
        return Leaf(self.router.to_askers(self.asked_rows(route), route))

    def fetch(self, route: Route) -> Tensor:
        """The same, waited for."""
        return self.begin_fetch(route).wait()

    def send(self, route: Route, grad_UD: Tensor) -> Pending[Tensor]:
        """Begins to send the gradient of this rank's rows to their owners."""
        return self.router.to_owners(grad_UD, route)

    def apply(self, route: Route, grad_RD: Tensor, scale: float) -> None:
        """Updates every row that some rank has seen, once, by `scale` times the sum of gradients.

        Duplicates are summed in the order of ranks, so that a run can be repeated bit by bit.

        Args:
            grad_RD: what `send` brought; it is used up.
            scale: 1 / the global weight, where the loss was summed.
        """
        assert self._optimizer is not None
        slots_O = route.moved.values_U.long()
        grad_OD = grad_RD
        if self._num_ranks > 1:
            grad_OD = sums_of_duplicates(grad_RD, route.moved)
        self._optimizer.step(self._rows_SD, self._state, slots_O, grad_OD.mul_(scale))
        if route.day_O is not None and LAST_SEEN in self._state:
            note_days(self._state[LAST_SEEN], slots_O, route.day_O)

    def expire(self, before_day: int) -> Tensor:
        """Lets the rows that were last seen before a day begin anew.

        Returns:
            How many of `own_buckets` did, and how many that were seen are left, (2,).
        """
        held = self._held()
        counts_K2 = begin_anew(
            held.pop(ROWS), held, before_day, self.buckets, self.space, self._seed,
            self._initial_std,
        )
        return counts_K2[self._own].sum(0)

    def count_as_seen(self, day: int) -> None:
        """Takes every row for seen on a day, where it is not known when it was."""
        self._state[LAST_SEEN].fill_(day)

    def state(self) -> dict[str, Tensor]:
        """This rank's rows and what the optimizer remembers of them, for a checkpoint.

        Returns:
            By name: views (not copies) of shape (K, slots per bucket, ...) of `own_buckets`: the
            ranks' states are the whole, each row once. With `space` they say all that
            `load_buckets` needs.
        """
        return {name: tensor_KS[self._own] for name, tensor_KS in self._held().items()}

    @property
    def _own(self) -> slice:
        """Where `own_buckets` stand among those held."""
        first = self.own_buckets.start - self.buckets.start
        return slice(first, first + len(self.own_buckets))

    def _held(self) -> dict[str, Tensor]:
        """All that this rank holds, by bucket."""
        return {
            name: self._by_bucket(tensor)
            for name, tensor in {ROWS: self._rows_SD, **self._state}.items()
        }

    def load_buckets(
        self, first_bucket: int, tensors: Mapping[str, Tensor], space: RowSpace,
        weights_only: bool = False,
    ) -> None:
        """Takes over what a checkpoint's shard holds of this rank's buckets.

        Any number of ranks may have written the shards, and tables may have grown since: rows
        that a shard does not hold keep their initial values.

        Args:
            first_bucket: of the shard.
            tensors: the `state()` of the rank that wrote it; more names than needed do no harm.
            space: that rank's row space.
            weights_only: the optimizer's state stays as it is; how often and when rows have been
                seen is no part of it, for a row that was admitted goes on learning.

        Raises:
            InputError: the shard lacks a tensor or a table, or has more rows of one.
        """
        taken = self._held()
        if LAST_SEEN not in tensors:  # written before days were asked for: see `count_as_seen`
            taken.pop(LAST_SEEN, None)
        if weights_only:
            taken = {name: held for name, held in taken.items()
                     if name == ROWS or (name in OF_SIGHTINGS and name in tensors)}
        self._check_growth(taken, tensors, space)
        num_buckets = len(tensors[ROWS])
        first = max(first_bucket, self.buckets.start)
        after = min(first_bucket + num_buckets, self.buckets.stop)
        if first >= after:
            return
        for name, own in taken.items():
            own_KS = own[first - self.buckets.start : after - self.buckets.start]
            read_KS = tensors[name][first - first_bucket : after - first_bucket]
            for table, read in space.slots_of_table.items():
                start = self.space.slots_of_table[table].start
                own_KS[:, start : start + len(read)] = read_KS[:, read.start : read.stop]

    def _check_growth(
        self, taken: Iterable[str], tensors: Mapping[str, Tensor], space: RowSpace
    ) -> None:
        for name in taken:
            if name not in tensors:
                raise InputError(
                    f"the checkpoint holds no {name!r} (it has {', '.join(sorted(tensors))}): "
                    "train.tables must name the optimizer it was written with"
                )
        for table, num_rows in space.num_rows_of_table.items():
            own_rows = self.space.num_rows_of_table.get(table)
            if own_rows is None or own_rows < num_rows:
                raise InputError(
                    f"table {table!r}: the checkpoint holds {num_rows:,} rows, the samples' "
                    f"encodings give {own_rows or 0:,}: tables may only grow"
                )

    def _by_bucket(self, tensor_SX: Tensor) -> Tensor:
        return tensor_SX.unflatten(0, (len(self.buckets), self.space.slots_per_bucket))


@dataclass(frozen=True)
class Leaf:
    """Rows on their way, which will take a gradient where gradients are taken."""

    arriving: Pending[Tensor]

    def wait(self) -> Tensor:
        """The rows."""
        return self.arriving.wait().requires_grad_(torch.is_grad_enabled())
