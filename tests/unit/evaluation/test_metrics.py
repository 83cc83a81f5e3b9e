"""Every metric against its definition, row by row, and AUC against scikit-learn's."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from esmm_dist.evaluation.metrics import (
    AUC_WITHIN_MODEL,
    METRICS,
    GroupSums,
    Sums,
    auc,
    auc_by_list,
    auc_within_model,
    bin_of,
    equal_weight_edges,
    explain,
    metrics_of,
)
from esmm_dist.evaluation.tasks import Rows, Task, group_codes, log_probabilities, rows_of
from tests.factories.predictions import random_predictions
from tests.oracles import metrics as oracle

NO_GROUP = 12  # a code below num_groups that no row has


Table = list[tuple[int, float, float, int, int]]


def make_rows(table: Table) -> Rows:
    """Rows of (label, weight, logit, group, model)."""
    label_N, weight_N, logit_N, group_N, model_N = (np.array(column) for column in zip(*table))
    return Rows(label_N.astype(float), weight_N.astype(float), group_N, model_N,
                *log_probabilities(logit_N.astype(float)))


def as_oracle_rows(rows: Rows) -> list[oracle.Row]:
    columns = (rows.label_N, rows.weight_N, rows.log_p_N, rows.group_N, rows.p_N, rows.model_N)
    return [oracle.Row(*values) for values in zip(*columns)]


# Few values of everything, so that ties, lone classes and empty groups are common.
tables = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.25, 1.0, 2.5]),
              st.sampled_from([-4.0, -1.0, -0.5, 0.0, 2.0]), st.integers(0, 4),
              st.integers(0, 1)),
    min_size=1, max_size=40,
)


def same(found: Any, expected: float | None) -> None:
    if expected is None:
        assert np.isnan(found)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_every_metric_equals_its_definition(table: Table) -> None:
    rows = make_rows(table)
    slow = as_oracle_rows(rows)
    found = Sums.of(rows, equal_weight_edges(rows, num_bins=4)).metrics()
    groups = GroupSums.by_group(rows, NO_GROUP + 1).weighted(np.ones(NO_GROUP + 1))
    expected_gauc, expected_left_out = oracle.gauc(slow)
    same(auc(rows), oracle.auc(slow))
    same(groups.gauc(), expected_gauc)
    same(groups.left_out_share(), expected_left_out)
    same(found["logloss"], oracle.logloss(slow))
    same(found["ne"], oracle.ne(slow))
    same(found["pcoc"], oracle.pcoc(slow))
    same(found["ece"], oracle.ece(oracle.bins(slow, num_bins=4)))


@settings(max_examples=150, deadline=None)
@given(tables)
def test_auc_equals_scikit_learns_with_ties_and_weights(
    table: Table
) -> None:
    rows = make_rows(table)
    if len(set(rows.label_N)) == 2:
        expected = roc_auc_score(rows.label_N, rows.log_p_N, sample_weight=rows.weight_N)
        np.testing.assert_allclose(auc(rows), expected, rtol=1e-12)


def test_auc_and_logloss_equal_scikit_learns_on_many_rows() -> None:
    predictions = random_predictions(num_rows=30_000, num_groups=3_000)
    group_N, _ = group_codes(predictions)
    for task in Task:
        rows = rows_of(task, predictions, group_N, np.zeros_like(group_N))
        expected = roc_auc_score(rows.label_N, rows.log_p_N, sample_weight=rows.weight_N)
        np.testing.assert_allclose(auc(rows), expected, rtol=1e-12)
        found = Sums.of(rows, equal_weight_edges(rows)).metrics()["logloss"]
        np.testing.assert_allclose(
            found, log_loss(rows.label_N, rows.p_N, sample_weight=rows.weight_N), rtol=1e-9
        )


def test_auc_by_list_equals_auc_of_each_list() -> None:
    predictions = random_predictions(num_rows=500, num_groups=30)
    group_N, _ = group_codes(predictions)
    rows = rows_of(Task.CTCVR, predictions, group_N, np.arange(500) % 2)
    slow = as_oracle_rows(rows)
    lists = sorted({(row.group, row.model) for row in slow})
    found, weights, groups = auc_by_list(rows)
    np.testing.assert_array_equal(groups, [group for group, _ in lists])
    for value, weight, key in zip(found, weights, lists, strict=True):
        of_list = [row for row in slow if (row.group, row.model) == key]
        same(value, oracle.auc(of_list))
        same(weight, sum(row.weight for row in of_list))
    assert np.isnan(found).any() and not np.isnan(found).all()


def test_gauc_does_not_compare_the_scores_of_two_models() -> None:
    """The later model scores all higher; each ranks its own rows of the user perfectly."""
    rows = make_rows([(1, 1.0, -1.0, 0, 0), (0, 1.0, -2.0, 0, 0),
                      (1, 1.0, 2.0, 0, 1), (0, 1.0, 1.0, 0, 1)])
    assert GroupSums.by_group(rows, 1).weighted(np.ones(1)).gauc() == 1.0
    assert auc(rows) == 0.75


@pytest.mark.parametrize("num_parts", [2, 3, 7])
def test_sums_of_parts_merge_to_the_sums_of_the_whole(num_parts: int) -> None:
    """Parts by group, as ranks would hold them for GAUC; one part has no row at all."""
    predictions = random_predictions()
    group_N, num_groups = group_codes(predictions)
    for task in Task:
        whole = rows_of(task, predictions, group_N, np.zeros_like(group_N))
        edges = equal_weight_edges(whole)
        part_N = whole.group_N % num_parts
        parts = [
            Rows(**{f.name: getattr(whole, f.name)[part_N == part]
                    for f in dataclasses.fields(Rows) if not f.kw_only})
            for part in range(num_parts + 1)
        ]
        assert len(parts[-1]) == 0
        sums = functools.reduce(Sums.merge, [Sums.of(part, edges) for part in parts])
        groups = functools.reduce(GroupSums.merge, [
            GroupSums.by_group(part, num_groups).weighted(np.ones(num_groups)) for part in parts
        ])
        for name, value in Sums.of(whole, edges).metrics().items():
            np.testing.assert_allclose(sums.metrics()[name], value, rtol=1e-12)
        expected = GroupSums.by_group(whole, num_groups).weighted(np.ones(num_groups))
        np.testing.assert_allclose(groups.gauc(), expected.gauc(), rtol=1e-12)
        np.testing.assert_allclose(groups.left_out_share(), expected.left_out_share(), rtol=1e-12)


def test_bins_have_equal_weight_where_scores_do_not_tie() -> None:
    rng = np.random.default_rng(0)
    zeros = np.zeros(10_000, np.intp)
    rows = Rows(np.zeros(10_000), np.ones(10_000), zeros, zeros,
                *log_probabilities(rng.normal(size=10_000)))
    sizes = np.bincount(bin_of(rows, equal_weight_edges(rows, num_bins=10)))
    assert len(sizes) == 10 and abs(sizes - 1000).max() <= 1


@pytest.mark.parametrize(("labels", "undefined", "reason"), [
    ([], set(METRICS), "no rows"),
    ([0, 0, 0], {"auc", "gauc", "ne", "pcoc"}, "one class only: 0 positives in 3 rows"),
    ([1, 1], {"auc", "gauc", "ne"}, "one class only: 2 positives in 2 rows"),
])
def test_what_the_rows_do_not_define_is_nan_with_a_reason(
    labels: list[int], undefined: set[str], reason: str
) -> None:
    size = len(labels)
    zeros = np.zeros(size, np.intp)
    rows = Rows(np.array(labels, float), np.ones(size), zeros, zeros,
                *log_probabilities(np.linspace(-1, 1, size)))
    values = {"auc": np.array(auc(rows)),
              "gauc": GroupSums.by_group(rows, 1).weighted(np.ones(1)).gauc(),
              **Sums.of(rows, equal_weight_edges(rows)).metrics()}
    assert {name for name, value in values.items() if np.isnan(value)} == undefined
    assert explain("auc", rows) == reason


def test_gauc_says_when_no_group_can_be_ranked() -> None:
    rows = make_rows([(0, 1.0, 0.1, 0, 0), (1, 1.0, 0.2, 1, 0)])
    assert np.isnan(GroupSums.by_group(rows, 2).weighted(np.ones(2)).gauc())
    assert explain("gauc", rows) == "no list with both classes"


@given(tables)
def test_auc_within_models_equals_its_definition(table: Table) -> None:
    rows = make_rows(table)
    same(auc_within_model(rows), oracle.auc_within_model(as_oracle_rows(rows)))


def test_a_level_that_moves_between_models_counts_against_auc_and_not_within_them() -> None:
    predictions = random_predictions(num_rows=2000, num_groups=200)
    model_N = np.arange(len(predictions)) % 2
    rows = rows_of(Task.CTR, predictions, group_codes(predictions)[0], model_N)
    moved = dataclasses.replace(rows, log_p_N=rows.log_p_N - 3.0 * rows.model_N)
    assert auc(moved) < auc(rows) - 0.05
    assert auc_within_model(moved) == pytest.approx(auc_within_model(rows), abs=1e-12)
    assert AUC_WITHIN_MODEL in metrics_of(model_N)
    one = dataclasses.replace(rows, model_N=np.zeros_like(model_N))
    assert auc_within_model(one) == pytest.approx(auc(one), abs=1e-12)
    assert metrics_of(one.model_N) == METRICS


def test_auc_within_models_says_when_no_model_scored_both_classes() -> None:
    rows = make_rows([(0, 1.0, 0.1, 0, 0), (1, 1.0, 0.2, 0, 1)])
    assert np.isnan(auc_within_model(rows)) and not np.isnan(auc(rows))
    assert explain(AUC_WITHIN_MODEL, rows) == "no model scored rows of both classes"
