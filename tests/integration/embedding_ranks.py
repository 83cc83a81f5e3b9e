"""What each rank of test_embedding.py does: python embedding_ranks.py FOLDER."""

import json
import sys
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Variant:
    """A way to train the tables, and how near it comes to plain ones."""

    optimizer: Optimizer
    is_replicated: bool = False
    travel_dtype: torch.dtype = torch.float64
    relative_error: float = 1e-12
    absolute_error: float = 1e-14


SGD = Optimizer(name="sgd", learning_rate=0.05, weight_decay=0.1)
ADAGRAD = Optimizer(name="adagrad", learning_rate=0.05)
ADAM = Optimizer(name="adam", learning_rate=0.05, weight_decay=0.1)
VARIANTS = {
    "sgd": Variant(SGD),
    "adagrad": Variant(ADAGRAD),
    "adam": Variant(ADAM),
    "adam, replicated": Variant(ADAM, is_replicated=True),
    # Numbers keep 11 bits on the way; losses are sums of some hundred numbers below 1.
    "sgd, float16": Variant(SGD, travel_dtype=torch.float16, relative_error=2e-3,
                            absolute_error=2e-3),
    "sgd, float16, replicated": Variant(SGD, True, torch.float16, 2e-3, 2e-3),
}


def make_tables(world: World, variant: Variant) -> ShardedEmbedding:
    """The tables before the first step."""
    return ShardedEmbedding(
        FEATURES, NUM_ROWS_OF_TABLE, DIM, world, row_optimizer(variant.optimizer), 1,
        torch.float64, travel_dtype=variant.travel_dtype, is_replicated=variant.is_replicated,
    )


def train(world: World, name: str, folder: Path) -> None:
    """Takes the steps on this rank's batches; leaves the losses and this rank's shard.

    The next batch's ids travel while this one's rows do, as in training.
    """
    tables = make_tables(world, VARIANTS[name])
    losses = []
    batches = batches_of_rank(world.rank, NUM_STEPS)
    ahead = tables.begin_route(batches[0])
    for following in [*batches[1:], None]:
        route = ahead.wait()
        fetching = tables.begin_fetch(route)
        if following is not None:
            ahead = tables.begin_route(following)
        rows_UD = fetching.wait()
        loss = field_vectors(rows_UD, route.places).sin().sum()
        loss.backward()
        assert rows_UD.grad is not None
        sent = tables.send(route, rows_UD.grad)
        losses.append(world.sum(loss, "loss").item())
        tables.apply(route, sent.wait(), SCALE)
    shard = {key: tensor.contiguous() for key, tensor in tables.state().items()}
    save_file(shard, folder / f"{name}-{world.rank}.safetensors")
    report = {"losses": losses, "first_bucket": tables.own_buckets.start}
    (folder / f"{name}-{world.rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    with connect() as the_world:
        for declared in VARIANTS:
            train(the_world, declared, Path(sys.argv[1]))
