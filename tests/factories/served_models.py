"""Models of every method as they stand before training, both as they are trained and as served."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.calibration import Calibration
from esmm_dist.contract.row_space import RowSpace
from esmm_dist.contract.sections import Model
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.network_tables import NetworkTables
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.interchange.tables import WholeTables
from esmm_dist.model.method import Method, Prediction, method_of
from esmm_dist.model.network import Networks
from esmm_dist.model.served import ServedModel
from tests.factories.random_batches import FEATURES, NUM_ROWS_OF_TABLE, random_batch

DIM = 3
# Far from zero, so that no two fields or rows can be taken for each other.
STD = 1.0


@dataclass(frozen=True)
class Twins:
    """One model, looked up through routes and by itself."""

    method: Method
    networks: Networks
    sharded: NetworkTables
    whole: WholeTables
    served: ServedModel

    def predict(self, batch: Batch) -> Prediction:
        """As training's side of the house does."""
        tables = self.sharded.part(list(self.method.networks), ())
        route = tables.route(batch)
        with torch.no_grad():
            return self.method.predict(self.networks(tables.fetch(route), route.places))


def twins(
    method_name: str, combine: str = "concat", tables_path: Path | None = None,
    calibration: Calibration = Calibration(),
) -> Twins:
    """A small model of a method."""
    model = Model.model_validate({
        "method": method_name, "combine": combine, "embedding_dim": DIM,
        "hidden_units": [24, 16, 8],
    })
    method = method_of(model, seed=3)
    networks = Networks.of(FEATURES, model, method.networks, seed=3)
    sharded = NetworkTables({
        name: ShardedEmbedding(FEATURES, NUM_ROWS_OF_TABLE, DIM, SoloWorld(), None, seed,
                               initial_std=STD)
        for seed, name in enumerate(method.networks)
    })
    space = RowSpace(NUM_ROWS_OF_TABLE)
    whole = WholeTables(list(method.networks), space, DIM, torch.float32, tables_path)
    whole.load_buckets(0, sharded.state(), space)
    served = ServedModel(FEATURES, method, networks, whole.of_network, calibration)
    return Twins(method, networks, sharded, whole, served)


def batch_of_values(num_rows: int, seed: int = 1) -> Batch:
    """A random batch; no value of a list is null, as in samples."""
    batch = random_batch(num_rows, torch.Generator().manual_seed(seed))
    return replace(batch, bags=tuple(
        replace(bag, ids_V=bag.ids_V.clamp(min=1)) for bag in batch.bags
    ))
