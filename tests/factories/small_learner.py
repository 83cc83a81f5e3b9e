"""A small learner, always the same, and random batches for it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.features import (
    CategoricalFeature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
)
from esmm_dist.contract.sections import Model, Optimizer
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.row_optimizers import row_optimizer
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.model.method import method_of
from esmm_dist.model.network import Network
from esmm_dist.training.loop import Learner
from esmm_dist.training.tower_optimizer import make_tower_optimizer

FEATURES = (
    CategoricalFeature(name="user", group=Group.USER, encode=HashEncoding(hash_size=30)),
    CategoricalFeature(name="item", group=Group.ITEM, encode=HashEncoding(hash_size=40)),
    MultiValuedFeature(name="tags", kind=Kind.MULTI_VALUED, group=Group.ITEM,
                       encode=HashEncoding(hash_size=9)),
)
SIZES = {"user": 30, "item": 40, "tags": 9}
BATCH_SIZE = 16


def learner(
    towers: Optimizer = Optimizer(), tables: Optimizer = Optimizer(),
    dtype: torch.dtype = torch.float64,
) -> Learner:
    """A small learner, always the same."""
    world = SoloWorld()
    model = Model(embedding_dim=4, hidden_units=(8,))
    method = method_of(model, seed=3)
    (spec,) = method.networks.values()
    network = Network(FEATURES, model, spec, 3, dtype)
    embedding = ShardedEmbedding(
        FEATURES, SIZES, 4, world, row_optimizer(tables), seed=3, dtype=dtype
    )
    return Learner(
        network, embedding, make_tower_optimizer(network, towers), method.stages[0], world,
        [feature.name for feature in FEATURES],
    )


def batch(seed: int, num_rows: int = BATCH_SIZE) -> Batch:
    """Random rows."""
    generator = torch.Generator().manual_seed(seed)

    def ids(size: int, num: int) -> torch.Tensor:
        return torch.randint(1, size, (num,), generator=generator, dtype=torch.int32)

    click_B = (torch.rand(num_rows, generator=generator) < 0.5).float()
    conversion_B = click_B * (torch.rand(num_rows, generator=generator) < 0.5).float()
    keys_B = torch.zeros(num_rows, dtype=torch.int64)
    return Batch(
        ids_BF=torch.stack([ids(30, num_rows), ids(40, num_rows)], dim=1),
        bags=(Bag(ids(9, 2 * num_rows), torch.arange(num_rows + 1) * 2),),
        click_B=click_B, conversion_B=conversion_B, weight_B=torch.ones(num_rows),
        sample_id_B=keys_B, group_id_B=keys_B,
    )


def batches(num_steps: int, first_step: int = 0) -> Iterator[Batch]:
    """One a step."""
    return (batch(step) for step in range(first_step, num_steps))


def tables_of(trained: Learner) -> dict[str, torch.Tensor]:
    """Rows and what their optimizer remembers."""
    assert isinstance(trained.tables, ShardedEmbedding)
    return dict(trained.tables.state())


def with_stage(**changes: Any) -> Learner:
    """The learner, with a stage that is ESMM's but for what is given."""
    changed = learner()
    changed.stage = replace(changed.stage, **changes)
    return changed
