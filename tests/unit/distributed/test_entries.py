"""Ids to slots in the order of field vectors, against plain loops."""

import dataclasses

import pytest
import torch

from esmm_dist.contract.batch import Bag, Batch
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import (
    CategoricalFeature,
    Group,
    HashEncoding,
    MultiValuedFeature,
    table_of,
)
from esmm_dist.contract.row_space import RowSpace
from esmm_dist.distributed.entries import EntryFinder
from tests.factories.random_batches import FEATURES, NUM_ROWS_OF_TABLE, random_batch

SPACE = RowSpace(NUM_ROWS_OF_TABLE)
CPU = torch.device("cpu")


def entries_by_loops(batch: Batch) -> list[list[tuple[int, float]]]:
    """The slots of each field vector and their weights."""
    pools = []
    for b in range(batch.num_rows):
        singles, bags = iter(batch.ids_BF[b].tolist()), iter(batch.bags)
        for feature in FEATURES:
            if isinstance(feature, MultiValuedFeature):
                bag = next(bags)
                first, after = bag.offsets_B1[b : b + 2].tolist()
                ids = bag.ids_V[first:after].tolist()
                weights = [1.0] * len(ids)
                if bag.weights_V is not None:
                    weights = bag.weights_V[first:after].tolist()
            else:
                ids, weights = [next(singles)], [1.0]
            slots = [SPACE.slot_of(table_of(feature), i) for i in ids]
            pools.append(list(zip(slots, weights)))
    return pools


@pytest.mark.parametrize("num_rows", [0, 1, 50])
def test_entries_stand_field_vector_by_field_vector(num_rows: int) -> None:
    batch = random_batch(num_rows, torch.Generator().manual_seed(num_rows))
    entries = EntryFinder(FEATURES, SPACE, CPU).find(batch)
    assert entries.weight_E is not None
    pools = entries_by_loops(batch)
    found = [
        list(zip(entries.slots_E[first:after].tolist(), entries.weight_E[first:after].tolist()))
        for first, after in zip(entries.offsets_P1.tolist(), entries.offsets_P1[1:].tolist())
    ]
    assert found == pools
    assert entries.pool_of_entry_E.tolist() == [p for p, ids in enumerate(pools) for _ in ids]


def test_bags_without_weights_cost_no_weights() -> None:
    batch = random_batch(9, torch.Generator().manual_seed(1))
    bags = tuple(dataclasses.replace(bag, weights_V=None) for bag in batch.bags)
    plain = dataclasses.replace(batch, bags=bags)
    assert EntryFinder(FEATURES, SPACE, CPU).find(plain).weight_E is None


def test_without_bags_every_field_vector_has_one_entry() -> None:
    batch = random_batch(9, torch.Generator().manual_seed(1))
    singles = [feature for feature in FEATURES if not isinstance(feature, MultiValuedFeature)]
    batch = dataclasses.replace(batch, bags=())
    entries = EntryFinder(singles, SPACE, CPU).find(batch)
    assert entries.slots_E.tolist() == [
        SPACE.slot_of(table_of(feature), i)
        for row in batch.ids_BF.tolist()
        for feature, i in zip(singles, row)
    ]
    assert entries.offsets_P1.tolist() == list(range(28))
    assert entries.pool_of_entry_E.tolist() == list(range(27))


@pytest.mark.parametrize("stray", [-1, 1500, 2**31 - 1])
def test_an_id_outside_its_table_is_refused_by_feature_id_and_size(stray: int) -> None:
    batch = random_batch(4, torch.Generator().manual_seed(1))
    batch.ids_BF[2, 1] = stray
    with pytest.raises(InputError) as caught:
        EntryFinder(FEATURES, SPACE, CPU).find(batch)
    assert str(caught.value) == (
        f"feature 'item': the samples hold the id {stray:,}, its table 'item' has 1,500 rows: "
        "rebuild the samples"
    )


def test_an_id_outside_the_table_of_a_bag_is_refused() -> None:
    batch = random_batch(1, torch.Generator().manual_seed(1))
    bag = Bag(torch.tensor([0, 3]), torch.tensor([0, 2]))
    with pytest.raises(InputError, match="'tags': the samples hold the id 3, .* has 3 rows"):
        bags = (bag, *batch.bags[1:])
        EntryFinder(FEATURES, SPACE, CPU).find(dataclasses.replace(batch, bags=bags))


@pytest.mark.parametrize(("num_tables", "dtype"), [(1, torch.int32), (2, torch.int64)])
def test_slots_are_as_wide_as_the_row_space_needs(num_tables: int, dtype: torch.dtype) -> None:
    num_rows = 2_000_000_000
    features = [
        CategoricalFeature(name=name, group=Group.USER, encode=HashEncoding(hash_size=num_rows))
        for name in ("a", "b")[:num_tables]
    ]
    space = RowSpace({feature.name: num_rows for feature in features})
    ids = [[n] * num_tables for n in (0, 1, 12_345, num_rows - 1)]
    batch = dataclasses.replace(random_batch(len(ids), torch.Generator()), bags=(),
                                ids_BF=torch.tensor(ids, dtype=torch.int32))
    slots_E = EntryFinder(features, space, CPU).find(batch).slots_E
    assert slots_E.dtype == dtype
    assert slots_E.tolist() == [space.slot_of(feature.name, n)
                                for row in ids for feature, n in zip(features, row)]
