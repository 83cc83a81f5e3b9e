"""What predictions say of conversions over impressions that nobody clicked, by deciles of pCTR.

On simulated logs pCVR is held against three truths: p(conversion | do(click), x), which is what is
asked for; p(conversion | click, x), to which clicks alone can lead; and p(click, conversion | x).
On real logs only what is seen after clicks can be held against anything.

Names of figures: `pcoc` is the sum predicted / the sum of the truth or of what was seen; a suffix
tells the space, `_decile_k` the k-th tenth of the impressions by the pCTR of one CTR network.
`cvr_to_base` is a method's mean pCVR / that of BASE in the same draw, `_less_base` its figure less
BASE's: what a draw does to both alike does not blur them.

Shape legend: N rows; S seeds; G groups; D draws of groups; K deciles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from esmm_dist.evaluation.audit_document import Estimate
from esmm_dist.evaluation.intervals import Statistic, bootstrap, interval
from esmm_dist.evaluation.metrics import ratio, sum_by
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import BOOTSTRAP_SEED
from esmm_dist.evaluation.tasks import FloatArray, IntArray, Mask, Task, group_codes, logs_of
from esmm_dist.evaluation.truth import Truth, as_predictions, truth_metrics

NUM_DECILES = 10
KEPT_OF_TRUTH = ("true_cvr_auc", "true_cvr_auc_unclicked", "true_cvr_excess")
OF_LEVEL, OF_RANKING = "true_cvr_pcoc", "true_cvr_auc"
BASE = "base"
"""The method that others are held against, draw by draw."""
REFERENCES = ("clicked_rate", "truth")
"""What stands beside the methods: one rate for all impressions, and the best that can be had."""


def deciles(p_ctr_N: FloatArray, weight_N: FloatArray) -> IntArray:
    """Every row's tenth by its pCTR, 0 the lowest; each holds a tenth of the weight, which stands
    for impressions where un-clicked ones were left out."""
    order_N = np.argsort(p_ctr_N, kind="stable")
    up_to_N = np.cumsum(weight_N[order_N])
    before_N = np.concatenate([[0.0], up_to_N[:-1]])
    decile_N = np.empty(len(p_ctr_N), np.intp)
    decile_N[order_N] = np.minimum(before_N * NUM_DECILES // up_to_N[-1], NUM_DECILES - 1)
    return decile_N


def p_of(task: Task, predictions: Predictions) -> FloatArray:
    """Predicted probabilities of all rows; above 1 of a quotient that is."""
    logs = logs_of(task, predictions)
    assert logs is not None, task
    return np.exp(logs[0])


# ---------------------------------------------------------------------------------------------
# Against the truth
# ---------------------------------------------------------------------------------------------


def against_truth(
    predictions: Predictions, truth: Truth, decile_N: IntArray
) -> dict[str, float]:
    """What one training says of rows whose truth is known."""
    p_N, weight_N = p_of(Task.CVR, predictions), predictions.weight_N
    do_N, given_N = truth.p_conversion_do_click_N, truth.p_conversion_given_click_N
    found = {name: value for name, value in truth_metrics(predictions, truth).items()
             if name in KEPT_OF_TRUTH}
    # The truth's own loss less itself is what rounding leaves. numpy's maximum keeps NaN.
    found["true_cvr_excess"] = float(np.maximum(0.0, round(found["true_cvr_excess"], 12)))
    for space, space_N in _spaces(predictions).items():
        rows_N = weight_N * space_N
        found[f"true_cvr_pcoc{space}"] = _ratio(p_N, do_N, rows_N)
        found[f"true_cvr_given_pcoc{space}"] = _ratio(p_N, given_N, rows_N)
        for name, truth_N in (("true_cvr", do_N), ("true_cvr_given", given_N)):
            found |= _by_decile(f"{name}_pcoc{space}", p_N, truth_N, rows_N, decile_N)
    clicked_N = weight_N * (predictions.click_N == 1)
    found["cvr_to_clicked_rate"] = (
        _ratio(p_N, np.ones_like(p_N), weight_N) / _clicked_rate(predictions, clicked_N))
    found["cvr_to_true_ctcvr"] = _ratio(p_N, truth.p_click_N * given_N, weight_N)
    if logs_of(Task.CTR, predictions) is not None:
        p_ctr_N = p_of(Task.CTR, predictions)
        found |= _by_decile("true_ctr_pcoc", p_ctr_N, truth.p_click_N, weight_N, decile_N)
    return found


def levels_to_base(
    figures: Mapping[str, float], of_base: Mapping[str, float]
) -> dict[str, float]:
    """A training's mean pCVRs as multiples of BASE's of the same draw, by space and tenth: the
    truth that both were divided by cancels."""
    names = [name for name in figures if name.startswith(OF_LEVEL)]
    own, its = (np.array([of_one[name] for name in names]) for of_one in (figures, of_base))
    return {name.replace(OF_LEVEL, "cvr_to_base", 1): float(value)
            for name, value in zip(names, ratio(own, its))}


def ranking_less_base(
    figures: Mapping[str, float], of_base: Mapping[str, float]
) -> dict[str, float]:
    """A training's expected AUCs less those of BASE in the same draw."""
    return {f"{name}_less_base": value - of_base[name]
            for name, value in figures.items() if name.startswith(OF_RANKING)}


