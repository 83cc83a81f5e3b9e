"""Rows begin to learn at their k-th sighting, and then as if it were their first."""

import torch

from esmm_dist.distributed.admission import Admission
from esmm_dist.distributed.row_optimizers import RowAdam

SEEN = [[0, 1], [0], [1, 2], [0, 1], [0, 2]]


def gradient(seen: list[int], step: int) -> torch.Tensor:
    return torch.tensor([[1.0 + row, step - 2.0] for row in seen], dtype=torch.float64)


def test_a_row_learns_from_its_kth_sighting_on_as_the_inner_rule_has_it() -> None:
    rows_SD = torch.ones(4, 2, dtype=torch.float64)
    admitted, plain = Admission(RowAdam(0.1), 3), RowAdam(0.1)
    state, expected_SD = admitted.new_state(rows_SD), rows_SD.clone()
    plain_state, sightings = plain.new_state(expected_SD), [0] * 4
    for step, seen in enumerate(SEEN):
        admitted.step(rows_SD, state, torch.tensor(seen), gradient(seen, step))
        for place, row in enumerate(seen):
            sightings[row] += 1
            if sightings[row] >= 3:
                plain.step(expected_SD, plain_state, torch.tensor([row]),
                           gradient(seen, step)[place : place + 1])
    torch.testing.assert_close(rows_SD, expected_SD, rtol=1e-12, atol=0)
    assert rows_SD[2:].eq(1).all(), "seen twice, or never"
    assert rows_SD[:2].ne(1).all()
    assert state["sightings"].tolist() == [3, 3, 2, 0], "counted up to k"
