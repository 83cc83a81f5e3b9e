"""Exact metrics of one task's rows. What is a sum is kept as a sum, merged, and divided once.

| metric | definition |
|---|---|
| auc | P(positive ranked above negative), ties half, pairs weighted by w_i w_j |
| logloss | weighted mean of -log p(label) |
| ne | logloss / entropy of the rows' own positive rate (He et al., ADKDD 2014) |
| pcoc | predicted / observed positives |
| ece | weighted mean over 10 equal-weight bins of abs(mean p - positive rate) |
| gauc | mean AUC of lists, weighted by their rows' weight; lists of one class left out |
| auc_within_model | auc over the pairs that one model scored: stratified, strata by their pairs |

A list is one group's rows that one model scored. Models of different days do not mix in it: the
later one has learned from the very clicks that the earlier one is tested on, so that a user's
positive row would meet that user's later, better informed scores, and lose.

A metric that the rows do not define is NaN here; `explain` says why. It draws no intervals.

Shape legend: N rows; T ties, rows of equal scores; L lists; G groups; B bins; X any trailing
shape: none for a total, G by group, D for draws of groups.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from esmm_dist.evaluation.tasks import FloatArray, IntArray, Mask, Rows

NUM_BINS = 10
HIGHER_IS_BETTER = {"auc": True, "gauc": True, "logloss": False, "ne": False, "ece": False}
"""Of metrics that have a better end; pcoc has an optimum, 1."""
METRICS = ("auc", "gauc", "logloss", "ne", "pcoc", "ece")
AUC_WITHIN_MODEL = "auc_within_model"
NOT_PREDICTED = "the method does not predict it"


def metrics_of(model_N: IntArray) -> tuple[str, ...]:
    """The metrics of rows that these models scored: AUC within models only where there are several.
    """
    return (*METRICS, AUC_WITHIN_MODEL) if len(np.unique(model_N)) > 1 else METRICS


def all_metrics(rows: Rows, edges: FloatArray, num_groups: int) -> dict[str, float]:
    """Every metric on the rows as they are, and the share of weight that gauc leaves out."""
    groups = GroupSums.by_group(rows, num_groups).weighted(np.ones(num_groups))
    sums = {name: float(value) for name, value in Sums.of(rows, edges).metrics().items()}
    return {"auc": auc(rows), AUC_WITHIN_MODEL: auc_within_model(rows),
            "gauc": float(groups.gauc()), **sums,
            "left_out_share": float(groups.left_out_share())}


def auc(rows: Rows) -> float:
    """Area under the ROC curve, ties counted half; NaN where one class is missing."""
    order_N = np.argsort(rows.log_p_N, kind="stable")
    score_N = rows.log_p_N[order_N]
    positive_N = (rows.weight_N * rows.label_N)[order_N]
    negative_N = (rows.weight_N * (1 - rows.label_N))[order_N]
    if not len(score_N):
        return float("nan")
    first_of_tie = np.flatnonzero(_differs_from_last(score_N))
    positive_T = np.add.reduceat(positive_N, first_of_tie)
    negative_T = np.add.reduceat(negative_N, first_of_tie)
    below_T = np.cumsum(negative_T) - negative_T / 2
    return float(ratio((positive_T * below_T).sum(), positive_T.sum() * negative_T.sum()))


def auc_within_model(rows: Rows) -> float:
    """AUC over the pairs whose rows one model scored, pairs weighted as in `auc`.

    `auc` also ranks a row of one model against a row of another, where levels that move between
    trainings count against a predictor though no list that it serves ever holds both. Pooled AUC is
    the mean of this one and that of the mixed pairs, by their numbers. Source: Janes and Pepe,
    Biometrika 2009 (covariate-adjusted AUC), with strata weighted by pairs.
    """
    if not len(rows):
        return float("nan")
    wins_L, positive_L, negative_L, _ = _lists(
        replace(rows, group_N=np.zeros_like(rows.group_N)))
    return float(ratio(wins_L.sum(), (positive_L * negative_L).sum()))


def equal_weight_edges(rows: Rows, num_bins: int = NUM_BINS) -> FloatArray:
    """Edges between bins of equal weight, in log p; a bin holds lower edge <= log p < upper edge.

    Rows of one score share a bin, so that many ties make fewer bins.
    """
    if not len(rows):
        return np.empty(0)
    order_N = np.argsort(rows.log_p_N, kind="stable")
    share_N = np.cumsum(rows.weight_N[order_N]) / rows.weight_N.sum()
    places = np.searchsorted(share_N, np.arange(1, num_bins) / num_bins, side="right")
    return np.unique(rows.log_p_N[order_N][np.minimum(places, len(rows) - 1)])


def bin_of(rows: Rows, edges: FloatArray) -> IntArray:
    """Every row's bin, 0 to len(edges)."""
    return np.searchsorted(edges, rows.log_p_N, side="right")


