"""Predictions against the truth of simulated logs, over rows that real logs say nothing of.

A metric's name says its space (none: impressions, `_click`, `_unclicked`) and what it is held
against: `true_cvr_…` the true p(conversion | do(click), x), `potential_cvr_…` whether an impression
converts had it been clicked, `true_cvr_given_…` p(conversion | click, x), `true_ctr_…` p(click |
x), `true_ctcvr_…` p(click, conversion | x).

| metric | definition |
|---|---|
| auc | of true_…: expected: a row is positive with its true probability; no label noise |
| logloss | expected negative log-likelihood under the true probabilities |
| excess | logloss less that of the truth itself: the mean Kullback-Leibler divergence, 0 at best |
| pcoc | sum of predicted / sum of true probabilities |

Shape legend: N rows of the predictions; T rows of the truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esmm_dist.contract.errors import InputError
from esmm_dist.evaluation.metrics import auc, ratio
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.tasks import FloatArray, IntArray, Mask, Rows, Task, logs_of

COLUMNS = ("sample_id", "p_click", "p_conversion_do_click", "p_conversion_given_click",
           "potential_conversion")
METRICS = ("auc", "logloss", "excess", "pcoc")


@dataclass(frozen=True)
class Truth:
    """The truth of rows, in columns of equal length."""

    p_click_N: FloatArray
    p_conversion_do_click_N: FloatArray
    p_conversion_given_click_N: FloatArray
    potential_conversion_N: FloatArray


def read_truth(directory: Path, predictions: Predictions) -> tuple[Truth, IntArray]:
    """The truth of the rows predicted, and the places of the rows that it knows.

    What it does not know are rows of bots, which a simulation puts in as dirt.

    Args:
        directory: holds day=yyyy-mm-dd/*.parquet, as esmm_dist.simulate leaves it.

    Raises:
        InputError: a day's truth is missing or unreadable, or knows of no row.
    """
    parts = [_read_day(directory / f"day={day}") for day in np.unique(predictions.day_N)]
    columns = {name: np.concatenate([part[name].to_numpy() for part in parts]) for name in COLUMNS}
    order_T = np.argsort(columns["sample_id"], kind="stable")
    id_T = columns["sample_id"][order_T]
    place_N = np.minimum(np.searchsorted(id_T, predictions.sample_id_N), len(id_T) - 1)
    known_N = np.flatnonzero(id_T[place_N] == predictions.sample_id_N)
    if not len(known_N):
        raise InputError(f"{directory}: it knows none of the rows predicted: the samples were "
                         "built from other logs: simulate and build again")
    row_N = order_T[place_N[known_N]]
    return Truth(*(columns[name][row_N].astype(np.float64) for name in COLUMNS[1:])), known_N


def _read_day(directory: Path) -> pa.Table:
    paths = sorted(directory.glob("*.parquet"))
    if not paths:
        raise InputError(f"{directory}: no truth there: run esmm_dist.simulate for this day")
    try:
        return pa.concat_tables([pq.ParquetFile(path).read(columns=list(COLUMNS))
                                 for path in paths])
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{directory}: no readable truth ({error}): simulate again") from None


def truth_metrics(predictions: Predictions, truth: Truth) -> dict[str, float]:
    """All metrics of what is predicted; NaN where the rows do not define one.

    Args:
        predictions: of the rows that the truth knows, in its order.
    """
    found: dict[str, float] = {}
    click_N = predictions.click_N == 1
    everywhere_N = np.ones(len(predictions), bool)
    for space, space_N in (("", everywhere_N), ("_click", click_N), ("_unclicked", ~click_N)):
        _add(found, "true_cvr", space, Task.CVR, truth.p_conversion_do_click_N, predictions,
             space_N)
        potential = _rows(Task.CVR, truth.potential_conversion_N, predictions, space_N)
        if potential is not None:
            found[f"potential_cvr_auc{space}"] = auc(potential)
    _add(found, "true_cvr_given", "_click", Task.CVR, truth.p_conversion_given_click_N, predictions,
         click_N)
    _add(found, "true_ctr", "", Task.CTR, truth.p_click_N, predictions, everywhere_N)
    both_N = truth.p_click_N * truth.p_conversion_given_click_N
    _add(found, "true_ctcvr", "", Task.CTCVR, both_N, predictions, everywhere_N)
    return found


def as_predictions(predictions: Predictions, truth: Truth) -> Predictions:
    """What the truth itself would predict: the best that can be had."""
    return replace(predictions, ctr_logit_N=_logit(truth.p_click_N),
                   cvr_logit_N=_logit(truth.p_conversion_do_click_N),
                   ctcvr_logit_N=_logit(truth.p_click_N * truth.p_conversion_given_click_N),
                   cvr_log_p_N=None)


def _add(
    found: dict[str, float], name: str, space: str, task: Task, p_N: FloatArray,
    predictions: Predictions, space_N: Mask,
) -> None:
    rows = _rows(task, p_N, predictions, space_N)
    if rows is not None:
        found.update((f"{name}_{metric}{space}", value) for metric, value in _metrics(rows))


def _rows(
    task: Task, label_N: FloatArray, predictions: Predictions, space_N: Mask
) -> Rows | None:
    """Rows of a space whose labels may be probabilities; None where nothing is predicted."""
    logs = logs_of(task, predictions)
    if logs is None:
        return None
    space_N = space_N & (predictions.weight_N > 0)
    code_N = np.zeros(int(space_N.sum()), np.intp)
    return Rows(label_N[space_N], predictions.weight_N[space_N], code_N, code_N,
                logs[0][space_N], logs[1][space_N])


def _metrics(rows: Rows) -> Iterator[tuple[str, float]]:
    """Of rows whose labels are true probabilities."""
    weight = rows.weight_N.sum()

    def mean_loss(log_p_N: FloatArray, log_not_p_N: FloatArray) -> float:
        # A probability of 0 or 1 that is right costs nothing, whatever its logarithm.
        with np.errstate(invalid="ignore"):
            loss_N = (np.where(rows.label_N > 0, rows.label_N * log_p_N, 0.0)
                      + np.where(rows.label_N < 1, (1 - rows.label_N) * log_not_p_N, 0.0))
        return float(ratio(-(rows.weight_N * loss_N).sum(), weight))

    with np.errstate(divide="ignore"):
        floor = mean_loss(np.log(rows.label_N), np.log1p(-rows.label_N))
    logloss = mean_loss(rows.log_p_N, rows.log_not_p_N)
    yield "auc", auc(rows)
    yield "logloss", logloss
    yield "excess", logloss - floor
    yield "pcoc", float(ratio((rows.weight_N * rows.p_N).sum(),
                              (rows.weight_N * rows.label_N).sum()))


def _logit(p_N: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(p_N) - np.log1p(-p_N)
