"""95 % intervals by the bootstrap over groups (users): rows of one user are not independent.

A draw takes as many groups as there are, with replacement; a row counts as often as its group was
drawn. All predictors are measured on the same draws, so that differences are paired. A draw is a
vector of counts by group, a set of draws a matrix: sums become one matrix product, and AUC one
sparse product and one running sum over an order sorted once. It knows no metric's name but those it
is given.

Shape legend: N rows; G groups; D draws; K blocks of neighbouring rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from esmm_dist.evaluation.metrics import AUC_WITHIN_MODEL, GroupSums, Sums, ratio
from esmm_dist.evaluation.tasks import FloatArray, IntArray, Mask, Rows

LEVEL = 0.95
# An interval from fewer draws than this share (rare positives leave AUC undefined) says too little.
MIN_DEFINED_SHARE = 0.95
# Below it the central 95 % of draws hold the truth less than .925 of the time, even of a mean of
# normal values; draws of a single group do not differ at all (docs/LOG.md).
MIN_GROUPS = 20
# Elements of a matrix by draw that is held at a time: small, so that it stays in the cache.
MAX_ELEMENTS = 1_000_000

Statistic = Callable[[FloatArray], Mapping[str, FloatArray]]
"""count_GD -> values of shape (D,) by name."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is clear of chance at this level."""
        return self.low > 0 or self.high < 0


def bootstrap(
    statistics: Mapping[str, Statistic], num_groups: int, num_draws: int, seed: int
) -> dict[str, dict[str, FloatArray]]:
    """The values of all statistics on the same draws.

    Returns:
        For every statistic its values by name, (D,); NaN where a draw leaves one undefined, and
        all NaN where there are fewer than MIN_GROUPS groups to be drawn.
    """
    values: dict[str, dict[str, list[FloatArray]]] = {name: {} for name in statistics}
    for count_GD in _draws(num_groups, num_draws, seed):
        for name, statistic in statistics.items():
            for key, value_D in statistic(count_GD).items():
                values[name].setdefault(key, []).append(value_D)
    means_something = 1.0 if num_groups >= MIN_GROUPS else np.nan
    return {name: {key: means_something * np.concatenate(chunks)
                   for key, chunks in of_name.items()} for name, of_name in values.items()}


def why_no_interval(num_groups: int) -> str:
    """Why draws of so many groups gave a figure no interval."""
    if num_groups < MIN_GROUPS:
        groups = "one group is" if num_groups == 1 else f"{num_groups} groups are"
        return f"{groups} too few to draw from, {MIN_GROUPS} are needed"
    return "too few draws define it"


def interval(value_D: FloatArray, estimate: float, *, reflect: bool = False) -> Interval | None:
    """The central 95 % of the defined draws; None where too few are defined.

    Args:
        estimate: the value on the rows as they are.
        reflect: takes the draws' deviations with the other sign. For a statistic that noise alone
            drives one way, as it does the calibration error: its draws lie off the estimate where
            the estimate lies off the truth, on the same side.
    """
    defined = value_D[~np.isnan(value_D)]
    if np.isnan(estimate) or len(defined) < MIN_DEFINED_SHARE * len(value_D):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if reflect:
        low, high = 2 * estimate - high, 2 * estimate - low
    return Interval(float(low), float(high))


def task_statistic(rows: Rows, edges: FloatArray, num_groups: int) -> Statistic:
    """All metrics of one predictor on one task, as a function of the draws.

    Args:
        edges: the bins of the calibration error; they stay where the whole sample puts them.
    """
    sums_G = Sums.by_group(rows, edges, num_groups)
    group_sums_G = GroupSums.by_group(rows, num_groups)
    ranking = Ranking(rows, num_groups)
    models = np.unique(rows.model_N)
    within = [Ranking(_of_model(rows, model), num_groups) for model in models if len(models) > 1]

    def statistic(count_GD: FloatArray) -> dict[str, FloatArray]:
        auc_D = ranking.auc(count_GD)
        return {
            "auc": auc_D,
            AUC_WITHIN_MODEL: auc_of(within, count_GD) if within else auc_D,
            "gauc": group_sums_G.weighted(count_GD).gauc(),
            **sums_G.weighted(count_GD).metrics(),
        }

    return statistic


def _of_model(rows: Rows, model: int) -> Rows:
    chosen_N = rows.model_N == model
    return replace(rows, **{name: getattr(rows, name)[chosen_N] for name in (
        "label_N", "weight_N", "group_N", "model_N", "log_p_N", "log_not_p_N")})


