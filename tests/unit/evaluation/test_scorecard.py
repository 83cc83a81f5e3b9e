"""The document of figures: complete, paired, by day and pooled, and the same after JSON."""

import dataclasses
import json
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.folds import Fold
from esmm_dist.evaluation.metrics import AUC_WITHIN_MODEL, METRICS
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import (
    FoldRecord,
    RunRecord,
    Scorecard,
    make_scorecard,
    model_codes,
)
from esmm_dist.evaluation.tasks import Task, metric_name
from esmm_dist.evaluation.terminal import print_table
from tests.factories.predictions import known, random_predictions

NAMES = {metric_name(task, metric) for task in Task for metric in METRICS}


def run_record(num_bootstraps: int = 100) -> RunRecord:
    fold = Fold((date(2024, 1, 1), date(2024, 1, 2)), (date(2024, 1, 3), date(2024, 1, 4)))
    return RunRecord(
        name="small", method="esmm", reference="logistic_regression", note="", samples_path="s",
        fingerprint="f" * 64, encodings="e" * 64, commit=None,
        evaluated_at=datetime(2024, 2, 1, tzinfo=UTC), num_bootstraps=num_bootstraps,
        folds=(FoldRecord.of(fold, "checkpoints/2024-01-03/step-000000010", 10, 1),),
    )


@pytest.fixture(scope="module")
def predictions() -> tuple[Predictions, Predictions]:
    """A good model and a noisier reference of the same rows."""
    return tuple(random_predictions(num_rows=4000, num_groups=300, noise=noise)
                 for noise in (0.2, 1.0))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def card(predictions: tuple[Predictions, Predictions]) -> Scorecard:
    return make_scorecard(run_record(), *predictions)


def test_every_metric_of_both_and_their_difference_has_a_value_and_an_interval(
    card: Scorecard
) -> None:
    for scope in (card.pooled, *card.days.values()):
        for estimates in (scope.model, scope.reference, scope.difference):
            assert set(estimates) == NAMES
            assert all(e.value is not None and e.interval is not None for e in estimates.values())
    assert [fold.name for fold in card.run.folds] == ["2024-01-03"]


def test_values_are_those_of_the_predictions(
    card: Scorecard, predictions: tuple[Predictions, Predictions]
) -> None:
    model, _ = predictions
    assert (card.pooled.num_impressions, card.pooled.num_clicks, card.pooled.num_conversions) == (
        4000, (model.click_N == 1).sum(), (model.conversion_N == 1).sum())
    clicked = model.click_N == 1
    expected = {
        "ctr_auc": roc_auc_score(model.click_N, model.ctr_logit_N, sample_weight=model.weight_N),
        "cvr_auc_click": roc_auc_score(
            model.conversion_N[clicked], known(model.cvr_logit_N)[clicked],
            sample_weight=model.weight_N[clicked],
        ),
    }
    for name, value in expected.items():
        assert card.pooled.model[name].value == pytest.approx(value, rel=1e-12)
    assert sum(scope.num_impressions for scope in card.days.values()) == 4000
    for day, scope in card.days.items():
        assert scope.num_impressions == (model.day_N == np.datetime64(day)).sum()


def test_differences_are_paired(card: Scorecard) -> None:
    """Their intervals are narrower than those of the two figures, whose noise they share."""
    for name in ("ctr_auc", "ctr_logloss"):
        model, reference = card.pooled.model[name], card.pooled.reference[name]
        gap = card.pooled.difference[name]
        assert gap.value == pytest.approx(model.value - reference.value)  # type: ignore[operator]
        assert gap.interval is not None and model.interval is not None
        assert gap.interval.excludes_zero
        assert gap.interval.high - gap.interval.low < model.interval.high - model.interval.low


def test_equal_predictions_differ_by_nothing(
    predictions: tuple[Predictions, Predictions]
) -> None:
    card = make_scorecard(run_record(), predictions[0], predictions[0])
    assert {(e.value, e.low, e.high) for e in card.pooled.difference.values()} == {(0, 0, 0)}


