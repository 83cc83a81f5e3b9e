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

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.encodings import Encodings, differences, num_rows_of_table
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import fingerprint
from esmm_dist.contract.manifest import ENCODINGS
from esmm_dist.contract.row_space import RowSpace
from esmm_dist.contract.sections import Config
from esmm_dist.contract.seeds import seed_of_part
from esmm_dist.contract.world import World
from esmm_dist.distributed.admission import Admission
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.footprint import Footprint
from esmm_dist.distributed.memory import available_bytes, keep_freed_memory
from esmm_dist.distributed.network_tables import NetworkTables
from esmm_dist.distributed.row_optimizers import RowOptimizer, row_optimizer
from esmm_dist.interchange.tables import WholeTables
from esmm_dist.model.method import Method, Prediction, method_of, over_all_impressions
from esmm_dist.model.network import Networks
from esmm_dist.model.served import ServedModel
from esmm_dist.storage.address import path_of
from esmm_dist.training.checkpoint import Index
from esmm_dist.training.identity import Identity
from esmm_dist.training.restore import restore

Predict = Callable[[Batch], Prediction]

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Assembly:
    """A method's networks and the tables they look their fields up in."""

    method: Method
    model: Networks
    tables: NetworkTables


def pick_device(world: World) -> torch.device:
    """This rank's GPU where there is one, else its share of the machine's cores."""
    if torch.cuda.is_available():
        torch.cuda.set_device(world.local_rank)
        return torch.device("cuda", world.local_rank)
    if "OMP_NUM_THREADS" not in os.environ:
        # Ranks that each start a thread a core spin against one another: docs/LOG.md.
        cores = len(os.sched_getaffinity(0))
        torch.set_num_threads(max(1, cores // world.num_local_ranks))
    keep_freed_memory()
    return torch.device("cpu")


def assemble(
    config: Config,
    encodings: Encodings,
    world: World,
    device: torch.device,
    *,
    for_training: bool,
) -> Assembly:
    """Networks and tables as they stand before the first step, the same for any number of ranks.

    Args:
        for_training: whether the tables keep memory for their optimizer's state, and rows may be
            rounded on their way.

    Raises:
        InputError: the method cannot be made of the model section, or the tables do not fit into
            the memory of some rank.
    """
    dtype, seed = DTYPES[config.train.precision], config.train.seed
    exchange = config.embedding.exchange
    method = method_in(config)
    needed = footprint(config, encodings, world, for_training=for_training)
    left = available_bytes(device, world.num_local_ranks)
    needed.check([int(str(n)) for n in world.gather_objects(left, name="memory")])
    tables_of_network = {
        network: ShardedEmbedding(
            config.features,
            num_rows_of_table(config.features, encodings),
            config.model.embedding_dim,
            world,
            _optimizer_of_rows(config) if for_training else None,
            seed_of_part(seed, number),
            dtype,
            device,
            travel_dtype=torch.float16 if for_training and exchange == "float16" else dtype,
            is_replicated=config.embedding.parallel == "replicated",
            notes_days=config.embedding.expire_days is not None,
        )
        for number, network in enumerate(method.networks)
    }
    model = Networks.of(config.features, config.model, method.networks, seed, dtype)
    return Assembly(method, model.to(device), NetworkTables(tables_of_network))


def method_in(config: Config) -> Method:
    """The method of a config, whose predictions are those over all impressions.

    Raises:
        InputError: it cannot be made of the model section.
    """
    method = method_of(config.model, config.train.seed)
    if config.train.unclicked == "corrected":
        return over_all_impressions(method, config.samples.unclicked_rate)
    return method


def footprint(
    config: Config, encodings: Encodings, world: World, *, for_training: bool = True
) -> Footprint:
    """What the tables of a config will take of the ranks' memory."""
    return Footprint.of(
        RowSpace(num_rows_of_table(config.features, encodings)), config.model.embedding_dim,
        DTYPES[config.train.precision], _optimizer_of_rows(config) if for_training else None,
        num_copies=len(method_of(config.model, config.train.seed).networks),
        num_ranks=world.num_ranks, is_replicated=config.embedding.parallel == "replicated",
        notes_days=config.embedding.expire_days is not None,
    )


def _optimizer_of_rows(config: Config) -> RowOptimizer:
    rule = row_optimizer(config.train.tables)
    admit_after = config.embedding.admit_after
    return Admission(rule, admit_after) if admit_after > 1 else rule


def identity_of(config: Config, encodings: Encodings) -> Identity:
    """What a checkpoint of this config is."""
    model = {
        "model": config.model.model_dump(mode="json"), "precision": config.train.precision,
        "groups": {feature.name: feature.group for feature in config.features},
    }
    return Identity(
        fingerprint=fingerprint(config.features),
        encodings=encodings.content_hash,
        ancestry=encodings.ancestry,
        model=hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest(),
    )


def how_ids_differ(config: Config, encodings: Encodings) -> Callable[[str], str]:
    """Tells by keys how encodings of a content hash differ from these, for as long as they still
    lie beside the samples; else nothing."""
    def told(content_hash: str) -> str:
        path = path_of(config.samples.path) / ENCODINGS / f"{content_hash}.json"
        try:
            theirs = Encodings.parse(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError, InputError):
            return ""
        return "; ".join(differences(theirs, encodings))

    return told


def load_predictor(
    checkpoint: Path, config: Config, encodings: Encodings, world: World, device: torch.device
) -> Predict:
    """A trained model as a function of a batch; called by all ranks in step.

    Returns:
        batch -> what the method predicts of its rows

    Raises:
        InputError: the checkpoint is incomplete, damaged, or of another config.
    """
    index = Index.read(checkpoint)
    index.identity.check(
        identity_of(config, encodings), checkpoint, how_ids_differ(config, encodings)
    )
    assembly = assemble(config, encodings, world, device, for_training=False)
    restore(checkpoint, index, assembly.model, assembly.tables)
    tables = assembly.tables.part(list(assembly.method.networks), ())

    def predict(batch: Batch) -> Prediction:
        with torch.no_grad():
            route = tables.route(batch.to(device))
            heads = assembly.model(tables.fetch(route), route.places)
            return assembly.method.predict(heads)

    return predict


def load_served(
    checkpoint: Path, config: Config, encodings: Encodings, calibration: Calibration,
    tables_path: Path | None,
) -> tuple[ServedModel, WholeTables]:
    """A trained model with whole tables, in one process.

    Args:
        calibration: what its probabilities pass.
        tables_path: the file in which the tables are to lie; None: in memory.

    Raises:
        InputError: the checkpoint is incomplete, damaged, or of another config.
    """
    index = Index.read(checkpoint)
    index.identity.check(
        identity_of(config, encodings), checkpoint, how_ids_differ(config, encodings)
    )
    dtype, seed = DTYPES[config.train.precision], config.train.seed
    method = method_in(config)
    networks = Networks.of(config.features, config.model, method.networks, seed, dtype)
    tables = WholeTables(
        list(method.networks), RowSpace(index.num_rows_of_table), config.model.embedding_dim, dtype,
        tables_path,
    )
    restore(checkpoint, index, networks, tables)
    model = ServedModel(config.features, method, networks, tables.of_network, calibration)
    return model, tables
