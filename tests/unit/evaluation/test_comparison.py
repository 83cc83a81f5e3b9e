"""Figures over seeds, and paired differences."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from esmm_dist.contract.protocols import LearningRates
from esmm_dist.evaluation.comparison import TestRows, Trial, compare
from esmm_dist.evaluation.comparison_document import (
    COMMON_CTR_AUC,
    Choice,
    Comparison,
    Cost,
    MethodFigures,
    TuningTrial,
)
from esmm_dist.evaluation.comparison_page import (
    print_comparison,
    render_comparison,
    to_csv,
)
from esmm_dist.evaluation.intervals import bootstrap, task_statistic
from esmm_dist.evaluation.metrics import equal_weight_edges
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import BOOTSTRAP_SEED
from esmm_dist.evaluation.tasks import Task, group_codes, rows_of
from tests.factories.predictions import known, random_predictions

COST = Cost(train_seconds=2.0, peak_memory_mb=100.0, num_ranks=1, is_whole=True)
NUM_ROWS, SEEDS = 1500, (1, 2, 3)


def predictions_of(noise: float, seed: int) -> Predictions:
    """Rows that are always the same, and logits that differ between seeds."""
    exact = replace(random_predictions(NUM_ROWS, noise=0.0), weight_N=np.ones(NUM_ROWS))
    rng = np.random.default_rng([seed, round(100 * noise)])

    def noisy(logit_N: NDArray[np.float64] | None) -> NDArray[np.float64]:
        found: NDArray[np.float64] = known(logit_N) + noise * rng.normal(size=NUM_ROWS)
        return found

    return replace(exact, ctr_logit_N=noisy(exact.ctr_logit_N),
                   cvr_logit_N=noisy(exact.cvr_logit_N))


def trials(noise: float, *, has_cvr: bool = True) -> Iterator[Trial]:
    for seed in SEEDS:
        own = predictions_of(noise, seed)
        if not has_cvr:
            own = replace(own, cvr_logit_N=None)
        yield Trial(seed, own, predictions_of(0.7, 10 + seed), COST)


@pytest.fixture(scope="module")
def figures() -> dict[str, MethodFigures]:
    rows = TestRows(predictions_of(0.5, 1), np.zeros(NUM_ROWS, np.intp), 200)
    found, best = compare(rows, "bad", {
        "bad": trials(1.5), "good": trials(0.2), "same": trials(1.5),
        "blind": trials(0.2, has_cvr=False),
    })
    assert best == {}
    return {method.method: method for method in found}


def test_a_figure_is_the_mean_and_deviation_over_seeds(figures: dict[str, MethodFigures]) -> None:
    aucs = []
    for seed in SEEDS:
        own = predictions_of(0.2, seed)
        aucs.append(roc_auc_score(own.click_N, known(own.ctr_logit_N)))
    spread = figures["good"].metrics["ctr_auc"]
    assert spread.mean == pytest.approx(np.mean(aucs)) and spread.num_seeds == len(SEEDS)
    assert spread.std == pytest.approx(np.std(aucs, ddof=1))


def test_a_better_method_differs_beyond_chance_and_an_equal_one_by_nothing(
    figures: dict[str, MethodFigures]
) -> None:
    for name in ("cvr_auc_click", COMMON_CTR_AUC, "ctr_auc"):
        gap = figures["good"].differences[name]
        assert gap.low is not None and gap.delong_low is not None
        assert gap.low > 0 and gap.delong_low > 0 and gap.low < gap.mean
        same = figures["same"].differences[name]
        assert same.mean == same.low == same.high == same.delong_low == same.std == 0
    assert figures["bad"].differences == {}


def test_the_bootstrap_of_a_mean_over_seeds_is_near_delongs(
    figures: dict[str, MethodFigures]
) -> None:
    """On rows whose users hardly matter both tell of the same chance."""
    gap = figures["good"].differences["ctr_auc"]
    assert gap.low is not None and gap.high is not None
    assert gap.delong_low is not None and gap.delong_high is not None
    ratio = (gap.high - gap.low) / (gap.delong_high - gap.delong_low)
    assert 0.6 < ratio < 1.7


def test_of_what_noise_drives_up_the_draws_deviations_count_the_other_way() -> None:
    """As the report has it: of ece the reflected interval."""
    totals = []
    for noise in (1.5, 0.2):
        own = predictions_of(noise, 1)
        group_N, num_groups = group_codes(own)
        rows = rows_of(Task.CTR, own, group_N, np.zeros(NUM_ROWS, np.intp))
        statistic = task_statistic(rows, equal_weight_edges(rows), num_groups)
        totals.append(bootstrap({"ctr": statistic}, num_groups, 100, BOOTSTRAP_SEED)["ctr"]["ece"])
    test_rows = TestRows(predictions_of(0.5, 1), np.zeros(NUM_ROWS, np.intp), 100)
    trial = {name: [Trial(1, predictions_of(noise, 1), predictions_of(0.7, 11), COST)]
             for name, noise in (("bad", 1.5), ("good", 0.2))}
    _, good = compare(test_rows, "bad", trial)[0]
    gap = good.differences["ctr_ece"]
    high = np.quantile(totals[1] - totals[0], 0.975)
    assert gap.low == pytest.approx(2 * gap.mean - high)


def test_what_is_not_predicted_is_not_compared(figures: dict[str, MethodFigures]) -> None:
    blind = figures["blind"]
    assert "ctr_auc" in blind.differences
    assert not [name for name in (*blind.metrics, *blind.differences) if name[:2] in ("cv", "ct")
                and not name.startswith("ctr_")]


def test_one_seed_has_no_deviation() -> None:
    rows = TestRows(predictions_of(0.5, 1), np.zeros(NUM_ROWS, np.intp), 100)
    one = [Trial(1, predictions_of(0.5, 1), predictions_of(0.7, 11), COST)]
    (found,), _ = compare(rows, "one", {"one": one})
    assert found.metrics["ctr_auc"].std is None


def test_table_csv_and_page_hold_the_figures(
    figures: dict[str, MethodFigures], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choice = Choice(method="good", metric="cvr_auc_click", trials=tuple(
        TuningTrial(rates=LearningRates(towers=rate, tables=0.05), options={"cvr_weight": 0.3},
                    value=value)
        for rate, value in ((0.001, 0.61), (0.003, 0.62), (0.01, 0.62))))
    assert choice.best and choice.best.rates.towers == 0.003
    comparison = Comparison(
        name="<toy>", note="Made up & small.", compared_at=datetime(2026, 1, 1, tzinfo=UTC),
        commit=None, baseline="bad", num_impressions=NUM_ROWS, num_clicks=2, num_conversions=1,
        num_groups=40, num_bootstraps=200, num_unknown_to_truth=None, best={},
        methods=tuple(figures.values()), tuning=(choice,),
    )
    lines = to_csv(comparison).splitlines()
    assert len(lines) == 1 + sum(len(method.metrics) for method in comparison.methods)
    mean = figures["good"].metrics["ctr_auc"].mean
    assert any(line.startswith(f"good,ctr_auc,{mean!r},") for line in lines)
    page = render_comparison(comparison)
    assert "0.003 / 0.05" in page and "<b>0.6200</b>" in page and "0.6100" in page
    assert "cvr_weight 0.3" in page
    gap = figures["good"].differences["cvr_auc_click"]
    assert gap.delong_low is not None and gap.std is not None
    assert f"<small>std {gap.std:.4f}; DeLong +{gap.delong_low:.4f} to +" in page
    assert "&lt;toy&gt;" in page and "Made up &amp; small." in page and page.count("<svg") >= 3
    monkeypatch.setenv("COLUMNS", "60")
    print_comparison(comparison)
    printed = capsys.readouterr().out
    assert f"{figures['good'].metrics['cvr_auc_click'].mean:.4f}" in printed
    assert "…" not in printed, "narrow as it is, names and figures are whole"
    assert Comparison.model_validate_json(comparison.model_dump_json()) == comparison


def test_seeds_that_failed_leave_figures_of_the_others_paired() -> None:
    rows = TestRows(predictions_of(0.5, 1), np.zeros(NUM_ROWS, np.intp), 100)
    base, partly = list(trials(1.5)), list(trials(0.2))[1:]
    _, found = compare(rows, "bad", {"bad": base, "partly": partly})[0]
    whole = compare(rows, "bad", {"bad": base[1:], "partly": partly})[0][1]
    gap = found.differences["ctr_auc"]
    assert gap.num_seeds == 2 and found.metrics["ctr_auc"].num_seeds == 2
    expected = whole.differences["ctr_auc"]
    assert (gap.mean, gap.low, gap.high) == (expected.mean, expected.low, expected.high)
    assert gap.delong_low is None and expected.delong_low is not None


def test_without_the_common_network_what_needs_it_alone_is_undefined() -> None:
    rows = TestRows(predictions_of(0.5, 1), np.zeros(NUM_ROWS, np.intp), 100)
    one = [replace(next(trials(0.2)), common=None)]
    (found,), _ = compare(rows, "one", {"one": one})
    assert found.undefined[COMMON_CTR_AUC] == "the CTR network failed"
    assert "ctcvr_auc" in found.metrics and COMMON_CTR_AUC not in found.metrics


def test_within_models_every_auc_has_its_figure_and_interval() -> None:
    model_N = np.arange(NUM_ROWS) % 2
    rows = TestRows(predictions_of(0.5, 1), model_N, 100)
    _, good = compare(rows, "bad", {"bad": trials(1.5), "good": trials(0.2)})[0]
    for name in ("ctr_auc_within_model", "cvr_auc_within_model_click", "ctcvr_auc_within_model",
                 f"{COMMON_CTR_AUC}_within_model"):
        gap = good.differences[name]
        assert gap.low is not None and gap.high is not None and 0 < gap.low < gap.mean < gap.high