@dataclass(frozen=True)
class Sums:
    """Weighted sums over rows of one task, from which its metrics follow by one division."""

    weight_X: FloatArray
    positive_X: FloatArray
    predicted_X: FloatArray
    loss_X: FloatArray
    bin_positive_BX: FloatArray
    bin_predicted_BX: FloatArray

    @classmethod
    def of(cls, rows: Rows, edges: FloatArray) -> Self:
        """Totals; parts of the rows may be summed apart, with the same edges, and merged."""
        together = replace(rows, group_N=np.zeros_like(rows.group_N))
        return cls.by_group(together, edges, num_groups=1).weighted(np.ones(1))

    @classmethod
    def by_group(cls, rows: Rows, edges: FloatArray, num_groups: int) -> Self:
        """Sums by group: X = G."""
        num_bins = len(edges) + 1
        positive_N = rows.weight_N * rows.label_N
        predicted_N = rows.weight_N * rows.p_N
        loss_N = -np.where(rows.label_N == 1, rows.log_p_N, rows.log_not_p_N) * rows.weight_N
        cell_N = bin_of(rows, edges) * num_groups + rows.group_N

        def of_groups(value_N: FloatArray) -> FloatArray:
            return sum_by(rows.group_N, value_N, num_groups)

        def of_bins(value_N: FloatArray) -> FloatArray:
            cells = sum_by(cell_N, value_N, num_bins * num_groups)
            return cells.reshape(num_bins, num_groups)

        return cls(of_groups(rows.weight_N), of_groups(positive_N), of_groups(predicted_N),
                   of_groups(loss_N), of_bins(positive_N), of_bins(predicted_N))

    def merge(self, other: Self) -> Self:
        """The sums of both parts."""
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def weighted(self, count_GX: FloatArray) -> Self:
        """Sums by group, each group counted as often as `count` says: X = G becomes the rest."""
        return type(self)(*(getattr(self, f.name) @ count_GX for f in fields(self)))

    def metrics(self) -> dict[str, FloatArray]:
        """logloss, ne, pcoc and ece, of shape X."""
        logloss_X = ratio(self.loss_X, self.weight_X)
        gap_X = np.abs(self.bin_predicted_BX - self.bin_positive_BX).sum(axis=0)
        return {
            "logloss": logloss_X,
            "ne": ratio(logloss_X, _entropy(ratio(self.positive_X, self.weight_X))),
            "pcoc": ratio(self.predicted_X, self.positive_X),
            "ece": ratio(gap_X, self.weight_X),
        }


@dataclass(frozen=True)
class GroupSums:
    """Sums behind GAUC. Parts may be merged if no list has rows in two of them."""

    weight_X: FloatArray
    """Of all lists."""
    ranked_weight_X: FloatArray
    """Of lists with both classes."""
    ranked_auc_X: FloatArray
    """Their AUC, times their weight."""

    @classmethod
    def by_group(cls, rows: Rows, num_groups: int) -> Self:
        """Sums by group: X = G."""
        if not len(rows):
            return cls(*np.zeros((3, num_groups)))
        auc_L, weight_L, group_L = auc_by_list(rows)
        ranked_L = ~np.isnan(auc_L)
        ranked_weight_L = np.where(ranked_L, weight_L, 0.0)
        ranked_auc_L = np.where(ranked_L, auc_L, 0.0) * weight_L
        return cls(
            sum_by(group_L, weight_L, num_groups), sum_by(group_L, ranked_weight_L, num_groups),
            sum_by(group_L, ranked_auc_L, num_groups),
        )

    def merge(self, other: Self) -> Self:
        """The sums of both parts."""
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def weighted(self, count_GX: FloatArray) -> Self:
        """Sums by group, each group counted as often as `count` says: X = G becomes the rest."""
        return type(self)(*(getattr(self, f.name) @ count_GX for f in fields(self)))

    def gauc(self) -> FloatArray:
        """Weighted mean of the lists' AUC, of shape X."""
        return ratio(self.ranked_auc_X, self.ranked_weight_X)

    def left_out_share(self) -> FloatArray:
        """Share of weight in lists of one class, of shape X."""
        return 1 - ratio(self.ranked_weight_X, self.weight_X)


