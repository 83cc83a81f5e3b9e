"""Trains the model of every fold on its samples, alone or as one of many Horovod ranks.

    horovodrun -np 8 python -m esmm_dist.train --config conf/kuairand.yaml
    python -m esmm_dist.train --set train.batch_size=8192

Leaves runs/<name>/ with config.yaml, and by fold curves/, events/ and checkpoints/. Without
--resume, all that an earlier run of the name left there is removed first.
"""

import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch

from esmm_dist.assembly import assemble, footprint, how_ids_differ, identity_of, pick_device
from esmm_dist.contract.batch import Batch
from esmm_dist.contract.command_line import (
    config_from,
    config_parser,
    file_errors_told,
    run_command,
)
from esmm_dist.contract.days import day_number
from esmm_dist.contract.encodings import Encodings, num_rows_of_table
from esmm_dist.contract.folds import Fold, folds_of
from esmm_dist.contract.manifest import Manifest, read_encodings
from esmm_dist.contract.sections import Config
from esmm_dist.contract.telling import tell
from esmm_dist.contract.world import World
from esmm_dist.distributed.elastic import run_in_world
from esmm_dist.model.method import Stage
from esmm_dist.planning import immature_notice, pin_manifest, plan_stages
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader
from esmm_dist.storage.address import path_of
from esmm_dist.storage.desk import Desk
from esmm_dist.storage.files import make_folder, remove
from esmm_dist.training.agreement import check_told_alike, told_by
from esmm_dist.training.checkpoint import (
    Index,
    remove_checkpoints,
    remove_older,
    write_checkpoint,
)
from esmm_dist.training.course import digest_of_course
from esmm_dist.training.interrupted_run import InterruptedRun
from esmm_dist.training.journal import Journal
from esmm_dist.training.loop import Learner, train
from esmm_dist.training.restore import restore
from esmm_dist.training.run_config import write_run_config
from esmm_dist.training.tower_optimizer import make_tower_optimizer, tower_tensors
from esmm_dist.warm_start import WarmStart

CHECKPOINTS = "checkpoints"

# What a run and its evaluation leave beside config and checkpoints.
RESULTS = ("metrics.json", "report.html", "predictions", "reference", "gate.json", "gate.html",
           "export", "curves", "events")


# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> None:
    """Parses the flags and trains."""
    parser = config_parser(__doc__)
    parser.add_argument("--resume", action="store_true",
                        help="go on from the last checkpoint of an interrupted run")
    arguments = parser.parse_args(argv)

    def run(world: World, have_begun: bool) -> None:
        with file_errors_told():
            train_run(config_from(arguments), world, resume=arguments.resume or have_begun)

    # The ranks connect before anything may be wrong, so that a mistake is told once.
    run_in_world(run)


def train_run(config: Config, world: World, *, resume: bool) -> None:
    """Trains every fold of a config in turn.

    Raises:
        InputError: on all ranks, before the first step, when they were told different things, or
            the samples, or the run that is resumed, do not fit the config or the ranks.
        OSError: the run's folder cannot be written.
    """
    check_told_alike(told_by(config), world)
    run_path = path_of(config.runs_path) / config.name
    folds = folds_of(config)
    interrupted = InterruptedRun({})
    if resume:
        interrupted = InterruptedRun.find(run_path / CHECKPOINTS, folds, world)
    manifest = pin_manifest(config, world, interrupted.manifest)
    encodings = read_encodings(config.samples.path, manifest)
    interrupted.check(
        config, folds, identity_of(config, encodings), world.num_ranks,
        how_ids_differ(config, encodings),
    )
    warm = None
    if interrupted.parent or not interrupted.checkpoints:
        warm = WarmStart.find(config, encodings, world, interrupted.parent)
    num_lanes = interrupted.num_lanes or config.train.num_lanes
    learned = {fold.name: fold if warm is None else warm.new_days(fold) for fold in folds}
    plans = plan_stages(config, learned, manifest, num_lanes, world)
    if world.rank == 0:
        notices = {plan.notice for of_fold in plans.values() for of_stage in of_fold
                   for plan in of_stage if plan.notice}
        told = (immature_notice(config, fold, manifest) for fold in learned.values())
        notices |= {notice for notice in told if notice}
        if warm is not None:
            notices.add(warm.notice)
        if resume and not interrupted.checkpoints:
            notices.add(f"no checkpoint under {run_path / CHECKPOINTS}: beginning anew")
        for notice in (*sorted(notices), footprint(config, encodings, world).line()):
            tell("notice", notice)
        begin_run(run_path, config, anew=not interrupted.checkpoints)
    world.barrier(name="begin")
    for number, fold in enumerate(folds, start=1):
        title = f"fold {fold.name} ({number}/{len(folds)})"
        # No name keeps its tables while the next one makes its own.
        FoldRun(config, fold, manifest, encodings, plans[fold.name], world, title, warm).run(
            interrupted.checkpoints.get(fold.name))


