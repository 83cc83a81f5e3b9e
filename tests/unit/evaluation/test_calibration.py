"""Reliability bins against the rows they are made of."""

import numpy as np
import pytest

from esmm_dist.evaluation.calibration import reliability
from esmm_dist.evaluation.tasks import Rows, Task, group_codes, log_probabilities, rows_of
from tests.factories.predictions import random_predictions
from tests.oracles import metrics as oracle


@pytest.mark.parametrize("task", Task)
def test_bins_hold_the_rows_that_the_slow_definition_puts_there(task: Task) -> None:
    predictions = random_predictions(num_rows=700)
    rows = rows_of(task, predictions, group_codes(predictions)[0], np.zeros(700, np.intp))
    slow = [oracle.Row(int(label), weight, score, 0, p) for label, weight, score, p
            in zip(rows.label_N, rows.weight_N, rows.log_p_N, rows.p_N)]
    expected = oracle.bins(slow, num_bins=10)
    found = reliability(rows)
    assert [b.num_rows for b in found] == [len(b) for b in expected]
    assert [b.num_positives for b in found] == [sum(r.label for r in b) for b in expected]
    for of_bin, rows_of_bin in zip(found, expected):
        weight = sum(row.weight for row in rows_of_bin)
        assert of_bin.predicted == pytest.approx(
            sum(row.weight * row.p for row in rows_of_bin) / weight)
        assert of_bin.observed == pytest.approx(
            sum(row.weight * row.label for row in rows_of_bin) / weight)
        assert 0 <= of_bin.interval.low <= of_bin.observed <= of_bin.interval.high <= 1


def test_unequal_weights_widen_the_interval() -> None:
    logits = log_probabilities(np.zeros(400))
    label_N = (np.arange(400) % 2).astype(float)
    zeros = np.zeros(400, np.intp)
    equal, = reliability(Rows(label_N, np.ones(400), zeros, zeros, *logits))
    uneven, = reliability(Rows(label_N, np.tile([1.0, 1.0, 9.0, 9.0], 100), zeros, zeros, *logits))
    assert uneven.observed == equal.observed == 0.5
    assert uneven.interval.low < equal.interval.low


def test_no_rows_make_no_bins() -> None:
    empty, codes = np.empty(0), np.empty(0, np.intp)
    assert reliability(Rows(empty, empty, codes, codes, empty, empty)) == []
