"""Metrics against known truth."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from esmm_dist.contract.errors import InputError
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.truth import (
    COLUMNS,
    Truth,
    as_predictions,
    read_truth,
    truth_metrics,
)
from tests.factories.predictions import known, random_predictions


def sigmoid(logit_N: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    found: np.ndarray = 1 / (1 + np.exp(-logit_N))  # type: ignore[type-arg]
    return found


def case(num_rows: int = 3000) -> tuple[Predictions, Truth]:
    """Predictions with noise, and a truth that they are near."""
    predictions = replace(random_predictions(num_rows), weight_N=np.ones(num_rows))
    exact = random_predictions(num_rows, noise=0.0)
    p_N = sigmoid(known(exact.cvr_logit_N))
    rng = np.random.default_rng(3)
    return predictions, Truth(
        sigmoid(known(exact.ctr_logit_N)), p_N, np.sqrt(p_N),
        (rng.random(num_rows) < p_N).astype(float),
    )


def write(folder: Path, predictions: Predictions, truth: Truth) -> None:
    columns = [predictions.sample_id_N, *(getattr(truth, f"{name}_N") for name in COLUMNS[1:])]
    table = pa.table(dict(zip(COLUMNS, columns)))
    for day in np.unique(predictions.day_N):
        path = folder / f"day={day}"
        path.mkdir(parents=True)
        rows = np.flatnonzero(predictions.day_N == day)[::-1]  # in another order
        pq.write_table(table.take(pa.array(rows)), path / "0.parquet")


def test_truth_is_found_by_sample_and_rows_it_does_not_know_are_left_out(tmp_path: Path) -> None:
    predictions, truth = case(200)
    keep = np.arange(200) % 7 != 0
    kept = Truth(*(getattr(truth, f"{name}_N")[keep] for name in COLUMNS[1:]))
    write(tmp_path, predictions.take(keep), kept)
    found, known_N = read_truth(tmp_path, predictions)
    assert known_N.tolist() == np.flatnonzero(keep).tolist()
    for name in COLUMNS[1:]:
        assert (getattr(found, f"{name}_N") == getattr(kept, f"{name}_N")).all()


def test_a_missing_day_and_another_simulation_are_refused(tmp_path: Path) -> None:
    predictions, truth = case(200)
    with pytest.raises(InputError, match="day=2024-01-03: no truth there"):
        read_truth(tmp_path, predictions)
    write(tmp_path, replace(predictions, sample_id_N=predictions.sample_id_N + 1), truth)
    with pytest.raises(InputError, match="it knows none of the rows predicted"):
        read_truth(tmp_path, predictions)


def test_each_space_is_measured_on_its_rows() -> None:
    predictions, truth = case()
    found, click = truth_metrics(predictions, truth), predictions.click_N == 1
    logit_N = known(predictions.cvr_logit_N)
    for space, rows in (("", click | True), ("_click", click), ("_unclicked", ~click)):
        label, p, q = (column[rows] for column in (
            truth.potential_conversion_N, truth.p_conversion_do_click_N, sigmoid(logit_N)))
        assert found[f"potential_cvr_auc{space}"] == pytest.approx(
            roc_auc_score(label, logit_N[rows]))
        assert found[f"true_cvr_pcoc{space}"] == pytest.approx(q.sum() / p.sum())
        loss = -(p * np.log(q) + (1 - p) * np.log1p(-q)).mean()
        floor = -(p * np.log(p) + (1 - p) * np.log1p(-p)).mean()
        assert found[f"true_cvr_logloss{space}"] == pytest.approx(loss)
        assert found[f"true_cvr_excess{space}"] == pytest.approx(loss - floor)
        # Every row twice, as a positive of weight p and as a negative of weight 1 - p.
        expected = roc_auc_score(np.repeat([1, 0], rows.sum()), np.tile(logit_N[rows], 2),
                                 sample_weight=np.concatenate([p, 1 - p]))
        assert found[f"true_cvr_auc{space}"] == pytest.approx(expected)
    given = truth.p_conversion_given_click_N[click]
    assert found["true_cvr_given_pcoc_click"] == pytest.approx(
        sigmoid(logit_N)[click].sum() / given.sum())


def test_expected_auc_is_the_mean_over_labels_drawn_from_the_truth() -> None:
    predictions, truth = case()
    rng = np.random.default_rng(1)
    aucs = [roc_auc_score(rng.random(len(predictions)) < truth.p_conversion_do_click_N,
                          known(predictions.cvr_logit_N)) for _ in range(200)]
    error = np.std(aucs) / np.sqrt(len(aucs))
    assert truth_metrics(predictions, truth)["true_cvr_auc"] == pytest.approx(
        np.mean(aucs), abs=4 * error)


def test_nothing_is_better_than_the_truth() -> None:
    predictions, truth = case()
    best = truth_metrics(as_predictions(predictions, truth), truth)
    found = truth_metrics(predictions, truth)
    for name in ("true_cvr", "true_ctr"):
        assert abs(best[f"{name}_excess"]) < 1e-12 < found[f"{name}_excess"]
        assert best[f"{name}_pcoc"] == pytest.approx(1)
        assert best[f"{name}_auc"] > found[f"{name}_auc"]


def test_what_is_not_predicted_is_not_measured() -> None:
    predictions, truth = case(300)
    found = truth_metrics(replace(predictions, cvr_logit_N=None), truth)
    assert not [name for name in found if "cvr" in name] and "true_ctr_auc" in found


def test_a_quotient_above_1_ranks_and_has_a_ratio_but_no_loss() -> None:
    predictions, truth = case(300)
    log_p_N = np.full(300, np.log(0.5))
    log_p_N[0] = np.log(1.5)
    found = truth_metrics(replace(predictions, cvr_logit_N=None, cvr_log_p_N=log_p_N), truth)
    assert found["true_cvr_logloss"] == np.inf
    assert found["true_cvr_pcoc"] == pytest.approx(
        151 / truth.p_conversion_do_click_N.sum())


def test_days_have_their_own_truth(tmp_path: Path) -> None:
    predictions, truth = case(100)
    write(tmp_path, predictions, truth)
    first = predictions.take(predictions.day_N == np.datetime64(date(2024, 1, 3)))
    found, known_N = read_truth(tmp_path, first)
    assert len(found.p_click_N) == len(known_N) == len(first)
