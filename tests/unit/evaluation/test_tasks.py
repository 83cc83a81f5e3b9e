"""Labels, spaces and log-probabilities of the three tasks."""

import dataclasses

import numpy as np
import pytest

from esmm_dist.evaluation.metrics import Sums, auc, equal_weight_edges, explain
from esmm_dist.evaluation.tasks import (
    Task,
    group_codes,
    log_probabilities,
    log_probabilities_of_product,
    metric_name,
    rows_of,
)
from tests.factories.predictions import known, random_predictions
from tests.oracles.metrics import log_p_and_not_p

ONE_MODEL = np.zeros(400, np.intp)
LOGITS = [-110.0, -30.0, -7.0, -0.3, 0.0, 0.3, 7.0, 30.0, 110.0]


def test_log_probabilities_of_a_product_equal_400_digit_arithmetic_over_all_logits() -> None:
    pairs = [(a, b) for a in LOGITS for b in LOGITS]
    log_p_N, log_not_p_N = log_probabilities_of_product(*(np.array(side) for side in zip(*pairs)))
    expected = np.array([log_p_and_not_p(a, b) for a, b in pairs])
    np.testing.assert_allclose(log_p_N, expected[:, 0], rtol=1e-14)
    np.testing.assert_allclose(log_not_p_N, expected[:, 1], rtol=1e-13)


def test_log_probabilities_of_one_logit_equal_400_digit_arithmetic() -> None:
    log_p_N, log_not_p_N = log_probabilities(np.array(LOGITS))
    expected = np.array([log_p_and_not_p(a) for a in LOGITS])
    np.testing.assert_allclose(log_p_N, expected[:, 0], rtol=1e-14)
    np.testing.assert_allclose(log_not_p_N, expected[:, 1], rtol=1e-14)


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_the_two_branches_meet(steps: int) -> None:
    """At x = -ln 2 and one float to either side of it."""
    a = np.array([-np.log(np.sqrt(2) - 1)])
    b = a + steps * np.spacing(a)
    _, log_not_p_N = log_probabilities_of_product(a, b)
    np.testing.assert_allclose(log_not_p_N, log_p_and_not_p(a[0], b[0])[1], rtol=1e-14)


def test_each_task_has_its_space_and_its_label() -> None:
    predictions = random_predictions()
    group_N, num_groups = group_codes(predictions)
    assert num_groups == len(set(predictions.group_id_N))
    rows = {task: rows_of(task, predictions, group_N, ONE_MODEL) for task in Task}
    clicked = predictions.click_N == 1
    assert len(rows[Task.CTR]) == len(rows[Task.CTCVR]) == len(predictions)
    assert len(rows[Task.CVR]) == clicked.sum()
    np.testing.assert_array_equal(rows[Task.CTR].label_N, predictions.click_N)
    np.testing.assert_array_equal(rows[Task.CVR].label_N, predictions.conversion_N[clicked])
    np.testing.assert_array_equal(rows[Task.CTCVR].label_N, predictions.conversion_N)
    np.testing.assert_array_equal(rows[Task.CVR].group_N, group_N[clicked])


def test_rows_of_weight_zero_are_in_no_space() -> None:
    predictions = random_predictions()
    counts_N = np.arange(400) % 3 > 0
    muted = dataclasses.replace(predictions, weight_N=predictions.weight_N * counts_N)
    group_N, _ = group_codes(predictions)
    for task in Task:
        found = rows_of(task, muted, group_N, ONE_MODEL)
        expected = rows_of(task, predictions.take(counts_N), group_N[counts_N], ONE_MODEL[counts_N])
        for field in dataclasses.fields(found):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))


def test_ctcvr_is_the_product_unless_it_is_predicted_by_itself() -> None:
    product = random_predictions()
    group_N, _ = group_codes(product)
    by_itself = dataclasses.replace(product, ctcvr_logit_N=known(product.cvr_logit_N) - 3.0)
    p_ctr, p_cvr = (1 / (1 + np.exp(-known(logit_N)))
                    for logit_N in (product.ctr_logit_N, product.cvr_logit_N))
    np.testing.assert_allclose(rows_of(Task.CTCVR, product, group_N, ONE_MODEL).p_N, p_ctr * p_cvr)
    np.testing.assert_allclose(rows_of(Task.CTCVR, by_itself, group_N, ONE_MODEL).p_N,
                               1 / (1 + np.exp(3 - known(product.cvr_logit_N))))


def test_what_is_not_predicted_has_no_rows_and_says_so() -> None:
    whole = random_predictions()
    group_N, _ = group_codes(whole)
    for task, missing in ((Task.CTR, {"ctr_logit_N": None}), (Task.CVR, {"cvr_logit_N": None})):
        part = dataclasses.replace(whole, **missing)  # type: ignore[arg-type]
        for asked in (task, Task.CTCVR):
            rows = rows_of(asked, part, group_N, ONE_MODEL)
            assert len(rows) == 0 and not rows.is_predicted
            assert explain("auc", rows) == "the method does not predict it"
        (other,) = {Task.CTR, Task.CVR} - {task}
        assert rows_of(other, part, group_N, ONE_MODEL).is_predicted


def test_a_cvr_that_exceeds_1_ranks_and_is_calibrated_but_has_no_log_loss() -> None:
    log_p_N = np.log(np.linspace(0.1, 2.0, 400))
    whole = dataclasses.replace(random_predictions(), cvr_logit_N=None, cvr_log_p_N=log_p_N)
    group_N, _ = group_codes(whole)
    rows = rows_of(Task.CVR, whole, group_N, ONE_MODEL)
    clicked = whole.click_N == 1
    np.testing.assert_array_equal(rows.log_p_N, log_p_N[clicked])
    p_N = np.linspace(0.1, 2.0, 400)[clicked]
    np.testing.assert_allclose(rows.log_not_p_N[p_N < 0.999], np.log(1 - p_N[p_N < 0.999]))
    assert np.isneginf(rows.log_not_p_N[p_N > 1]).all()
    metrics = Sums.of(rows, equal_weight_edges(rows)).metrics()
    predicted = (np.exp(rows.log_p_N) * rows.weight_N).sum()
    assert metrics["pcoc"] == pytest.approx(predicted / (rows.label_N * rows.weight_N).sum())
    assert 0 < auc(rows) < 1
    assert np.isposinf(metrics["logloss"])
    assert explain("logloss", rows) == "infinite: of some negatives the prediction is 1 or more"


def test_names_carry_their_space() -> None:
    assert [metric_name(task, "auc") for task in Task] == ["ctr_auc", "cvr_auc_click", "ctcvr_auc"]
