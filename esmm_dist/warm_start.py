"""Begins a training where a published model ended: which bundle that is, and what it takes over.

A retry must begin where the first try did, though the model it made may serve by then: so an alias
means the latest bundle of its line that has not learned from the last day to be trained on. Days
that the bundle has learned are not learned again.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Self

import torch
from torch import nn

from esmm_dist.assembly import how_ids_differ, identity_of
from esmm_dist.contract.days import day_number
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import Fold
from esmm_dist.contract.sections import Config, Train
from esmm_dist.contract.world import World
from esmm_dist.distributed.network_tables import NetworkTables
from esmm_dist.serving.bundle import Bundle
from esmm_dist.serving.store import BundleStore, store_of
from esmm_dist.training.checkpoint import Index
from esmm_dist.training.restore import restore


@dataclass(frozen=True)
class WarmStart:
    """A bundle that a training begins from."""

    bundle: Bundle
    index: Index
    with_optimizer: bool
    with_days: bool
    """Whether rows keep the day on which they were last seen."""

    @classmethod
    def find(
        cls, config: Config, encodings: Encodings, world: World, pinned: str | None = None
    ) -> Self | None:
        """What a config asks to begin from; called by all ranks, which get the same.

        Args:
            pinned: the bundle that an interrupted run began from.

        Returns:
            None to begin from scratch.

        Raises:
            InputError: there is no such bundle, it is not whole, it has learned from the days to
                come, or is of other features, ids, networks or optimizers.
        """
        section = config.train
        if section.warm_start is None:
            return None
        store = store_of(config)
        name = pinned or _agreed(store, config, world)
        if name is None:
            return None
        bundle = store.open(name)
        index = Index.read(bundle.model_path)
        index.identity.check(
            identity_of(config, encodings), bundle.model_path, how_ids_differ(config, encodings)
        )
        with_optimizer = section.warm_optimizer == "keep"
        if with_optimizer:
            _check_optimizers(bundle, section, index)
        return cls(bundle, index, with_optimizer, config.embedding.expire_days is not None)

    def new_days(self, fold: Fold) -> Fold:
        """The fold without the training days that the bundle has learned."""
        last = self.bundle.index.train_days.last
        return replace(fold, train_days=tuple(day for day in fold.train_days if day > last))

    @property
    def notice(self) -> str:
        """What is begun from."""
        days, kept = self.bundle.index.train_days, "kept" if self.with_optimizer else "reset"
        return (f"begins from {self.bundle.name[:12]} ({self.bundle.index.run}), which learned up "
                f"to {days.last}; optimizer state {kept}")

    def begin(
        self, model: nn.Module, tables: NetworkTables, optimizer: torch.optim.Optimizer
    ) -> None:
        """Takes over the weights, and if asked for the optimizers' state; called by all ranks.

        The rows of a bundle that kept no days count as seen on the last day that it learned from.
        """
        restore(
            self.bundle.model_path, self.index, model, tables,
            optimizer if self.with_optimizer else None, weights_only=not self.with_optimizer,
        )
        if self.with_days and self.bundle.config.embedding.expire_days is None:
            tables.count_as_seen(day_number(self.bundle.index.train_days.last))


def _agreed(store: BundleStore, config: Config, world: World) -> str | None:
    """What rank 0 finds, on every rank: an alias may be switched between two looks."""
    name, mistake = None, None
    if world.rank == 0:
        try:
            name = _named(store, config)
        except InputError as error:
            mistake = str(error)
    found = world.gather_objects([name, mistake], name="warm start")[0]
    assert isinstance(found, list)
    if found[1] is not None:
        raise InputError(found[1])
    agreed: str | None = found[0]
    return agreed


def _named(store: BundleStore, config: Config) -> str | None:
    """The name of the bundle to begin from; None to begin from scratch."""
    section, last = config.train, config.train.days.last
    reference = section.warm_start or ""
    from_scratch = section.warm_first == "from_scratch"
    if from_scratch and not store.has(reference):
        return None
    bundle = store.open(reference)
    found = _before(store, bundle, last)
    if found is not None:
        return found.name
    if from_scratch:
        return None
    days = bundle.index.train_days
    raise InputError(
        f"train.warm_start = {reference}: {bundle.name[:12]} has learned from {days.first} to "
        f"{days.last}, and so did all it came from; train.days end on {last}: give an earlier "
        "bundle, or later days"
    )


def _before(store: BundleStore, bundle: Bundle, day: date) -> Bundle | None:
    """The bundle, or the latest of those it came from that has not learned from a day yet."""
    while bundle.index.train_days.last >= day:
        if bundle.index.parent is None:
            return None
        bundle = store.open(bundle.index.parent)
    return bundle


def _check_optimizers(bundle: Bundle, section: Train, index: Index) -> None:
    """Another optimizer's state means nothing to this one."""
    before = bundle.config.train
    for part in ("towers", "tables"):
        found, wanted = getattr(before, part).name, getattr(section, part).name
        if found != wanted:
            raise InputError(
                f"train.warm_optimizer = keep: {bundle.name[:12]} was trained with train.{part}."
                f"name = {found}, the config says {wanted}: take reset"
            )
    if not index.has_optimizer:
        raise InputError(
            f"train.warm_optimizer = keep: {bundle.name[:12]} holds no optimizer state: take "
            "reset, or publish with publish.optimizer_state"
        )