def references(
    predictions: Predictions, truth: Truth, clicked_rate: float
) -> dict[str, Predictions]:
    """What predictors that learn nothing of x, and all of it, say of the same rows.

    Args:
        clicked_rate: conversion rate of the clicks that methods learned from, in (0, 1).
    """
    logit = float(np.log(clicked_rate) - np.log1p(-clicked_rate))
    constant = replace(predictions, ctr_logit_N=None, ctcvr_logit_N=None, cvr_log_p_N=None,
                       cvr_logit_N=np.full(len(predictions), logit))
    return dict(zip(REFERENCES, (constant, as_predictions(predictions, truth)), strict=True))


def of_truth(predictions: Predictions, truth: Truth, decile_N: IntArray) -> dict[str, float]:
    """What the truths say of each other, whatever is predicted.

    `clicked_rate_to_true_cvr` is what ESCM2 (arXiv 2204.05125, section 3.1) predicts that ESMM's
    mean over impressions exceeds: the conversion rate of clicks, over the true mean.
    `mean_of_ratios_to_ratio_of_means` is at least 1 by the first inequality of that proof.
    """
    q_N, do_N, given_N = (truth.p_click_N, truth.p_conversion_do_click_N,
                          truth.p_conversion_given_click_N)
    weight_N = predictions.weight_N
    clicked_N = weight_N * (predictions.click_N == 1)
    found = {
        "click_rate": _ratio(q_N, np.ones_like(q_N), weight_N),
        "true_cvr": _ratio(do_N, np.ones_like(do_N), weight_N),
        "clicked_rate_to_true_cvr": (_clicked_rate(predictions, clicked_N)
                                     / _ratio(do_N, np.ones_like(do_N), weight_N)),
        "mean_of_ratios_to_ratio_of_means": (
            _ratio(given_N, np.ones_like(q_N), weight_N) / _ratio(q_N * given_N, q_N, weight_N)),
    }
    for space, space_N in _spaces(predictions).items():
        found[f"given_to_do{space}"] = _ratio(given_N, do_N, weight_N * space_N)
    found |= _by_decile("given_to_do", given_N, do_N, weight_N, decile_N)
    return found | _by_decile("click_rate", q_N, np.ones_like(q_N), weight_N, decile_N)


def _spaces(predictions: Predictions) -> dict[str, Mask]:
    click_N = predictions.click_N == 1
    return {"": np.ones(len(predictions), bool), "_click": click_N, "_unclicked": ~click_N}


def _clicked_rate(predictions: Predictions, clicked_N: FloatArray) -> float:
    """Conversion rate of the test days' clicks."""
    return _ratio(predictions.conversion_N.astype(float), np.ones(len(predictions)), clicked_N)