class Ranking:
    """Rows in order of their scores, ready for the AUC of many draws at once.

    Between neighbours of one class the order does not matter, so they are merged into blocks; rows
    of equal scores share a block too. Two sparse (K, G) matrices then hold the weight of each
    block's positives and negatives by group.
    """

    def __init__(self, rows: Rows, num_groups: int) -> None:
        order_N = np.argsort(rows.log_p_N, kind="stable")
        label_N = rows.label_N[order_N] == 1
        block_N = _blocks(rows.log_p_N[order_N], label_N)
        group_N, weight_N = rows.group_N[order_N], rows.weight_N[order_N]
        num_blocks = int(block_N[-1]) + 1 if len(block_N) else 0

        def by_block(chosen_N: Mask) -> sparse.csr_matrix:
            places = (block_N[chosen_N], group_N[chosen_N])
            return sparse.csr_matrix((weight_N[chosen_N], places), (num_blocks, num_groups))

        self.positive_KG, self.negative_KG = by_block(label_N), by_block(~label_N)
        self.positive_G = np.asarray(self.positive_KG.sum(axis=0)).ravel()
        self.negative_G = np.asarray(self.negative_KG.sum(axis=0)).ravel()

    def auc(self, count_GD: FloatArray) -> FloatArray:
        """AUC of every draw, (D,); NaN where a class is missing."""
        return auc_of([self], count_GD)

    def wins_and_pairs(self, count_GD: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pairs that the positive wins, ties half, and all pairs, of every draw, (D,)."""
        num_blocks, num_draws = self.positive_KG.shape[0], count_GD.shape[1]
        step = max(1, MAX_ELEMENTS // max(1, num_blocks))
        parts = [self._wins_and_pairs(count_GD[:, start:start + step])
                 for start in range(0, num_draws, step)]
        wins_D, pairs_D = (np.concatenate(of_parts) for of_parts in zip(*parts, strict=True))
        return wins_D, pairs_D

    def _wins_and_pairs(self, count_GD: FloatArray) -> tuple[FloatArray, FloatArray]:
        positive_KD = self.positive_KG @ count_GD
        negative_KD = self.negative_KG @ count_GD
        ties_D = np.einsum("kd,kd->d", positive_KD, negative_KD)
        pairs_D = (self.positive_G @ count_GD) * (self.negative_G @ count_GD)
        negative_up_to_KD = np.cumsum(negative_KD, axis=0, out=negative_KD)
        wins_D = np.einsum("kd,kd->d", positive_KD, negative_up_to_KD) - ties_D / 2
        return wins_D, pairs_D


def auc_of(rankings: Sequence[Ranking], count_GD: FloatArray) -> FloatArray:
    """AUC of every draw, (D,), over the pairs within each of the rankings; NaN where there is none.
    """
    wins, pairs = zip(*(ranking.wins_and_pairs(count_GD) for ranking in rankings), strict=True)
    return ratio(np.sum(wins, axis=0), np.sum(pairs, axis=0))


def _blocks(score_N: FloatArray, label_N: Mask) -> IntArray:
    """The block of every row, in order of scores; see Ranking."""
    if not len(score_N):
        return np.empty(0, dtype=np.intp)
    first_of_tie_N = np.r_[True, score_N[1:] != score_N[:-1]]
    starts = np.flatnonzero(first_of_tie_N)
    any_positive_T = np.logical_or.reduceat(label_N, starts)
    all_positive_T = np.logical_and.reduceat(label_N, starts)
    mixed_T = any_positive_T & ~all_positive_T
    new_block_T = np.r_[True, mixed_T[1:] | mixed_T[:-1]
                        | (any_positive_T[1:] != any_positive_T[:-1])]
    tie_N = np.cumsum(first_of_tie_N) - 1
    return (np.cumsum(new_block_T) - 1)[tie_N]


def _draws(num_groups: int, num_draws: int, seed: int) -> Iterator[FloatArray]:
    """count_GD in chunks of draws; the draws do not depend on where chunks end."""
    generator = np.random.default_rng(seed)
    step = max(1, MAX_ELEMENTS // max(1, num_groups))
    for start in range(0, num_draws, step):
        count_DG = np.empty((min(step, num_draws - start), num_groups))
        for draw in range(len(count_DG)):
            drawn = generator.integers(num_groups, size=num_groups)
            count_DG[draw] = np.bincount(drawn, minlength=num_groups)
        yield np.ascontiguousarray(count_DG.T)
