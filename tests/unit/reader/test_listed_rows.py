"""Rows as plain lists, and back to the same batch."""

import torch

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.reader.listed_rows import batch_of, listed
from tests.factories.numbered_samples import FEATURES


def a_batch() -> Batch:
    """Two rows and one of padding, with the bags `tags` and `words`, of which one has weights."""
    offsets = torch.tensor([0, 2, 2, 2])
    return Batch(
        ids_BF=torch.tensor([[1, 2, 3], [4, 5, 6], [0, 0, 0]], dtype=torch.int32),
        bags=(Bag(torch.tensor([7, 8], dtype=torch.int32), offsets),
              Bag(torch.tensor([9, 10], dtype=torch.int32), offsets, torch.tensor([0.5, 2.0]))),
        click_B=torch.zeros(3), conversion_B=torch.zeros(3), weight_B=torch.tensor([1.0, 1.0, 0.0]),
        sample_id_B=torch.tensor([11, 12, 0]), group_id_B=torch.zeros(3, dtype=torch.int64),
        num_padded=1,
    )


def test_rows_are_listed_by_feature_without_padding() -> None:
    first, second = listed(a_batch(), FEATURES)
    assert first.sample_id == 11
    assert first.ids == {"user": 1, "item": 2, "item_2": 3, "tags": [7, 8], "words": [9, 10]}
    assert first.weights == {"words": [0.5, 2.0]}
    assert second.ids["tags"] == [] and second.weights == {"words": []}


def test_listed_rows_become_the_same_batch() -> None:
    batch, again = a_batch(), batch_of(listed(a_batch(), FEATURES), FEATURES)
    assert torch.equal(again.ids_BF, batch.ids_BF[:2])
    assert torch.equal(again.sample_id_B, batch.sample_id_B[:2])
    for bag, same in zip(batch.bags, again.bags, strict=True):
        assert torch.equal(same.ids_V, bag.ids_V)
        assert torch.equal(same.offsets_B1, bag.offsets_B1[:3])
    assert again.bags[0].weights_V is None
    assert again.bags[1].weights_V is not None and batch.bags[1].weights_V is not None
    assert torch.equal(again.bags[1].weights_V, batch.bags[1].weights_V)
