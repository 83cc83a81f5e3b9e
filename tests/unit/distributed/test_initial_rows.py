"""Initial rows: a function of seed, table and bucket alone."""

import torch
from torch import Tensor

from esmm_dist.contract.row_space import NUM_BUCKETS, RowSpace, buckets_of_rank
from esmm_dist.distributed.initial_rows import fill_initial_rows

SPACE = RowSpace({"a": 5000, "b": 10})


def filled(buckets: range, space: RowSpace = SPACE, seed: int = 1) -> Tensor:
    rows_KSD = torch.full((len(buckets), space.slots_per_bucket, 6), torch.nan)
    fill_initial_rows(rows_KSD, buckets, space, seed, std=0.01)
    return rows_KSD


def test_rows_begin_alike_for_any_number_of_ranks() -> None:
    whole = filled(range(NUM_BUCKETS))
    shards = [filled(buckets_of_rank(rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat(shards), whole)


def test_another_tables_size_changes_nothing() -> None:
    grown = RowSpace({"b": 9000, "a": 5000})
    rows_a = filled(range(40), grown)[:, grown.slots_of_table["a"]]
    assert torch.equal(rows_a, filled(range(40))[:, SPACE.slots_of_table["a"]])


def test_values_are_normal_with_the_deviation_asked_for_and_the_seed_matters() -> None:
    rows = filled(range(NUM_BUCKETS)).double()
    assert abs(rows.mean().item()) < 2e-4
    assert abs(rows.std().item() - 0.01) < 1e-4
    assert not torch.equal(filled(range(3)), filled(range(3), seed=2))


def test_buckets_and_tables_differ_from_each_other() -> None:
    rows = filled(range(NUM_BUCKETS))
    firsts = {tuple(values) for slots in SPACE.slots_of_table.values()
              for values in rows[:, slots.start].tolist()}
    assert len(firsts) == 2 * NUM_BUCKETS
