"""What each rank of test_embedding.py does: python embedding_ranks.py FOLDER."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from esmm_dist.contract.sections import Optimizer
from esmm_dist.contract.world import World
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.row_optimizers import row_optimizer
from esmm_dist.distributed.world import connect
from esmm_dist.model.fields import field_vectors
from tests.factories.random_batches import FEATURES, NUM_ROWS_OF_TABLE, batches_of_rank

DIM, NUM_STEPS, SCALE = 5, 25, 0.25
OPTIMIZERS = (
    Optimizer(name="sgd", learning_rate=0.05, weight_decay=0.1),
    Optimizer(name="adagrad", learning_rate=0.05),
    Optimizer(name="adam", learning_rate=0.05, weight_decay=0.1),
)


def make_tables(world: World, optimizer: Optimizer) -> ShardedEmbedding:
    """The tables before the first step."""
    return ShardedEmbedding(
        FEATURES, NUM_ROWS_OF_TABLE, DIM, world, row_optimizer(optimizer), 1, torch.float64
    )


def train(world: World, optimizer: Optimizer, folder: Path) -> None:
    """Takes the steps on this rank's batches; leaves the losses and this rank's shard."""
    tables = make_tables(world, optimizer)
    losses = []
    for batch in batches_of_rank(world.rank, NUM_STEPS):
        route = tables.route(batch)
        rows_UD = tables.fetch(route)
        loss = field_vectors(rows_UD, route.places).sin().sum()
        loss.backward()
        losses.append(world.sum(loss, "loss").item())
        assert rows_UD.grad is not None
        tables.apply(route, tables.send(route, rows_UD.grad).wait(), SCALE)
    shard = {name: tensor.contiguous() for name, tensor in tables.state().items()}
    name = f"{optimizer.name}-{world.rank}"
    save_file(shard, folder / f"{name}.safetensors")
    report = {"losses": losses, "first_bucket": tables.buckets.start}
    (folder / f"{name}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    with connect() as the_world:
        for declared in OPTIMIZERS:
            train(the_world, declared, Path(sys.argv[1]))
