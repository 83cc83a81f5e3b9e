"""Maps are learned from their days alone, judged on later ones, and applied to what they are of."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from esmm_dist.contract.calibration import Calibration, PlattMap
from esmm_dist.contract.days import DayRange
from esmm_dist.contract.errors import InputError
from esmm_dist.evaluation.calibration_fit import Kind
from esmm_dist.evaluation.predictions import Predictions
from esmm_dist.evaluation.recalibration import apply, learn_maps, recalibrate
from esmm_dist.evaluation.scorecard import CalibrationCard
from tests.factories.predictions import FIRST_DAY, known, random_predictions
from tests.unit.evaluation.test_scorecard import run_record

DAYS = DayRange(first=FIRST_DAY, last=FIRST_DAY)


def too_high(num_rows: int = 6000) -> Predictions:
    """Two days of predictions whose odds are e times (CTR) and e² times (CVR) too high."""
    rows = random_predictions(num_rows=num_rows, num_groups=300, noise=0.1)
    return replace(rows, ctr_logit_N=known(rows.ctr_logit_N) + 1,
                   cvr_logit_N=known(rows.cvr_logit_N) + 2)


def card(rows: Predictions, kind: Kind) -> CalibrationCard:
    return recalibrate(rows, kind, DAYS, run_record().folds, 100, Calibration())


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_rates_that_were_too_high_are_put_right_on_later_days(kind: Kind) -> None:
    found = card(too_high(), kind)
    assert found.days == DayRange(first=date(2024, 1, 4), last=date(2024, 1, 4))
    assert found.calibration.days == DAYS
    for metric in ("ctr_pcoc", "cvr_pcoc_click", "ctcvr_pcoc"):
        before, after = found.scope.reference[metric].value, found.scope.model[metric].value
        assert before is not None and after is not None
        assert before > 1.25 and abs(after - 1) < 0.12, metric
    for metric in ("ctr_ece", "cvr_ece_click", "ctcvr_ece"):
        interval = found.scope.difference[metric].interval
        assert interval is not None and interval.high < 0, metric


def test_later_labels_teach_nothing() -> None:
    rows = too_high()
    later_N = rows.day_N > np.datetime64(FIRST_DAY)
    other = replace(rows, click_N=np.where(later_N, 1 - rows.click_N, rows.click_N))
    assert card(rows, "platt").calibration == card(other, "platt").calibration


def test_cvr_is_learned_from_clicks_alone() -> None:
    rows = too_high()
    spoilt = replace(rows, cvr_logit_N=np.where(rows.click_N == 1, known(rows.cvr_logit_N), 50.0))
    assert learn_maps(rows, "platt", DAYS)["cvr"] == learn_maps(spoilt, "platt", DAYS)["cvr"]


def test_pctcvr_has_a_map_only_where_it_is_predicted_by_itself() -> None:
    rows = too_high()
    assert set(learn_maps(rows, "platt", DAYS)) == {"ctr", "cvr"}
    alone = replace(rows, ctr_logit_N=None, cvr_logit_N=None, ctcvr_logit_N=rows.ctr_logit_N)
    assert set(learn_maps(alone, "platt", DAYS)) == {"ctcvr"}
    quotient = replace(rows, cvr_logit_N=None, cvr_log_p_N=known(rows.cvr_logit_N) - 5)
    assert set(learn_maps(quotient, "platt", DAYS)) == {"ctr", "cvr"}


def test_predictions_keep_all_but_their_scores() -> None:
    rows = too_high(100)
    after = apply(rows, Calibration(maps={"ctr": PlattMap(kind="platt", slope=1, intercept=-1)}))
    np.testing.assert_allclose(known(after.ctr_logit_N), known(rows.ctr_logit_N) - 1)
    np.testing.assert_array_equal(known(after.cvr_logit_N), known(rows.cvr_logit_N))
    assert after.sample_id_N is rows.sample_id_N


def test_days_without_a_conversion_are_named() -> None:
    rows = too_high()
    rows = replace(rows, conversion_N=np.zeros_like(rows.conversion_N))
    with pytest.raises(InputError, match="calibrate.days = 2024-01-03 to 2024-01-03: they teach no "
                                         "map of cvr: one class only: 0 positives"):
        card(rows, "platt")
