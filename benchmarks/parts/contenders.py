"""Trains what ours is measured against, for some seconds, and prints its speed as one JSON line.

    python -m benchmarks.parts.contenders NAME --arrays FILE --rows N --seconds S

It runs in an environment of its own, which `benchmarks.train` makes; it imports nothing of ours.
Every contender has its ids in memory before it begins, reads no file, and is timed from its third
step on.

Shape legend: B rows of a batch; F fields; N rows of all batches.
"""

import argparse
import json
import resource
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_SIZE, DIM, HIDDEN_UNITS = 4096, 18, (360, 200, 80)
NUM_WARM_STEPS = 2
LEARNING_RATE = 1e-3


class TimeIsUp(Exception):
    """Enough steps have been timed."""


class Clock:
    """Notes when steps end; ends the training once its seconds are over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends: list[float] = []

    def __call__(self, *_: object) -> None:
        self.ends.append(time.perf_counter())
        if len(self.ends) > NUM_WARM_STEPS + 1:
            if self.ends[-1] - self.ends[NUM_WARM_STEPS - 1] > self.seconds:
                raise TimeIsUp

    def samples_per_second(self) -> float:
        """By the median step."""
        ends = self.ends[NUM_WARM_STEPS - 1 :]
        return BATCH_SIZE / statistics.median(b - a for a, b in zip(ends, ends[1:]))


class Data:
    """The experiment's rows, as resident arrays."""

    def __init__(self, path: str, num_rows: int) -> None:
        arrays = np.load(path)
        self.ids_NF, self.labels_N2 = arrays["ids"], arrays["labels"]
        self.num_fields = self.ids_NF.shape[1]
        self.rows_per_table = num_rows // self.num_fields

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Ids (B, F) int64 and labels (B, 2), again and again."""
        ids_NF, labels_N2 = torch.from_numpy(self.ids_NF).long(), torch.from_numpy(self.labels_N2)
        while True:
            yield from zip(ids_NF.split(BATCH_SIZE), labels_N2.split(BATCH_SIZE))


class PlainTowers(nn.Module):
    """The two towers as anybody would write them."""

    def __init__(self, num_inputs: int) -> None:
        super().__init__()
        self.ctr, self.cvr = self._tower(num_inputs), self._tower(num_inputs)

    def _tower(self, num_inputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in HIDDEN_UNITS:
            layers += [nn.Linear(num_inputs, width), nn.ReLU()]
            num_inputs = width
        return nn.Sequential(*layers, nn.Linear(num_inputs, 1))

    def loss(self, inputs_BI: Tensor, labels_B2: Tensor) -> Tensor:
        """ESMM's loss from probabilities, as public trainers take it."""
        p_ctr_B = torch.sigmoid(self.ctr(inputs_BI).squeeze(1))
        p_ctcvr_B = p_ctr_B * torch.sigmoid(self.cvr(inputs_BI).squeeze(1))
        return (F.binary_cross_entropy(p_ctr_B, labels_B2[:, 0])
                + F.binary_cross_entropy(p_ctcvr_B, labels_B2[:, 1]))


def towers(data: Data, clock: Clock, inputs_need_gradient: bool = False) -> None:
    """The towers alone on one resident batch: no embedding, no reader."""
    model = PlainTowers(data.num_fields * DIM)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    inputs_BI = torch.randn(BATCH_SIZE, data.num_fields * DIM) * 0.01
    labels_B2 = torch.from_numpy(data.labels_N2[:BATCH_SIZE])
    while True:
        if inputs_need_gradient:
            inputs_BI = inputs_BI.detach().requires_grad_()
        optimizer.zero_grad()
        model.loss(inputs_BI, labels_B2).backward()
        optimizer.step()
        clock()


def towers_to_inputs(data: Data, clock: Clock) -> None:
    """The towers with the gradient of their inputs, as whatever lies below them needs it."""
    towers(data, clock, inputs_need_gradient=True)


def deepctr_torch(data: Data, clock: Clock) -> None:
    """DeepCTR-Torch's ESMM and its own `fit`, shuffling off."""
    from deepctr_torch.inputs import SparseFeat
    from deepctr_torch.models import ESMM

    names = [f"f{place}" for place in range(data.num_fields)]
    columns = [SparseFeat(name, data.rows_per_table, embedding_dim=DIM) for name in names]
    model = ESMM(columns, HIDDEN_UNITS, l2_reg_embedding=0, device="cpu")
    model.compile("adam", ["binary_crossentropy"] * 2)
    model.optim.register_step_post_hook(clock)
    inputs = {name: data.ids_NF[:, place] for place, name in enumerate(names)}
    while True:
        model.fit(inputs, data.labels_N2, BATCH_SIZE, verbose=0, shuffle=False)


