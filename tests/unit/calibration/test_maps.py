"""Calibration is applied as its document says, to what it is of and to nothing else."""

import numpy as np
import pytest
from pydantic import ValidationError

from esmm_dist.calibration.maps import Scores, calibrated, rates_of, sigmoid
from esmm_dist.contract.calibration import Calibration, IsotonicMap, PlattMap
from tests.factories.predictions import known

LOGITS = np.array([-3.0, -1.0, 0.0, 2.0], dtype=np.float32)


def test_without_maps_scores_stay() -> None:
    scores = calibrated(Scores(LOGITS, LOGITS - 1), Calibration())
    np.testing.assert_array_equal(known(scores.ctr_logit_N), LOGITS)
    np.testing.assert_array_equal(known(scores.cvr_logit_N), LOGITS - 1)


def test_platt_moves_the_logit() -> None:
    calibration = Calibration(maps={"ctr": PlattMap(kind="platt", slope=2, intercept=-1)})
    scores = calibrated(Scores(LOGITS, LOGITS), calibration)
    np.testing.assert_allclose(known(scores.ctr_logit_N), 2 * LOGITS - 1)
    np.testing.assert_array_equal(known(scores.cvr_logit_N), LOGITS)


def test_isotonic_runs_straight_between_points_and_flat_beyond() -> None:
    by = IsotonicMap(kind="isotonic", score=(-2.0, 0.0, 1.0), p=(0.1, 0.3, 0.3))
    rates = rates_of(calibrated(Scores(None, LOGITS), Calibration(maps={"cvr": by})))
    np.testing.assert_allclose(known(rates.p_cvr_N), [0.1, 0.2, 0.3, 0.3])
    assert rates.p_ctr_N is None and rates.p_ctcvr_N is None


def test_pctcvr_is_the_product_of_the_calibrated_rates() -> None:
    calibration = Calibration(maps={
        "ctr": PlattMap(kind="platt", slope=1, intercept=1),
        "cvr": PlattMap(kind="platt", slope=1, intercept=-1),
    })
    rates = rates_of(calibrated(Scores(LOGITS, LOGITS), calibration))
    np.testing.assert_allclose(known(rates.p_ctcvr_N), sigmoid(LOGITS + 1) * sigmoid(LOGITS - 1))


def test_pctcvr_predicted_by_itself_has_a_map_of_its_own() -> None:
    calibration = Calibration(maps={"ctcvr": PlattMap(kind="platt", slope=1, intercept=2)})
    rates = rates_of(calibrated(Scores(LOGITS, None, LOGITS), calibration))
    np.testing.assert_allclose(known(rates.p_ctcvr_N), sigmoid(LOGITS + 2))


def test_a_quotient_above_one_becomes_a_probability_by_its_map() -> None:
    log_p = np.array([-1.0, 0.5])
    scores = Scores(LOGITS[:2], None, LOGITS[:2], log_p)
    np.testing.assert_allclose(known(rates_of(scores).p_cvr_N), np.exp(log_p))
    calibration = Calibration(maps={"cvr": PlattMap(kind="platt", slope=1, intercept=0)})
    after = calibrated(scores, calibration)
    assert after.cvr_log_p_N is None
    np.testing.assert_allclose(known(rates_of(after).p_cvr_N), sigmoid(log_p))


def test_probabilities_are_exact_at_either_end() -> None:
    logits = np.array([-800.0, -40.0, 40.0, 800.0])
    np.testing.assert_allclose(sigmoid(logits), [0, np.exp(-40), 1, 1], rtol=1e-12)


@pytest.mark.parametrize("fields", [
    {"score": [0, 1], "p": [0.2, 0.1]}, {"score": [1, 1], "p": [0.1, 0.2]},
    {"score": [0, 1], "p": [0.0, 0.2]}, {"score": [0, 1], "p": [0.1, 1.0]},
    {"score": [0, 1], "p": [0.1]},
])
def test_a_map_that_is_not_monotone_or_certain_is_none(fields: dict[str, list[float]]) -> None:
    with pytest.raises(ValidationError):
        IsotonicMap.model_validate({"kind": "isotonic"} | fields)
