"""De-duplication against plain dictionaries."""

import pytest
import torch

from esmm_dist.distributed.distinct import distinct, sums_of_duplicates


@pytest.mark.parametrize("values", [[], [7], [5, 5, 5], [9, 2, 9, 0, 2, 9], [3, 2, 1]])
def test_every_value_is_found_once_with_all_its_places(values: list[int]) -> None:
    found = distinct(torch.tensor(values, dtype=torch.int64))
    assert found.values_U.tolist() == sorted(set(values))
    assert found.values_U[found.place_N].tolist() == values
    for u, value in enumerate(found.values_U.tolist()):
        places = found.order_N[found.offsets_U1[u] : found.offsets_U1[u + 1]]
        assert places.tolist() == [n for n, v in enumerate(values) if v == value]


def test_a_long_list_too_long_to_be_sorted_by_comparisons_keeps_the_order_of_duplicates() -> None:
    values_N = torch.randint(50_000, (200_000,))
    found = distinct(values_N)
    assert torch.equal(found.values_U[found.place_N], values_N)
    assert torch.equal(found.values_U, torch.unique(values_N))
    is_next_duplicate = values_N[found.order_N].diff() == 0
    assert bool((found.order_N.diff()[is_next_duplicate] > 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_are_summed_in_the_order_of_the_list(dtype: torch.dtype) -> None:
    found = distinct(torch.tensor([4, 1, 4, 4]))
    # 1e30 + 1 - 1e30 is 0 in this order and no other: the sum tells the order.
    values_ND = torch.tensor([[1e30], [5.0], [1.0], [-1e30]], dtype=dtype)
    assert sums_of_duplicates(values_ND, found).tolist() == [[5.0], [0.0]]


def test_sums_over_no_values_are_none() -> None:
    found = distinct(torch.zeros(0, dtype=torch.int64))
    assert sums_of_duplicates(torch.zeros(0, 3), found).shape == (0, 3)
