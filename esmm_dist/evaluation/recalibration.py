"""Calibration learned from some test days and judged on the later ones.

The maps are those that are published; the figures are of days that did not teach them. pCTCVR stays
the product of the two calibrated rates: docs/decisions/0004-calibration.md.

Shape legend: N rows.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from esmm_dist.calibration.maps import Floats, Scores, calibrated
from esmm_dist.contract.calibration import CalibratedTask, Calibration, CalibrationMap
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.evaluation.calibration import reliability
from esmm_dist.evaluation.calibration_fit import Kind, NoMapError, fit_map
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.scorecard import CalibrationCard, FoldRecord, make_scope, model_codes
from esmm_dist.evaluation.tasks import Mask, Task, group_codes, rows_of


def recalibrate(
    predictions: Predictions, kind: Kind, days: DayRange, folds: Sequence[FoldRecord],
    num_bootstraps: int, calibration: Calibration,
) -> CalibrationCard:
    """Learns maps from some days of the predictions and measures them on those after.

    Args:
        predictions: as the model made them.
        calibration: what else is to be known of the predictions.

    Raises:
        InputError: the days teach no map.
    """
    teaches_N = _within(predictions, days)
    learned = calibration.model_copy(update={
        "maps": learn_maps(predictions.take(teaches_N), kind, days), "days": days,
    })
    later = predictions.take(predictions.day_N > np.datetime64(days.last))
    after = apply(later, learned)
    codes = group_codes(later)[0], model_codes(later, folds)
    return CalibrationCard(
        calibration=learned,
        num_impressions_learned_from=int(teaches_N.sum()),
        days=DayRange(first=later.day_N.min().item(), last=later.day_N.max().item()),
        scope=make_scope(after, later, folds, num_bootstraps),
        reliability={
            task: {"model": reliability(rows_of(task, after, *codes)),
                   "reference": reliability(rows_of(task, later, *codes))}
            for task in Task
        },
    )


def learn_maps(
    predictions: Predictions, kind: Kind, days: DayRange
) -> dict[CalibratedTask, CalibrationMap]:
    """The map of every score that is predicted: CTR over impressions, CVR over clicks, and CTCVR
    where it is predicted by itself.

    Raises:
        InputError: the rows teach no map of a score; names `days`.
    """
    click_N, converted_N = predictions.click_N == 1, predictions.conversion_N == 1
    everywhere_N = np.ones(len(predictions), dtype=bool)
    cvr_N = predictions.cvr_logit_N
    if cvr_N is None:
        cvr_N = predictions.cvr_log_p_N
    scores: dict[CalibratedTask, tuple[Floats | None, Mask, Mask]] = {
        "ctr": (predictions.ctr_logit_N, click_N, everywhere_N),
        "cvr": (cvr_N, converted_N, click_N),
        "ctcvr": (predictions.ctcvr_logit_N, click_N & converted_N, everywhere_N),
    }
    maps = {}
    for task, (score_N, label_N, space_N) in scores.items():
        if score_N is None:
            continue
        try:
            maps[task] = fit_map(kind, score_N[space_N], label_N[space_N].astype(np.float64),
                                 predictions.weight_N[space_N])
        except NoMapError as error:
            raise InputError(
                f"calibrate.days = {days.first} to {days.last}: they teach no map of {task}: "
                f"{error}: give more days, or calibrate.method none"
            ) from None
    return maps


def apply(predictions: Predictions, calibration: Calibration) -> Predictions:
    """The same rows as they are served."""
    scores = calibrated(Scores(*(getattr(predictions, name) for name in Scores._fields)),
                        calibration)
    return replace(predictions, **scores._asdict())


def _within(predictions: Predictions, days: DayRange) -> Mask:
    first, last = np.datetime64(days.first), np.datetime64(days.last)
    within_N: Mask = (predictions.day_N >= first) & (predictions.day_N <= last)
    return within_N