def begin_run(run_path: Path, config: Config, *, anew: bool) -> None:
    """Writes the config; anew, first removes whatever an earlier run, or its evaluation, left:
    nothing of it may pass for this run's."""
    if anew:
        remove_checkpoints(run_path / CHECKPOINTS)
        for name in RESULTS:
            remove(run_path / name)
    make_folder(run_path)
    write_run_config(run_path, config)


# ---------------------------------------------------------------------------------------------
# One fold
# ---------------------------------------------------------------------------------------------


class FoldRun:
    """The training of one model, from its first step or its last checkpoint to its last step."""

    def __init__(
        self, config: Config, fold: Fold, manifest: Manifest, encodings: Encodings,
        plans_of_stages: Sequence[Sequence[TrainPlan]], world: World, title: str,
        warm: WarmStart | None = None,
    ) -> None:
        """
        Args:
            plans_of_stages: the epochs of each stage of the method, one stage after the other.
            warm: what it begins from; none: from scratch.
        """
        self.config, self.fold, self.manifest = config, fold, manifest
        self.encodings = encodings
        self.plans_of_stages, self.world, self.title = plans_of_stages, world, title
        self.num_steps = sum(plan.num_steps for plans in plans_of_stages for plan in plans)
        self.device = pick_device(world)
        assembly = assemble(config, encodings, world, self.device, for_training=True)
        self.method, self.model, self.tables = assembly.method, assembly.model, assembly.tables
        self.optimizer = make_tower_optimizer(self.model, config.train.towers)
        self.run_path = path_of(config.runs_path) / config.name
        self.checkpoints = self.run_path / CHECKPOINTS / fold.name
        self.index = Index(
            identity=identity_of(config, encodings), step=0, num_steps=self.num_steps,
            manifest=manifest.number, course=digest_of_course(config, fold),
            num_ranks=world.num_ranks, num_lanes=plans_of_stages[0][0].num_lanes,
            num_rows_of_table=num_rows_of_table(config.features, encodings),
            parent=None if warm is None else warm.bundle.name,
            first_day=None if warm is None else warm.new_days(fold).train_days[0],
        )
        self.warm = warm
        self.journals: list[Journal] = []
        """Rank 0's."""

    def run(self, resumed: tuple[Path, Index] | None) -> None:
        """Takes all steps, or those that a checkpoint leaves to be done."""
        first_step = 0
        if resumed is not None:
            checkpoint, index = resumed
            restore(checkpoint, index, self.model, self.tables, self.optimizer)
            if self.world.rank == 0:  # a kill may have come between the last one and this
                remove_older(checkpoint, self.config.train.num_checkpoints_kept)
            first_step = index.step
        elif self.warm is not None:
            self.warm.begin(self.model, self.tables, self.optimizer)
        with ExitStack() as stack:
            if self.world.rank == 0:
                self.journals = [stack.enter_context(self._journal(first_step))]
            stage_start = 0
            for stage, plans in zip(self.method.stages, self.plans_of_stages, strict=True):
                stage_end = stage_start + sum(plan.num_steps for plan in plans)
                if first_step < stage_end:
                    self._train(stage, plans, stage_start, stage_end,
                                max(first_step, stage_start))
                stage_start = stage_end

    def _train(
        self, stage: Stage, plans: Sequence[TrainPlan], stage_start: int, stage_end: int,
        first_step: int,
    ) -> None:
        """Takes the steps of one stage, from its first or a later one on."""
        self.model.zero_grad(set_to_none=True)  # what has no gradient, the optimizer leaves alone
        learner = Learner(
            self.model.part(stage.trains, stage.reads), self.tables.part(stage.trains, stage.reads),
            self.optimizer, stage, self.world, [feature.name for feature in self.config.features],
            torch.bfloat16 if self.config.train.mixed_precision == "bfloat16" else None,
        )
        with closing(self._batches(stage, plans, first_step - stage_start)) as batches:
            train(
                learner, batches, first_step=first_step, num_steps=stage_end,
                batch_size=self.config.train.batch_size,
                steps_per_point=self.config.train.steps_per_log, on_point=self.journals,
                steps_per_checkpoint=self.config.train.steps_per_checkpoint,
                on_checkpoint=self._write_checkpoint,
            )

    def _batches(
        self, stage: Stage, plans: Sequence[TrainPlan], first_step: int
    ) -> Generator[Batch, None, None]:
        """This rank's batches of a stage from a step of it on, epoch after epoch."""
        reader = SampleReader(
            self.config.samples.path, self.manifest, self.config.features,
            with_keys=stage.needs_keys, with_delays=stage.needs_delays,
            pin_memory=self.device.type == "cuda",
            with_days=self.config.embedding.expire_days is not None,
        )
        start = 0
        for plan in plans:
            skipped = max(0, first_step - start)
            if skipped < plan.num_steps:
                with reader.train_batches(plan, self.world.rank, first_step=skipped) as batches:
                    for batch in batches:
                        yield self._counted(batch).to(self.device)
            start += plan.num_steps

    def _counted(self, batch: Batch) -> Batch:
        """The batch with the weights of the samples, or without where a correction stands for them.
        """
        if self.config.train.unclicked == "weighted":
            return batch
        return replace(batch, weight_B=(batch.weight_B > 0).to(batch.weight_B.dtype))

    def _journal(self, first_step: int) -> Journal:
        return Journal(
            title=self.title, desk=Desk(self.run_path), fold=self.fold.name,
            first_step=first_step, num_steps=self.num_steps,
            batch_size=self.config.train.batch_size,
        )

    def _expire(self) -> None:
        """Lets rows begin anew that none of the last training days has seen."""
        expire_days = self.config.embedding.expire_days
        if expire_days is None:
            return
        first_day = self.fold.train_days[-1] - timedelta(days=expire_days - 1)
        counts_2 = self.tables.expire(day_number(first_day))
        num_expired, num_left = self.world.sum(counts_2, name="expired").tolist()
        if self.world.rank == 0:
            told = footprint(self.config, self.encodings, self.world)
            tell("notice", told.expiry_line(num_expired, num_left, first_day))

    def _write_checkpoint(self, step: int) -> None:
        if step == self.num_steps:
            self._expire()
        for journal in self.journals:
            journal.save()
        write_checkpoint(
            self.checkpoints, towers=tower_tensors(self.model, self.optimizer),
            tables=self.tables.state(), buckets=self.tables.own_buckets,
            index=self.index.model_copy(update={"step": step}), world=self.world,
            num_kept=self.config.train.num_checkpoints_kept,
        )
        if self.world.rank == 0:
            tell("checkpoint", None, fold=self.fold.name, step=step, num_steps=self.num_steps)
        self.world.pause()


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:], "--resume goes on from the last checkpoint"))