def test_each_row_belongs_to_the_fold_that_tests_its_day(
    predictions: tuple[Predictions, Predictions]
) -> None:
    run = run_record()
    both = run.folds[0]
    days = [both.test_days.first, both.test_days.last]
    daily = [both.model_copy(update={"test_days": DayRange(first=d, last=d)}) for d in days]
    model, reference = predictions
    np.testing.assert_array_equal(model_codes(model, [both]), np.zeros(4000))
    np.testing.assert_array_equal(model_codes(model, daily), model.day_N == np.datetime64(days[1]))

    once = make_scorecard(run, model, reference).pooled.model
    apart = make_scorecard(run.model_copy(update={"folds": tuple(daily)}), model, reference)
    assert apart.pooled.model["ctr_auc"] == once["ctr_auc"]
    assert apart.pooled.model["ctr_gauc"] != once["ctr_gauc"]
    values = [scope.model["ctr_gauc"].value for scope in apart.days.values()]
    low, high = sorted(value for value in values if value is not None)
    pooled = apart.pooled.model["ctr_gauc"].value
    assert pooled is not None and low < pooled < high


def test_json_brings_the_same_document_back(card: Scorecard) -> None:
    text = card.to_json()
    assert Scorecard.model_validate_json(text) == card
    document: dict[str, Any] = json.loads(text)
    assert document["format_version"] == 1
    assert document["pooled"]["model"]["ctr_gauc"].keys() == {
        "value", "low", "high", "left_out_share"}
    assert 0 < document["pooled"]["model"]["ctr_gauc"]["left_out_share"] < 1
    assert set(document["reliability"]) == {"ctr", "cvr", "ctcvr"}


def test_what_is_undefined_is_null_with_a_reason(
    predictions: tuple[Predictions, Predictions]
) -> None:
    without = [dataclasses.replace(p, conversion_N=np.zeros_like(p.conversion_N))
               for p in predictions]
    document = json.loads(make_scorecard(run_record(), *without).to_json())
    found = document["pooled"]["model"]["ctcvr_auc"]
    assert found == {"value": None, "reason": "one class only: 0 positives in 4,000 rows"}
    assert document["pooled"]["difference"]["cvr_auc_click"]["value"] is None
    assert document["pooled"]["model"]["ctcvr_logloss"]["value"] > 0


def test_a_calibration_error_is_never_negative(card: Scorecard) -> None:
    for scope in (card.pooled, *card.days.values()):
        for estimates in (scope.model, scope.reference):
            low = estimates["ctcvr_ece"].low
            assert low is not None and low >= 0


@pytest.fixture(scope="module")
def card_of_two_models(predictions: tuple[Predictions, Predictions]) -> Scorecard:
    """Each day is scored by a training of its own."""
    days = (date(2024, 1, 3), date(2024, 1, 4))
    folds = tuple(FoldRecord.of(Fold((date(2024, 1, 1),), (day,)), "c", 10, 1) for day in days)
    return make_scorecard(run_record().model_copy(update={"folds": folds}), *predictions)


def test_where_several_models_scored_the_rows_auc_within_them_stands_beside(
    card_of_two_models: Scorecard
) -> None:
    found = card_of_two_models
    names = {metric_name(task, AUC_WITHIN_MODEL) for task in Task}
    assert set(found.pooled.model) == NAMES | names
    gap = found.pooled.difference["cvr_auc_within_model_click"]
    assert gap.value and gap.value > 0 and gap.interval and gap.interval.excludes_zero
    assert all(set(scope.model) == NAMES for scope in found.days.values()), "a day has one model"


def test_few_groups_leave_figures_without_intervals_and_say_why() -> None:
    few = [random_predictions(num_groups=3, noise=noise) for noise in (0.2, 1.0)]
    estimate = make_scorecard(run_record(), *few).pooled.model["ctr_auc"]
    assert estimate.value is not None and estimate.interval is None
    assert estimate.reason == "3 groups are too few to draw from, 20 are needed"


def test_a_terminal_of_80_columns_shows_every_figure_whole(
    card_of_two_models: Scorecard, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(card_of_two_models)
    printed = capsys.readouterr().out
    assert "ctcvr_pcoc" in printed and "logistic regression" in printed
    assert "…" not in printed
