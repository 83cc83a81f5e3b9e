"""Epochs of numbered samples: read by one rank, and every row held to what it should say."""

from pathlib import Path

import torch

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader
from tests.factories.numbered_samples import FEATURES, FIRST_DAY, expected_row, expected_weights

FILE_SIZES_BY_DAY = ((40, 40, 13), (40, 25), (7,))
DAYS = [FIRST_DAY.replace(day=number) for number in (1, 2, 3)]
NUM_ROWS = 165


def open_reader(samples: Path, with_keys: bool = True) -> SampleReader:
    return SampleReader(samples, read_manifest(samples), FEATURES, with_keys=with_keys)


def read_epoch(
    reader: SampleReader, plan: TrainPlan, rank: int, first_step: int = 0
) -> list[Batch]:
    with reader.train_batches(plan, rank, first_step) as batches:
        return list(batches)


def weights_of(bag: Bag) -> list[float] | None:
    return None if bag.weights_V is None else bag.weights_V.tolist()


def check_rows(batch: Batch, num_padding: int = 0) -> None:
    """Everything in a batch follows from its sample ids; padding is zero throughout."""
    num_real = batch.num_rows - num_padding
    rows = [expected_row(sample_id) for sample_id in batch.sample_id_B[:num_real].tolist()]
    assert batch.ids_BF[:num_real].tolist() == [list(row.ids) for row in rows]
    assert batch.click_B[:num_real].tolist() == [row.click for row in rows]
    assert batch.conversion_B[:num_real].tolist() == [row.conversion for row in rows]
    assert batch.weight_B[:num_real].tolist() == [row.weight for row in rows]
    assert batch.group_id_B[:num_real].tolist() == [row.group_id for row in rows]
    for place, bag in enumerate(batch.bags):
        ids = [i for row in rows for i in row.bags[place]]
        ends = torch.tensor([len(row.bags[place]) for row in rows]).cumsum(0).tolist()
        assert bag.ids_V.tolist() == ids
        assert weights_of(bag) == expected_weights(rows, place)
        assert bag.offsets_B1.tolist() == [0, *ends, *[len(ids)] * num_padding]
    for tensor in (batch.ids_BF, batch.click_B, batch.conversion_B, batch.weight_B,
                   batch.sample_id_B, batch.group_id_B):
        assert not tensor[num_real:].any()
