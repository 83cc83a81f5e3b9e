"""Figures of an audit against sums written out, and what its sentences say of them."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from esmm_dist.evaluation.audit import (
    NUM_DECILES,
    REFERENCES,
    against_clicks,
    against_truth,
    deciles,
    levels_to_base,
    of_truth,
    ranking_less_base,
    references,
)
from esmm_dist.evaluation.audit_answer import against_one, answers, ratio_text
from esmm_dist.evaluation.audit_document import (
    AS_DECLARED,
    Audit,
    Estimate,
    ScenarioFigures,
    pooled,
)
from esmm_dist.evaluation.audit_page import print_audit, render_audit
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.saturation import saturated
from esmm_dist.evaluation.truth import Truth
from tests.factories.predictions import known, random_predictions

NUM_ROWS = 2_000


def sigmoid(logit_N: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    found: np.ndarray = 1 / (1 + np.exp(-logit_N))  # type: ignore[type-arg]
    return found


def case() -> tuple[Predictions, Truth]:
    predictions = random_predictions(NUM_ROWS)
    exact = random_predictions(NUM_ROWS, noise=0.0)
    q_N, do_N = sigmoid(known(exact.ctr_logit_N)), sigmoid(known(exact.cvr_logit_N))
    return predictions, Truth(q_N, do_N, np.sqrt(do_N), np.zeros(NUM_ROWS))


def test_tenths_hold_equally_many_rows_in_order_of_pctr() -> None:
    p_N = np.random.default_rng(1).random(1_005)
    decile_N = deciles(p_N, np.ones(len(p_N)))
    sizes = np.bincount(decile_N, minlength=NUM_DECILES)
    assert len(sizes) == NUM_DECILES and sizes.max() - sizes.min() <= 1
    assert all(p_N[decile_N == k].max() < p_N[decile_N == k + 1].min() for k in range(9))


def test_tenths_hold_equally_many_impressions_where_rows_stand_for_several() -> None:
    """Of the un-clicked rows a tenth was kept: tenths are as they were before that."""
    rng = np.random.default_rng(2)
    p_N = rng.random(20_000)
    click_N = rng.random(20_000) < p_N
    whole_N = deciles(p_N, np.ones(len(p_N)))
    kept_N = click_N | (rng.random(20_000) < 0.1)
    weight_N = np.where(click_N, 1.0, 10.0)[kept_N]
    decile_N = deciles(p_N[kept_N], weight_N)
    shares = np.bincount(decile_N, weight_N, NUM_DECILES) / weight_N.sum()
    assert shares == pytest.approx(0.1, abs=0.005)
    assert (decile_N == whole_N[kept_N]).mean() > 0.9
    assert deciles(np.array([0.3, 0.1, 0.2]), np.array([1.0, 0.0, 0.0])).max() < NUM_DECILES


def test_ratios_are_those_of_weighted_sums_in_their_space_and_tenth() -> None:
    predictions, truth = case()
    decile_N = deciles(sigmoid(known(predictions.ctr_logit_N)), predictions.weight_N)
    found = against_truth(predictions, truth, decile_N)
    p_N, w_N = sigmoid(known(predictions.cvr_logit_N)), predictions.weight_N
    click_N = predictions.click_N == 1
    for space, in_space in (("", click_N | True), ("_click", click_N), ("_unclicked", ~click_N)):
        for name, truth_N in (("true_cvr", truth.p_conversion_do_click_N),
                              ("true_cvr_given", truth.p_conversion_given_click_N)):
            above, below = ((w_N * v)[in_space] for v in (p_N, truth_N))
            assert found[f"{name}_pcoc{space}"] == pytest.approx(above.sum() / below.sum())
            third = in_space & (decile_N == 2)
            assert found[f"{name}_pcoc{space}_decile_3"] == pytest.approx(
                (w_N * p_N)[third].sum() / (w_N * truth_N)[third].sum())
    both_N = truth.p_click_N * truth.p_conversion_given_click_N
    assert found["cvr_to_true_ctcvr"] == pytest.approx((w_N @ p_N) / (w_N @ both_N))
    seen = (w_N * predictions.conversion_N)[click_N].sum() / w_N[click_N].sum()
    assert found["cvr_to_clicked_rate"] == pytest.approx((w_N @ p_N) / w_N.sum() / seen)
    without = against_truth(replace(predictions, ctr_logit_N=None), truth, decile_N)
    assert "true_ctr_pcoc_decile_1" in found and "true_ctr_pcoc_decile_1" not in without


def test_a_constant_knows_no_order_and_the_truth_is_right_everywhere() -> None:
    predictions, truth = case()
    decile_N = deciles(truth.p_click_N, predictions.weight_N)
    of_rate, of_truth_itself = (
        against_truth(own, truth, decile_N)
        for own in references(predictions, truth, clicked_rate=0.2).values())
    do_N, w_N = truth.p_conversion_do_click_N, predictions.weight_N
    assert of_rate["true_cvr_pcoc"] == pytest.approx(0.2 * w_N.sum() / (w_N @ do_N))
    assert of_rate["true_cvr_auc"] == pytest.approx(0.5)
    assert of_truth_itself["true_cvr_auc"] > 0.6
    assert of_truth_itself["true_cvr_excess"] == pytest.approx(0, abs=1e-9)
    for k in range(1, NUM_DECILES + 1):
        assert of_truth_itself[f"true_cvr_pcoc_decile_{k}"] == pytest.approx(1)


def test_where_a_quotient_is_above_1_there_is_a_ratio_and_no_divergence() -> None:
    predictions, truth = case()
    log_p_N = np.log(sigmoid(known(predictions.cvr_logit_N)))
    log_p_N[0] = np.log(1.5)
    quotient = replace(predictions, cvr_logit_N=None, cvr_log_p_N=log_p_N)
    found = against_truth(quotient, truth, np.zeros(NUM_ROWS, np.intp))
    assert np.isfinite(found["true_cvr_pcoc"]) and not np.isfinite(found["true_cvr_excess"])


def test_what_escm2_claims_is_written_as_its_proof_has_it() -> None:
    predictions, truth = case()
    predictions = replace(predictions, weight_N=np.ones(NUM_ROWS))
    found = of_truth(predictions, truth, np.zeros(NUM_ROWS, np.intp))
    q_N, r_N = truth.p_click_N, truth.p_conversion_given_click_N
    assert found["mean_of_ratios_to_ratio_of_means"] == pytest.approx(
        ((q_N * r_N) / q_N).mean() / ((q_N * r_N).mean() / q_N.mean()))
    assert found["mean_of_ratios_to_ratio_of_means"] < 1, "who clicks more, converts more here"
    clicks = predictions.click_N == 1
    assert found["clicked_rate_to_true_cvr"] == pytest.approx(
        predictions.conversion_N[clicks].mean() / truth.p_conversion_do_click_N.mean())
    assert found["given_to_do"] == pytest.approx(r_N.sum() / truth.p_conversion_do_click_N.sum())


def test_on_real_logs_trainings_are_averaged_and_clicks_alone_are_judged() -> None:
    one, other = random_predictions(NUM_ROWS), random_predictions(NUM_ROWS, noise=1.0)
    decile_N = deciles(known(one.ctr_logit_N), one.weight_N)
    found = against_clicks([one, other], [other, other], decile_N, num_draws=200)
    p_N = (sigmoid(known(one.cvr_logit_N)) + sigmoid(known(other.cvr_logit_N))) / 2
    click_N, w_N = one.click_N == 1, one.weight_N
    seen = (w_N * one.conversion_N)[click_N].sum()
    ratio = found["cvr_pcoc_click"]
    assert ratio.value == pytest.approx((w_N * p_N)[click_N].sum() / seen)
    assert ratio.low is not None and ratio.high is not None
    assert ratio.low < ratio.value < ratio.high
    last = ~click_N & (decile_N == 9)
    assert found["implied_rate_unclicked_decile_10"].value == pytest.approx(
        (w_N * p_N)[last].sum() / w_N[last].sum())
    assert found["cvr_to_base_unclicked_decile_10"].value == pytest.approx(
        (w_N * p_N)[last].sum() / (w_N * sigmoid(known(other.cvr_logit_N)))[last].sum())
    alone = [against_clicks([own], [other], decile_N, num_draws=20) for own in (one, other)]
    for name in ("cvr_pcoc_click", "cvr_to_base_unclicked", "implied_rate_click_decile_3"):
        assert found[name].by_seed == pytest.approx([of_one[name].value for of_one in alone])
    itself = against_clicks([other], [other], decile_N, num_draws=200)["cvr_to_base_click"]
    assert itself.low == itself.value == itself.high == 1, "drawn together"


def test_a_training_beside_base_is_its_mean_pcvr_over_that_of_base() -> None:
    predictions, truth = case()
    base = replace(predictions, cvr_logit_N=random_predictions(NUM_ROWS, noise=2.0).cvr_logit_N)
    decile_N = deciles(known(predictions.ctr_logit_N), predictions.weight_N)
    own, of_base = (against_truth(one, truth, decile_N) for one in (predictions, base))
    levels, rankings = levels_to_base(own, of_base), ranking_less_base(own, of_base)
    mine_N, its_N = (sigmoid(known(one.cvr_logit_N)) for one in (predictions, base))
    w_N = predictions.weight_N
    first = decile_N == 0
    assert levels["cvr_to_base"] == pytest.approx((w_N @ mine_N) / (w_N @ its_N))
    assert levels["cvr_to_base_decile_1"] == pytest.approx(
        (w_N @ (first * mine_N)) / (w_N @ (first * its_N)))
    assert rankings["true_cvr_auc_less_base"] == own["true_cvr_auc"] - of_base["true_cvr_auc"]
    assert all("given" not in name for name in levels)


def test_replicates_are_pooled_by_students_interval_of_the_logarithms() -> None:
    estimate = Estimate.of_ratios([0.8, 1.0, 1.25])
    logs = np.log([0.8, 1.0, 1.25])
    reach = 4.302652729911275 * logs.std(ddof=1) / np.sqrt(3)
    assert estimate.value == pytest.approx(1.0)
    assert estimate.high == pytest.approx(np.exp(reach))
    assert estimate.low == pytest.approx(np.exp(-reach))
    assert not estimate.is_off(1.0) and Estimate(value=2, low=1.5, high=3).is_off(1.0)
    assert Estimate.of_ratios([0.7]).low is None
    gap = Estimate.of_differences([-0.01, 0.0, 0.04])
    assert gap.value == pytest.approx(0.01) and gap.high is not None
    assert gap.high - gap.value == pytest.approx(
        4.302652729911275 * np.std([-0.01, 0.0, 0.04], ddof=1) / np.sqrt(3))
    assert set(pooled([{"a": 1.0, "b": float("nan")}, {"a": 2.0, "b": 1.0}])) == {"a"}


def test_the_loss_of_the_trainer_is_minimised_at_the_rate_of_those_who_click() -> None:
    found = saturated()
    assert len(found) == 20
    for x in found:
        assert x.p_cvr == pytest.approx(x.p_conversion_given_click, rel=1e-6)
        assert x.p_ctr == pytest.approx(x.p_click, rel=1e-6)
        assert x.p_cvr / (x.p_click * x.p_conversion_given_click) > 1.1


def test_a_minimum_that_was_not_reached_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esmm_dist.evaluation.saturation.MAX_STEPS", 2)
    with pytest.raises(AssertionError, match="Newton's method stands at"):
        saturated((0.01,), (0.95,))


# ---------------------------------------------------------------------------------------------
# Sentences and page
# ---------------------------------------------------------------------------------------------


TOLD, NOT_TOLD = Estimate(value=0.9, low=0.85, high=0.95), Estimate(value=0.9, low=0.8, high=1.1)
LESS = Estimate(value=-0.02, low=-0.03, high=-0.01)


def scenario(
    name: str, seen: float, confounding: float = 0.0, *, to_clicked: Estimate = TOLD,
    first_step: Estimate = TOLD, methods: tuple[str, ...] = ("esmm", "base", "aman"),
    num_epochs: int = 1, to_base: Estimate = TOLD, less_base: Estimate = LESS,
) -> ScenarioFigures:
    names = ("true_cvr_pcoc", "true_cvr_pcoc_click", "true_cvr_pcoc_unclicked",
             "true_cvr_given_pcoc", "cvr_to_true_ctcvr", "true_cvr_auc",
             *(f"true_cvr_pcoc_decile_{k}" for k in range(1, 11)))
    figures = {figure: Estimate(value=seen, low=0.9 * seen, high=1.1 * seen) for figure in names}
    figures |= {"cvr_to_clicked_rate": to_clicked, "num_steps": Estimate(value=1_172),
                "cvr_to_base": to_base, "cvr_to_base_unclicked": to_base,
                "true_cvr_auc_less_base": less_base}
    truth = {"given_to_do": Estimate(value=1.3), "clicked_rate_to_true_cvr": Estimate(value=1.5),
             "mean_of_ratios_to_ratio_of_means": first_step}
    return ScenarioFigures(
        name=name, truth=truth,
        settings={"ctr": 0.1, "confounding": confounding, "num_epochs": num_epochs},
        num_impressions=10, num_clicks=5, num_conversions=1,
        methods={method: figures for method in (*methods, *REFERENCES)})


def audit_of(*scenarios: ScenarioFigures, is_simulated: bool = True) -> Audit:
    varied = {key: tuple(s.name for s in scenarios
                         if s.name == AS_DECLARED or s.name.startswith(key))
              for key in ("confounding", "num_epochs")} if is_simulated else {}
    return Audit(
        name="<toy>", note="Made up & small.", audited_at=datetime(2026, 1, 1, tzinfo=UTC),
        commit=None, num_replicates=3, is_simulated=is_simulated, varied=varied,
        scenarios=scenarios, saturated=saturated((0.1,), (0.1,)))


def test_sentences_say_what_intervals_bear_and_no_more() -> None:
    assert against_one(Estimate(value=1.2, low=1.1, high=1.3)) == "too high"
    assert against_one(Estimate(value=0.8, low=0.7, high=0.9)) == "too low"
    assert against_one(Estimate(value=1.2, low=0.9, high=1.5)) == "not told from 1"
    assert ratio_text(Estimate(value=1.2)) == "1.2 (no interval)"
    found = " ".join(answers(audit_of(
        scenario(AS_DECLARED, 1.4, methods=("esmm", "base", "aman", "dcmt")),
        scenario("confounding=1", 1.7, 1.0))))
    assert "too high" in found and "With hidden confounding of 1, clicks lead to 1.3" in found
    assert ("un-clicked impressions: too high: ESMM 1.4 (1.26 to 1.54), BASE 1.4 (1.26 to 1.54), "
            "DCMT 1.4 (1.26 to 1.54); too low: none") in found
    assert "0.9 (0.85 to 0.95) times BASE's over all impressions" in found
    assert ("less BASE's draw by draw: better: none; worse: ESMM -0.0200 (-0.0300 to -0.0100), AMAN"
            in found)


def test_of_real_logs_single_seeds_are_told_beside_the_chance_of_the_rows() -> None:
    names = ("cvr_pcoc_click", "implied_rate_unclicked", "implied_rate_click",
             "cvr_to_base_unclicked")
    figures = {name: Estimate(value=1.0, low=0.98, high=1.02, by_seed=(0.9, 1.1)) for name in names}
    real = ScenarioFigures(name="real", settings={}, truth={}, num_impressions=4, num_clicks=2,
                           num_conversions=1, methods={"esmm": figures, "base": figures})
    found = " ".join(answers(audit_of(real, is_simulated=False)))
    assert "1 (0.98 to 1.02; seeds 0.9 to 1.1) times what BASE implies" in found
    assert found.count("1 (0.98 to 1.02; seeds 0.9 to 1.1) times the conversions seen") == 2
    assert "seeds 0.9 to 1.1" in render_audit(audit_of(real, is_simulated=False))
    assert ratio_text(Estimate(value=1.2, by_seed=(1.1, 1.3))) == (
        "1.2 (no interval; seeds 1.1 to 1.3)")


def test_worlds_are_counted_by_what_their_draws_tell_and_each_once() -> None:
    found = " ".join(answers(audit_of(
        scenario(AS_DECLARED, 1.4),
        scenario("confounding=1", 1.7, 1.0, to_clicked=NOT_TOLD, first_step=NOT_TOLD),
        scenario("num_epochs=3", 1.2, methods=("esmm", "base"), num_epochs=3))))
    assert "above in 0 of 2 worlds, below in 1, and not told in 1" in found
    assert "is above BASE's in 0 of 2 worlds, below in 2, and not told in 0" in found
    assert "fails in 1 of 2 worlds" in found and "holds in 0, and is not told in 1" in found
    assert "BASE, trained for longer in the world as declared: after 1,172 steps 1.4" in found


def test_what_draws_share_does_not_blur_a_ratio_of_two_figures() -> None:
    """The mean pCVR and the rate of clicks vary by half from draw to draw, and together."""
    rates, pairs = (0.5, 1.0, 2.0), (0.90, 0.88, 0.92)
    alone = Estimate.of_ratios([rate * pair for rate, pair in zip(rates, pairs)])
    assert alone.side_of(1.0) == "not told"
    assert Estimate.of_ratios(pairs).side_of(1.0) == "below"


@pytest.mark.parametrize("is_simulated", [True, False])
def test_the_page_opens_offline_and_holds_every_sentence(
    is_simulated: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [random_predictions()]
    of_clicks = against_clicks(rows, rows, np.zeros(400, np.intp), num_draws=100)
    real = ScenarioFigures(name="real", settings={}, truth={}, methods={"esmm": of_clicks},
                           num_impressions=400, num_clicks=200, num_conversions=50)
    audit = audit_of(
        scenario(AS_DECLARED, 1.4), scenario("confounding=1", 0.7, 1.0),
        scenario("num_epochs=3", 1.2, methods=("esmm", "base"), num_epochs=3)) if is_simulated \
        else audit_of(real, is_simulated=False)
    page = render_audit(audit)
    assert "&lt;toy&gt;" in page and "<toy>" not in page and "http" not in page
    # Of the world as declared three by tenths; of either key ESMM and BASE at all and by tenths
    assert page.count("<svg") == (3 + 2 * (2 + 4) if is_simulated else 1)
    for heading in ("Question", "Answer", "Set-up", "Figures", "Limits"):
        assert f">{heading}" in page
    print_audit(audit)
    printed = "".join(capsys.readouterr().out.split())
    assert "esmm" in printed
    for sentence in answers(audit):
        assert "".join(sentence.split()) in printed, "brackets and all"
    assert Audit.model_validate_json(audit.model_dump_json()) == audit