def _ratio(above_N: FloatArray, below_N: FloatArray, weight_N: FloatArray) -> float:
    return float(ratio(weight_N @ above_N, weight_N @ below_N))


def _by_decile(
    name: str, above_N: FloatArray, below_N: FloatArray, weight_N: FloatArray, decile_N: IntArray
) -> dict[str, float]:
    above_K, below_K = (sum_by(decile_N, weight_N * value_N, NUM_DECILES)
                        for value_N in (above_N, below_N))
    return {f"{name}_decile_{place}": float(value)
            for place, value in enumerate(ratio(above_K, below_K), start=1)}


# ---------------------------------------------------------------------------------------------
# Without a truth
# ---------------------------------------------------------------------------------------------


def against_clicks(
    trainings: Sequence[Predictions], of_base: Sequence[Predictions], decile_N: IntArray,
    num_draws: int,
) -> dict[str, Estimate]:
    """What trainings by several seeds say together: of clicks beside what was seen, with intervals
    from draws of groups; of un-clicked rows what they imply, which nothing can be held against.

    Args:
        of_base: trainings of BASE by the same seeds, which may be the same.
        decile_N: of the rows, the same for all trainings.
        num_draws: of groups.
    """
    first = trainings[0]
    own_SN, base_SN = (np.array([p_of(Task.CVR, own) for own in of_method])
                       for of_method in (trainings, of_base))
    group_N, num_groups = group_codes(first)

    def sums_of(p_N: FloatArray, its_N: FloatArray) -> dict[str, tuple[FloatArray, ...]]:
        quotients = _of_clicks(first, p_N, its_N)
        quotients |= {
            f"{name}_decile_{place + 1}": tuple(part_N * (decile_N == place) for part_N in parts)
            for name, parts in quotients.items() for place in range(NUM_DECILES)
        }
        return {name: tuple(sum_by(group_N, part_N, num_groups) for part_N in parts)
                for name, parts in quotients.items()}

    of_seeds = [sums_of(*pair) for pair in zip(own_SN, base_SN, strict=True)]
    sums = sums_of(own_SN.mean(axis=0), base_SN.mean(axis=0))
    drawn = bootstrap({"": _quotients(sums)}, num_groups, num_draws, BOOTSTRAP_SEED)[""]
    found = {}
    for name, (above_G, below_G) in sums.items():
        value = _of_sums(above_G, below_G)
        if not np.isfinite(value):
            continue
        bounds = interval(drawn[name], value)
        found[name] = Estimate(value=value, low=None if bounds is None else bounds.low,
                               high=None if bounds is None else bounds.high,
                               by_seed=tuple(_of_sums(*of_one[name]) for of_one in of_seeds))
    return found


def _of_sums(above_G: FloatArray, below_G: FloatArray) -> float:
    return float(ratio(above_G.sum(), below_G.sum()))


def _of_clicks(
    rows: Predictions, p_N: FloatArray, base_N: FloatArray
) -> dict[str, tuple[FloatArray, ...]]:
    """What is summed above and below the line."""
    click_N = rows.weight_N * (rows.click_N == 1)
    unclicked_N = rows.weight_N * (rows.click_N == 0)
    return {"cvr_pcoc_click": (click_N * p_N, click_N * rows.conversion_N),
            "observed_rate_click": (click_N * rows.conversion_N, click_N),
            "implied_rate_click": (click_N * p_N, click_N),
            "implied_rate_unclicked": (unclicked_N * p_N, unclicked_N),
            "cvr_to_base_click": (click_N * p_N, click_N * base_N),
            "cvr_to_base_unclicked": (unclicked_N * p_N, unclicked_N * base_N),
            "click_rate": (click_N, rows.weight_N)}


def _quotients(sums: Mapping[str, tuple[FloatArray, ...]]) -> Statistic:
    def statistic(count_GD: FloatArray) -> dict[str, FloatArray]:
        return {name: ratio(above_G @ count_GD, below_G @ count_GD)
                for name, (above_G, below_G) in sums.items()}

    return statistic
