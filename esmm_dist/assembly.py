"""Puts the parts of a learner together as a config asks: the one place that knows all of them.

Training, evaluation and export share it, so that what is measured is what was trained.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.encodings import Encodings, num_rows_of_table
from esmm_dist.contract.features import fingerprint
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.row_optimizers import row_optimizer
from esmm_dist.model.network import Logits, Network
from esmm_dist.training.checkpoint import Identity, Index
from esmm_dist.training.restore import restore

Predict = Callable[[Batch], tuple[Tensor, Tensor]]

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Assembly:
    """A network and the tables it looks its fields up in."""

    model: Network
    tables: ShardedEmbedding


def pick_device(world: World) -> torch.device:
    """This rank's GPU where there is one, else its share of the machine's cores."""
    if torch.cuda.is_available():
        torch.cuda.set_device(world.local_rank)
        return torch.device("cuda", world.local_rank)
    if "OMP_NUM_THREADS" not in os.environ:
        # Ranks that each start a thread a core spin against one another: docs/LOG.md.
        cores = len(os.sched_getaffinity(0))
        torch.set_num_threads(max(1, cores // world.num_local_ranks))
    return torch.device("cpu")


def assemble(
    config: Config,
    encodings: Encodings,
    world: World,
    device: torch.device,
    *,
    for_training: bool,
) -> Assembly:
    """Network and tables as they stand before the first step, the same for any number of ranks.

    Args:
        for_training: whether the tables keep memory for their optimizer's state.
    """
    dtype = DTYPES[config.train.precision]
    tables = ShardedEmbedding(
        config.features,
        num_rows_of_table(config.features, encodings),
        config.model.embedding_dim,
        world,
        row_optimizer(config.train.tables) if for_training else None,
        config.train.seed,
        dtype,
        device,
    )
    model = Network(config.features, config.model, config.train.seed, dtype)
    return Assembly(model.to(device), tables)


def identity_of(config: Config, encodings: Encodings) -> Identity:
    """What a checkpoint of this config is."""
    model = {"model": config.model.model_dump(mode="json"), "precision": config.train.precision}
    return Identity(
        fingerprint=fingerprint(config.features),
        encodings=encodings.content_hash,
        model=hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest(),
    )


def load_predictor(
    checkpoint: Path, config: Config, encodings: Encodings, world: World, device: torch.device
) -> Predict:
    """A trained model as a function of a batch; called by all ranks in step.

    Returns:
        batch -> ctr_logit_B, cvr_logit_B

    Raises:
        InputError: the checkpoint is incomplete, damaged, or of another config.
    """
    index = Index.read(checkpoint)
    index.identity.check(identity_of(config, encodings), checkpoint)
    assembly = assemble(config, encodings, world, device, for_training=False)
    restore(checkpoint, index, assembly.model, assembly.tables)

    def predict(batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            route = assembly.tables.route(batch.to(device))
            logits: Logits = assembly.model(assembly.tables.fetch(route), route.places)
        return logits.ctr_logit_B, logits.cvr_logit_B

    return predict