def torch_rechub(data: Data, clock: Clock) -> None:
    """torch-rechub's ESMM and its own trainer."""
    from torch.utils.data import DataLoader, TensorDataset
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.models.multi_task import ESMM
    from torch_rechub.trainers import MTLTrainer

    names = [f"f{place}" for place in range(data.num_fields)]
    features = [SparseFeature(name, data.rows_per_table, embed_dim=DIM) for name in names]
    half = len(features) // 2
    tower = {"dims": list(HIDDEN_UNITS)}
    model = ESMM(features[:half], features[half:], tower, tower)
    trainer = MTLTrainer(model, ["classification"] * 3, n_epoch=1)
    trainer.optimizer.register_step_post_hook(clock)

    def collate(rows: list[Any]) -> tuple[dict[str, Tensor], Tensor]:
        (ids_BF, labels_B2), = rows
        labels_B3 = torch.cat([labels_B2[:, 1:], labels_B2], dim=1)
        return {name: ids_BF[:, place] for place, name in enumerate(names)}, labels_B3

    whole = TensorDataset(
        torch.from_numpy(data.ids_NF).long().view(-1, BATCH_SIZE, data.num_fields),
        torch.from_numpy(data.labels_N2).view(-1, BATCH_SIZE, 2),
    )
    while True:
        trainer.train_one_epoch(DataLoader(whole, batch_size=1, collate_fn=collate))


def fbgemm(data: Data, clock: Clock) -> None:
    """fbgemm's table-batched embedding with exact row-wise Adagrad below the plain towers.

    Its rows have to be a multiple of 4 wide: they are 20, of which the towers read 18.
    """
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
        ComputeDevice,
        SplitTableBatchedEmbeddingBagsCodegen,
    )

    width = -(-DIM // 4) * 4
    table = (data.rows_per_table, width, EmbeddingLocation.HOST, ComputeDevice.CPU)
    tables = SplitTableBatchedEmbeddingBagsCodegen(
        [table] * data.num_fields, optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
        learning_rate=0.05, eps=1e-10, device=torch.device("cpu"),
    )
    tables.init_embedding_weights_uniform(-0.01, 0.01)
    model = PlainTowers(data.num_fields * DIM)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    offsets = torch.arange(data.num_fields * BATCH_SIZE + 1)
    for ids_BF, labels_B2 in data.batches():
        optimizer.zero_grad()
        vectors = tables(ids_BF.t().reshape(-1), offsets)
        inputs_BI = vectors.unflatten(1, (data.num_fields, width))[..., :DIM].flatten(1)
        model.loss(inputs_BI, labels_B2).backward()
        optimizer.step()
        clock()


def sparse_adam(data: Data, clock: Clock) -> None:
    """nn.Embedding with sparse gradients and torch's SparseAdam below the plain towers."""
    table = nn.Embedding(data.rows_per_table * data.num_fields, DIM, sparse=True)
    nn.init.normal_(table.weight, 0, 0.01)
    model = PlainTowers(data.num_fields * DIM)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    rows = torch.optim.SparseAdam(table.parameters(), LEARNING_RATE)
    first_F = torch.arange(data.num_fields) * data.rows_per_table
    for ids_BF, labels_B2 in data.batches():
        optimizer.zero_grad()
        rows.zero_grad()
        model.loss(table(ids_BF + first_F).flatten(1), labels_B2).backward()
        optimizer.step()
        rows.step()
        clock()


CONTENDERS: dict[str, Callable[[Data, Clock], None]] = {
    "towers": towers,
    "towers_to_inputs": towers_to_inputs,
    "deepctr_torch": deepctr_torch,
    "torch_rechub": torch_rechub,
    "fbgemm": fbgemm,
    "sparse_adam": sparse_adam,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--arrays", required=True)
    parser.add_argument("--rows", type=int, required=True, help="of all tables together")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    data, clock = Data(arguments.arrays, arguments.rows), Clock(arguments.seconds)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # some tell every epoch
            CONTENDERS[arguments.name](data, clock)
    except TimeIsUp:
        pass
    print(json.dumps({
        "samples_per_second": clock.samples_per_second(),
        "num_steps": len(clock.ends),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }))


if __name__ == "__main__":
    main()
