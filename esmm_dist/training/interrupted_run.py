"""An interrupted run as all of its ranks find it: the last checkpoint of every fold that has one.

It restores nothing, and changes nothing on disk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import Fold
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.training.checkpoint import Index, digest_of_checkpoint, latest_checkpoint
from esmm_dist.training.course import digest_of_course
from esmm_dist.training.identity import Identity


@dataclass(frozen=True)
class InterruptedRun:
    """What there is to resume; nothing, where a run begins anew."""

    checkpoints: Mapping[str, tuple[Path, Index]]
    """By fold; a fold that never wrote one is left out."""

    @classmethod
    def find(cls, directory: Path, folds: Sequence[Fold], world: World) -> Self:
        """Looks below a run's checkpoints; called by all ranks.

        Raises:
            InputError: an index is damaged, or not all ranks find the same checkpoints, which would
                begin at different steps.
        """
        latest = {fold.name: latest_checkpoint(directory / fold.name) for fold in folds}
        found = {
            fold: (checkpoint, Index.read(checkpoint))
            for fold, checkpoint in latest.items() if checkpoint is not None
        }
        own = {fold: f"{path.name} ({digest_of_checkpoint(path)[:12]})"
               for fold, (path, _) in found.items()}
        told = world.gather_objects([own.get(fold.name) for fold in folds], name="resume")
        _check_alike(told, folds, directory)
        return cls(found)

    @property
    def manifest(self) -> int | None:
        """The manifest that the run is pinned to; None if it never wrote a checkpoint."""
        return next((index.manifest for _, index in self.checkpoints.values()), None)

    @property
    def num_lanes(self) -> int | None:
        """The lanes that its batches were cut in; None if it never wrote a checkpoint."""
        return next((index.num_lanes for _, index in self.checkpoints.values()), None)

    @property
    def parent(self) -> str | None:
        """The bundle that it began from; None if it began from scratch."""
        return next((index.parent for _, index in self.checkpoints.values()), None)

    def check(
        self, config: Config, folds: Sequence[Fold], identity: Identity, num_ranks: int,
        how_ids_differ: Callable[[str], str],
    ) -> None:
        """Refuses to go on as something else, or with other batches.

        Args:
            how_ids_differ: as `Identity.check` takes it.

        Raises:
            InputError: a checkpoint is of another model or course, or the ranks cannot share the
                run's lanes evenly.
        """
        for fold in folds:
            if fold.name not in self.checkpoints:
                continue
            path, index = self.checkpoints[fold.name]
            index.identity.check(identity, path, how_ids_differ)
            if index.course != digest_of_course(config, fold):
                raise InputError(
                    f"{path}: it was trained by another train section or on other days: resume "
                    "with the config the run began with, or train anew without --resume"
                )
            if index.num_lanes % num_ranks:
                fitting = [n for n in range(1, index.num_lanes + 1) if index.num_lanes % n == 0]
                raise InputError(
                    f"{path}: its batches are cut in {index.num_lanes} lanes, which {num_ranks} "
                    f"ranks cannot share evenly: resume on {_alternatives(fitting)} ranks, or "
                    "train anew without --resume"
                )


def _check_alike(told: Sequence[object], folds: Sequence[Fold], directory: Path) -> None:
    """Refuses ranks that would begin at different steps: each tells its checkpoint of each fold."""
    for rank, of_rank in enumerate(told):
        if of_rank != told[0]:
            assert isinstance(of_rank, list) and isinstance(told[0], list)
            fold, first, other = next(
                (fold.name, a or "none", b or "none")
                for fold, a, b in zip(folds, told[0], of_rank, strict=True) if a != b
            )
            raise InputError(
                f"{directory}: the last checkpoint of fold {fold} is {first} on rank 0, {other} on "
                f"rank {rank}: all ranks must share one runs_path"
            )


def _alternatives(numbers: Sequence[int]) -> str:
    """Numbers as a sentence names them: 1, 2, 4 or 8."""
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last
