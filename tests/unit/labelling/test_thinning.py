"""Un-clicked rows left out by their id: the same ones in any file, and weighted sums stay true."""

import numpy as np
import pytest

from esmm_dist.evaluation.metrics import Sums, auc, equal_weight_edges
from esmm_dist.evaluation.tasks import Rows
from esmm_dist.labelling.labels import mixed
from esmm_dist.labelling.thinning import Thinning, left_out_and_weight
from esmm_dist.labelling.wire import Array

NUM_ROWS = 20_000
NUM_SEEDS = 60


def rows_of(seed: int) -> tuple[Array, Array, Array]:
    """Sample ids, log-odds and clicks that follow them."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(-(2**63), 2**63 - 1, NUM_ROWS)
    logit = rng.normal(-1.5, 1.0, NUM_ROWS)
    click = (rng.random(NUM_ROWS) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    return ids, logit, click


def thinned(rate: float, seed: int = 0, first: int = 0, end: int = 10) -> Thinning:
    return Thinning(rate, first, end, seed)


def kept(thinning: Thinning, ids: Array, click: Array, time: int = 5) -> tuple[Array, Array]:
    is_left_out, weight = left_out_and_weight(thinning, ids, np.full(len(ids), time), click)
    return ~is_left_out, weight


def test_clicked_rows_stay_and_the_declared_share_of_the_others() -> None:
    ids, _, click = rows_of(1)
    is_kept, weight = kept(thinned(0.1), ids, click)
    assert is_kept[click == 1].all() and (weight[click == 1] == 1).all()
    num_unclicked = int((click == 0).sum())
    num_kept = int(is_kept[click == 0].sum())
    assert abs(num_kept - 0.1 * num_unclicked) < 4 * (0.09 * num_unclicked) ** 0.5
    assert (weight[click == 0] == np.float32(10)).all() and weight.dtype == np.float32


def test_a_rows_fate_hangs_on_its_id_and_the_seed_alone() -> None:
    ids, _, click = rows_of(1)
    whole, _ = kept(thinned(0.3), ids, click)
    some = np.random.default_rng(2).permutation(NUM_ROWS)[:500]
    part, _ = kept(thinned(0.3), ids[some], click[some])
    assert (part == whole[some]).all()
    other, _ = kept(thinned(0.3, seed=1), ids, click)
    unclicked = click == 0
    both = (whole & other)[unclicked].mean()
    assert abs(both - 0.09) < 0.01
    # A smaller rate keeps some of the same rows, and none that a larger one leaves out.
    fewer, _ = kept(thinned(0.1), ids, click)
    assert not (fewer & ~whole).any()


def test_who_is_kept_tells_nothing_of_where_a_row_lies() -> None:
    ids, _, click = rows_of(1)
    is_kept, _ = kept(thinned(0.5, seed=3), ids, np.zeros_like(click))
    is_early = mixed(ids, 3) < np.uint64(2**63)
    assert abs((is_kept & is_early).mean() - 0.25) < 0.015


@pytest.mark.parametrize(("time", "is_thinned"), [(-1, False), (0, True), (9, True), (10, False)])
def test_rows_outside_the_times_stay_whole(time: int, is_thinned: bool) -> None:
    ids, _, click = rows_of(1)
    is_kept, weight = kept(thinned(0.1), ids, click, time)
    assert is_kept.all() != is_thinned and (weight == 1).all() != is_thinned


def test_weighted_metrics_are_those_of_all_rows() -> None:
    """Over many seeds their mean is the metric of all rows, within four standard errors."""
    ids, logit, click = rows_of(1)
    p = 0.8 / (1 + np.exp(-logit))  # predictions that are too low

    def metrics(is_kept: Array, weight: Array) -> dict[str, float]:
        columns = click.astype(float), weight.astype(float), np.log(p), np.log1p(-p)
        label_N, weight_N, log_p_N, log_not_p_N = (column[is_kept] for column in columns)
        zeros = np.zeros(len(label_N), np.int64)
        rows = Rows(label_N, weight_N, zeros, zeros, log_p_N, log_not_p_N)
        sums = Sums.of(rows, equal_weight_edges(rows)).metrics()
        return {"auc": auc(rows), "logloss": float(sums["logloss"]), "pcoc": float(sums["pcoc"])}

    whole = metrics(np.ones(NUM_ROWS, bool), np.ones(NUM_ROWS))
    found = [metrics(*kept(thinned(0.2, seed), ids, click)) for seed in range(NUM_SEEDS)]
    unweighted = [metrics(kept(thinned(0.2, seed), ids, click)[0], np.ones(NUM_ROWS))
                  for seed in range(3)]
    for name in ("logloss", "pcoc", "auc"):
        values = np.array([one[name] for one in found])
        error = values.std(ddof=1) / NUM_SEEDS**0.5
        assert abs(values.mean() - whole[name]) < 4 * error, name
    assert all(abs(one["pcoc"] - whole["pcoc"]) > 0.3 for one in unweighted)
