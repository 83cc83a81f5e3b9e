"""The fast bootstrap against one that copies the drawn rows, and what intervals must say."""

import dataclasses

import numpy as np
import pytest

from esmm_dist.evaluation import intervals
from esmm_dist.evaluation.intervals import (
    MIN_GROUPS,
    Interval,
    bootstrap,
    interval,
    task_statistic,
    why_no_interval,
)
from esmm_dist.evaluation.metrics import AUC_WITHIN_MODEL, METRICS, auc, equal_weight_edges
from esmm_dist.evaluation.tasks import FloatArray, IntArray, Rows, Task, group_codes, rows_of
from tests.factories.predictions import random_predictions
from tests.oracles import metrics as oracle

NUM_DRAWS = 25


def rows_and_groups(task: Task, **options: int) -> tuple[Rows, int]:
    predictions = random_predictions(**options)
    group_N, num_groups = group_codes(predictions)
    model_N = np.arange(len(predictions)) % 2
    return rows_of(task, predictions, group_N, model_N), num_groups


def counts_of(draws: list[IntArray], num_groups: int) -> FloatArray:
    return np.stack([np.bincount(d, minlength=num_groups) for d in draws], axis=1).astype(float)


@pytest.mark.parametrize("task", Task)
def test_every_draw_equals_metrics_of_the_drawn_rows_copied(task: Task) -> None:
    rows, num_groups = rows_and_groups(task, num_rows=90, num_groups=12)
    rng = np.random.default_rng(3)
    draws = [rng.integers(num_groups, size=num_groups) for _ in range(NUM_DRAWS)]
    edges = equal_weight_edges(rows)
    found = task_statistic(rows, edges, num_groups)(counts_of(draws, num_groups))
    assert set(found) == {*METRICS, AUC_WITHIN_MODEL}

    columns = (rows.label_N, rows.weight_N, rows.log_p_N, rows.group_N, rows.p_N, rows.model_N)
    whole = [oracle.Row(*values) for values in zip(*columns)]
    for place, draw in enumerate(draws):
        copied = oracle.drawn(whole, list(draw))
        fixed_bins = [[row for row in copied if low <= row.score < high] for low, high
                      in zip([-np.inf, *edges], [*edges, np.inf])]
        expected = {
            "auc": oracle.auc(copied), AUC_WITHIN_MODEL: oracle.auc_within_model(copied),
            "gauc": oracle.gauc(copied)[0],
            "logloss": oracle.logloss(copied), "ne": oracle.ne(copied),
            "pcoc": oracle.pcoc(copied), "ece": oracle.ece([b for b in fixed_bins if b]),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][place], np.nan if value is None else value,
                                       rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_draw_of_every_group_once_is_the_estimate() -> None:
    rows, num_groups = rows_and_groups(Task.CTCVR, num_rows=3000, num_groups=300)
    statistic = task_statistic(rows, equal_weight_edges(rows), num_groups)
    np.testing.assert_allclose(statistic(np.ones((num_groups, 1)))["auc"], auc(rows), rtol=1e-12)


def test_draws_repeat_by_seed_and_do_not_depend_on_chunks(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, num_groups = rows_and_groups(Task.CTR)
    statistics = {"model": task_statistic(rows, equal_weight_edges(rows), num_groups)}
    first = bootstrap(statistics, num_groups, 60, seed=1)["model"]["auc"]
    other = bootstrap(statistics, num_groups, 60, seed=2)["model"]["auc"]
    monkeypatch.setattr(intervals, "MAX_ELEMENTS", 7 * num_groups)
    again = bootstrap(statistics, num_groups, 60, seed=1)["model"]["auc"]
    assert len(first) == 60
    np.testing.assert_allclose(again, first, rtol=1e-12)
    assert not np.allclose(first, other)


def test_predictors_share_their_draws() -> None:
    rows, num_groups = rows_and_groups(Task.CTR)
    edges = equal_weight_edges(rows)
    statistics = {name: task_statistic(rows, edges, num_groups) for name in ("a", "b")}
    values = bootstrap(statistics, num_groups, 100, seed=0)
    np.testing.assert_array_equal(values["a"]["auc"], values["b"]["auc"])


def test_copies_of_a_users_rows_add_no_certainty() -> None:
    """Four copies of every row say no more than one, if they are known to be one user's."""
    once, num_groups = rows_and_groups(Task.CTR, num_rows=600, num_groups=200)
    four = Rows(*(np.tile(getattr(once, name), 4) for name in
                  ("label_N", "weight_N", "group_N", "model_N", "log_p_N", "log_not_p_N")))
    apart = dataclasses.replace(four, group_N=np.arange(len(four)))

    def width(rows: Rows, groups: int) -> float:
        statistic = task_statistic(rows, equal_weight_edges(rows), groups)
        values = bootstrap({"model": statistic}, groups, 300, seed=0)["model"]["auc"]
        found = interval(values, auc(rows))
        assert found is not None
        return found.high - found.low

    np.testing.assert_allclose(width(four, num_groups), width(once, num_groups), rtol=1e-9)
    assert width(apart, len(apart)) < 0.7 * width(four, num_groups)


def test_the_interval_is_the_central_95_percent() -> None:
    values = np.arange(1001) / 1000
    found = interval(values, estimate=0.5)
    assert found is not None
    np.testing.assert_allclose([found.low, found.high], [0.025, 0.975])


def test_a_reflected_interval_lies_on_the_other_side_of_the_estimate() -> None:
    """Draws that lie above the estimate say that the estimate lies above the truth."""
    found = interval(np.linspace(0.2, 0.3, 1001), estimate=0.2, reflect=True)
    assert found is not None
    np.testing.assert_allclose([found.low, found.high], [0.1025, 0.1975])


def test_too_few_defined_draws_give_no_interval() -> None:
    values = np.r_[np.full(6, np.nan), np.linspace(0.4, 0.6, 94)]
    assert interval(values, estimate=0.5) is None
    assert interval(values[2:], estimate=0.5) is not None
    assert interval(np.ones(10), estimate=np.nan) is None


@pytest.mark.parametrize("num_groups", [1, MIN_GROUPS - 1, MIN_GROUPS])
def test_few_groups_give_no_interval_and_say_so(num_groups: int) -> None:
    """Draws of one group are all alike, and would pass for certainty."""
    rows, _ = rows_and_groups(Task.CTR, num_rows=600, num_groups=200)
    rows = dataclasses.replace(rows, group_N=np.arange(len(rows)) % num_groups)
    statistic = task_statistic(rows, equal_weight_edges(rows), num_groups)
    values = bootstrap({"model": statistic}, num_groups, 200, seed=0)["model"]["auc"]
    assert (interval(values, auc(rows)) is None) == (num_groups < MIN_GROUPS)
    assert (f"{MIN_GROUPS} are needed" in why_no_interval(num_groups)) == (num_groups < MIN_GROUPS)


def test_an_interval_excludes_zero_on_either_side() -> None:
    assert Interval(0.1, 0.2).excludes_zero and Interval(-0.2, -0.1).excludes_zero
    assert not Interval(-0.1, 0.1).excludes_zero