def auc_by_list(rows: Rows) -> tuple[FloatArray, FloatArray, IntArray]:
    """The AUC of every list, NaN for a list of one class; the lists' weights; and their groups."""
    wins_L, positive_L, negative_L, group_L = _lists(rows)
    return ratio(wins_L, positive_L * negative_L), positive_L + negative_L, group_L


def _lists(rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Of every list the pairs won, ties half, the weights of both classes, and the group."""
    order_N = np.lexsort((rows.log_p_N, rows.model_N, rows.group_N))
    group_N, model_N = rows.group_N[order_N], rows.model_N[order_N]
    score_N, label_N = rows.log_p_N[order_N], rows.label_N[order_N]
    weight_N: FloatArray = rows.weight_N[order_N]

    new_list_N = _differs_from_last(group_N) | _differs_from_last(model_N)
    first_of_tie = np.flatnonzero(new_list_N | _differs_from_last(score_N))
    positive_T = np.add.reduceat(weight_N * label_N, first_of_tie)
    negative_T = np.add.reduceat(weight_N * (1 - label_N), first_of_tie)

    # One running sum over all lists, less what stood there when the list began.
    running_T = np.cumsum(negative_T)
    first_of_list = np.flatnonzero(new_list_N[first_of_tie])
    before_T = np.repeat((running_T - negative_T)[first_of_list],
                         np.diff(np.r_[first_of_list, len(first_of_tie)]))
    below_T = running_T - before_T - negative_T / 2
    wins_L = np.add.reduceat(positive_T * below_T, first_of_list)
    positive_L = np.add.reduceat(positive_T, first_of_list)
    negative_L = np.add.reduceat(negative_T, first_of_list)
    return wins_L, positive_L, negative_L, group_N[new_list_N]


def _differs_from_last(value_N: NDArray[Any]) -> Mask:
    return np.r_[True, value_N[1:] != value_N[:-1]]


def explain(metric: str, rows: Rows) -> str:
    """Why a metric is undefined on these rows."""
    if not rows.is_predicted:
        return NOT_PREDICTED
    if not len(rows):
        return "no rows"
    num_positives = int(rows.label_N.sum())
    if num_positives in (0, len(rows)):
        return f"one class only: {num_positives:,} positives in {len(rows):,} rows"
    if np.isneginf(rows.log_not_p_N).any() and metric in ("logloss", "ne"):
        return "infinite: of some negatives the prediction is 1 or more"
    if metric == AUC_WITHIN_MODEL:
        return "no model scored rows of both classes"
    assert metric == "gauc", metric
    return "no list with both classes"


def sum_by(code_N: IntArray, value_N: FloatArray, num_codes: int) -> FloatArray:
    """The sum of values by code, (num_codes,)."""
    return np.bincount(code_N, value_N, num_codes).astype(np.float64, copy=False)


def ratio(numerator_X: FloatArray, denominator_X: FloatArray) -> FloatArray:
    """The quotient; NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator_X == 0, np.nan, np.divide(numerator_X, denominator_X))


def _entropy(rate_X: FloatArray) -> FloatArray:
    """Of a coin with this rate, in nats; NaN at the rates 0 and 1, which leave nothing to say."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return -(rate_X * np.log(rate_X) + (1 - rate_X) * np.log1p(-rate_X))
