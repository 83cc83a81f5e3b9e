"""Field vectors and their gradients against plain sums, and the two ways to combine them."""

import torch

from esmm_dist.contract.features import Group
from esmm_dist.contract.places import Places
from esmm_dist.model.fields import columns_of_groups, combine_fields, field_vectors

# Two rows of three fields: a single value, a bag of 2 and 0 values, a single value.
MEMBERS = [[0], [1, 3], [2], [0], [], [0]]
WEIGHTS = [[1.0], [0.25, -2.0], [1.0], [0.0], [], [3.0]]


def places_of(
    members: list[list[int]], num_fields: int, num_rows: int,
    weights: list[list[float]] | None = None,
) -> Places:
    """The two sides of the matrix by plain loops."""
    by_row = [[p for p, rows in enumerate(members) for r in rows if r == row]
              for row in range(num_rows)]

    def offsets(lists: list[list[int]]) -> torch.Tensor:
        return torch.tensor([sum(map(len, lists[:i])) for i in range(len(lists) + 1)])

    def flat(lists: list[list[int]]) -> torch.Tensor:
        return torch.tensor([x for part in lists for x in part], dtype=torch.int64)

    sides = flat(members), offsets(members), flat(by_row), offsets(by_row)
    if weights is None:
        return Places(num_fields, *sides)
    weights_by_row = [w for row in range(num_rows) for rows, of_pool in zip(members, weights)
                      for r, w in zip(rows, of_pool) if r == row]
    plain = torch.tensor([w for of_pool in weights for w in of_pool])
    return Places(num_fields, *sides, plain, torch.tensor(weights_by_row))


def test_a_field_vector_is_the_sum_of_its_rows() -> None:
    rows_UD = torch.randn(4, 5, dtype=torch.float64)
    vectors_BFD = field_vectors(rows_UD, places_of(MEMBERS, 3, 4))
    assert vectors_BFD.shape == (2, 3, 5)
    for vector_D, members in zip(vectors_BFD.flatten(0, 1), MEMBERS):
        torch.testing.assert_close(vector_D, rows_UD[members].sum(0))


def test_the_gradient_equals_autograds_own() -> None:
    # Of one sign: sums that cancel would differ by the order they are taken in.
    rows_UD = torch.rand(4, 5, dtype=torch.float64, requires_grad=True)
    coefficients_BFD = torch.rand(2, 3, 5, dtype=torch.float64)
    vectors_BFD = field_vectors(rows_UD, places_of(MEMBERS, 3, 4))
    (found,) = torch.autograd.grad((vectors_BFD * coefficients_BFD).sum(), rows_UD)
    plain_PD = torch.stack([rows_UD[members].sum(0) for members in MEMBERS])
    (expected,) = torch.autograd.grad((plain_PD.view(2, 3, 5) * coefficients_BFD).sum(), rows_UD)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)


def test_weights_multiply_both_ways() -> None:
    rows_UD = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    coefficients_PD = torch.randn(6, 5, dtype=torch.float64)
    found_PD = field_vectors(rows_UD, places_of(MEMBERS, 3, 4, WEIGHTS)).flatten(0, 1)
    matrix_PU = torch.zeros(6, 4, dtype=torch.float64)
    for p, (rows, weights) in enumerate(zip(MEMBERS, WEIGHTS)):
        matrix_PU[p, rows] = torch.tensor(weights, dtype=torch.float64)
    expected_PD = matrix_PU @ rows_UD
    torch.testing.assert_close(found_PD, expected_PD, rtol=1e-14, atol=1e-15)
    found, expected = (
        torch.autograd.grad((vectors_PD * coefficients_PD).sum(), rows_UD)[0]
        for vectors_PD in (found_PD, expected_PD)
    )
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-15)


def test_a_batch_without_rows_gives_no_vectors_and_a_gradient() -> None:
    rows_UD = torch.zeros(0, 5, requires_grad=True)
    vectors_BFD = field_vectors(rows_UD, places_of([], 3, 0))
    assert vectors_BFD.shape == (0, 3, 5)
    vectors_BFD.sum().backward()
    assert rows_UD.grad is not None and rows_UD.grad.shape == (0, 5)


def test_groups_come_in_one_order_whatever_the_declaration() -> None:
    groups = [Group.CONTEXT, Group.USER, Group.ITEM, Group.USER]
    assert columns_of_groups(groups) == [[1, 3], [2], [0]]
    assert columns_of_groups([Group.CROSS]) == [[0]]


def test_concat_keeps_the_order_of_declaration() -> None:
    vectors_BFD = torch.arange(12.0).view(2, 3, 2)
    combined = combine_fields(vectors_BFD, "concat", [[0, 1, 2]])
    assert combined.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_group_sum_adds_within_groups_and_lays_groups_side_by_side() -> None:
    vectors_BFD = torch.arange(12.0).view(2, 3, 2)
    combined = combine_fields(vectors_BFD, "group_sum", [[0, 2], [1]])
    assert combined.tolist() == [[4, 6, 2, 3], [16, 18, 8, 9]]
