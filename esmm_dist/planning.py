"""Plans the epochs of a fold: of which samples, which rows take part, and who reads them.

Called by all ranks in step; they share the counting, and none opens a file for training yet.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import Fold
from esmm_dist.contract.manifest import Manifest, read_manifest
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.contract.schema import FAKE_NEGATIVE, MATURE
from esmm_dist.contract.sections import Config
from esmm_dist.contract.settings import check_settings
from esmm_dist.contract.world import World
from esmm_dist.model.method import method_of
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader
from esmm_dist.training.agreement import check_told_alike


def pin_manifest(config: Config, world: World, pinned: int | None) -> Manifest:
    """The manifest of a resumed run, else the latest as rank 0 sees it; all ranks read the same.

    Raises:
        InputError: there is none, it was built for other features, or is not the same for all.
    """
    seen = read_manifest(config.samples.path, pinned).number
    number = world.gather_objects(seen, name="manifest")[0]
    assert isinstance(number, int)
    manifest = read_manifest(config.samples.path, number)
    digest = hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()
    check_told_alike({f"samples manifest {number}": digest[:12]}, world)
    check_settings(manifest, config, config.samples.path)
    return manifest


def plan_stages(
    config: Config, folds: Mapping[str, Fold], manifest: Manifest, num_lanes: int, world: World
) -> dict[str, list[tuple[TrainPlan, ...]]]:
    """By fold the epochs of every stage of the config's method: whatever can be known to be amiss
    with method and samples before the first step, is known then.

    Args:
        num_lanes: as `plan_epochs` takes it.

    Raises:
        InputError: the method does not fit the model section or the rules by which the samples were
            labelled; or as `plan_epochs`.
    """
    stages = method_of(config.model, config.train.seed).stages
    for check in (stage.check_samples for stage in stages if stage.check_samples):
        check(config.samples)
    return {
        name: [plan_epochs(config, fold, manifest, stage.rows, num_lanes, world)
               for stage in stages]
        for name, fold in folds.items()
    }


def plan_epochs(
    config: Config, fold: Fold, manifest: Manifest, multiplicity: Multiplicity, num_lanes: int,
    world: World,
) -> tuple[TrainPlan, ...]:
    """Who reads what in each epoch of a fold.

    Args:
        multiplicity: how often a row takes part, as far as the method has a say; immature rows
            take none where train.immature excludes them.
        num_lanes: of the run that is resumed, else of the config.

    Raises:
        InputError: a training day was not built, the method needs fake negatives and there are
            none, or what takes part is less than a global batch.
    """
    reader = SampleReader(config.samples.path, manifest, config.features, with_keys=False)
    files = reader.files(fold.train_days)
    if multiplicity.fake_negatives and FAKE_NEGATIVE not in manifest.columns:
        raise InputError(
            f"model.method = {config.model.method}: it learns from fake negatives, and "
            f"{config.samples.path} holds none: build it with samples.label_stream fake_negative"
        )
    if config.train.immature == "exclude" and num_immature(config, fold, manifest):
        multiplicity = replace(multiplicity, required=(*multiplicity.required, MATURE))
    plans = []
    rows_of_file: list[int] | None = None
    for epoch in range(config.train.num_epochs):
        if not multiplicity.is_trivial and (epoch == 0 or multiplicity.draws):
            own = files[world.rank :: world.num_ranks]
            counted = world.gather_objects(
                reader.count_rows(own, multiplicity, config.train.seed, epoch), name="count"
            )
            rows_of_file = _in_turn(counted, len(files))
        plans.append(TrainPlan.make(
            files, batch_size=config.train.batch_size, num_lanes=num_lanes,
            seed=config.train.seed, epoch=epoch, num_ranks=world.num_ranks,
            multiplicity=multiplicity, rows_of_file=rows_of_file,
        ))
    return tuple(plans)


def num_immature(config: Config, fold: Fold, manifest: Manifest) -> int:
    """Samples of the training days whose labels were not final."""
    days = manifest.select(fold.train_days, config.samples.path)
    return sum(day.num_immature for day in days)


def immature_notice(config: Config, fold: Fold, manifest: Manifest) -> str | None:
    """What the user should know about the labels that a fold learns from, if anything."""
    num_rows = num_immature(config, fold, manifest)
    if not num_rows:
        return None
    fate = (
        "left out (train.immature)" if config.train.immature == "exclude"
        else "taken as they are: labels of 0 may still become 1 (train.immature)"
    )
    return f"fold {fold.name}: {num_rows:,} samples of its training days are immature, {fate}"


def _in_turn(parts: list[object], num_items: int) -> list[int]:
    """The items that were dealt to the ranks one by one, in their order again."""
    items = [0] * num_items
    for rank, part in enumerate(parts):
        assert isinstance(part, list)
        items[rank :: len(parts)] = part
    return items
