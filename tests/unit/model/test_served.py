"""A served model predicts what the trained one does, whatever the method."""

from typing import get_args

import numpy as np
import pytest
import torch

from esmm_dist.calibration.maps import Scores, calibrated, rates_of
from esmm_dist.contract.calibration import Calibration, IsotonicMap, PlattMap
from esmm_dist.contract.method_options import MethodName
from esmm_dist.contract.outputs import OUTPUTS, PROBABILITIES
from esmm_dist.model.method import Prediction
from esmm_dist.model.served import outputs_of
from esmm_dist.serving.inputs import of_batch
from tests.factories.random_batches import FEATURES
from tests.factories.served_models import batch_of_values, twins


@pytest.mark.parametrize("combine", ["concat", "group_sum"])
@pytest.mark.parametrize("method", get_args(MethodName))
def test_it_predicts_what_was_trained(method: str, combine: str) -> None:
    model = twins(method, combine)
    batch = batch_of_values(9)
    inputs = {name: torch.from_numpy(values) for name, values in of_batch(batch, FEATURES).items()}
    with torch.no_grad():
        found = model.served(inputs)
    wanted = outputs_of(model.predict(batch), Calibration())
    assert list(found) == list(wanted) == [name for name in OUTPUTS if name in found]
    for name, values_B in wanted.items():
        assert found[name].shape == (9, 1)
        torch.testing.assert_close(found[name][:, 0], values_B, rtol=1e-5, atol=1e-6)
    assert not torch.equal(found[name][0], found[name][1]), "rows differ"


def test_probabilities_are_those_of_the_logits() -> None:
    a, b = torch.tensor([-20.0, 0.0, 3.0]), torch.tensor([1.0, -20.0, 30.0])
    outputs = outputs_of(Prediction(a, b), Calibration())
    assert list(outputs) == ["p_ctr", "p_cvr", "p_ctcvr", "ctr_logit", "cvr_logit"]
    product = torch.sigmoid(a.double()) * torch.sigmoid(b.double())
    torch.testing.assert_close(outputs["p_ctcvr"].double(), product, rtol=1e-6, atol=0)


def test_what_a_method_predicts_by_itself_is_no_product() -> None:
    ctr, ctcvr, cvr_log_p = torch.zeros(1), torch.tensor([-1.0]), torch.tensor([0.5])
    outputs = outputs_of(Prediction(ctr, None, ctcvr, cvr_log_p), Calibration())
    assert outputs["p_ctcvr"].item() == torch.sigmoid(torch.tensor(-1.0)).item()
    assert outputs["p_cvr"].item() > 1, "a quotient may exceed 1"


def test_what_is_not_predicted_is_no_output() -> None:
    outputs = outputs_of(Prediction(None, torch.zeros(1)), Calibration())
    assert [name for name in PROBABILITIES if name in outputs] == ["p_cvr"]


ISOTONIC = IsotonicMap(kind="isotonic", score=(-3.0, -1.0, 0.5, 4.0), p=(0.01, 0.2, 0.2, 0.9))
CALIBRATIONS = [
    Calibration(maps={"ctr": PlattMap(kind="platt", slope=0.7, intercept=-0.2), "cvr": ISOTONIC}),
    Calibration(maps={"ctr": ISOTONIC, "ctcvr": PlattMap(kind="platt", slope=2.0, intercept=1.0)}),
    Calibration(maps={"cvr": IsotonicMap(kind="isotonic", score=(0.0,), p=(0.3,))}),
]
PREDICTIONS = [
    ("ctr", "cvr"), ("cvr",), ("ctr", "ctcvr", "cvr_log_p"), ("ctr", "cvr", "ctcvr"),
]


@pytest.mark.parametrize("predicted", PREDICTIONS, ids=" ".join)
@pytest.mark.parametrize("calibration", CALIBRATIONS, ids=["both", "own ctcvr", "one point"])
def test_probabilities_are_calibrated_as_arrays_are(
    calibration: Calibration, predicted: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(1)
    scores_B = {name: np.concatenate([rng.normal(0, 3, 50), [-60.0, -3.0, -1.0, 4.0, 60.0]])
                for name in predicted}
    if "cvr_log_p" in scores_B:
        scores_B["cvr_log_p"] = -np.abs(scores_B["cvr_log_p"])
    names = ("ctr", "cvr", "ctcvr", "cvr_log_p")
    found = outputs_of(
        Prediction(*(torch.from_numpy(scores_B[n]) if n in scores_B else None for n in names)),
        calibration,
    )
    wanted = rates_of(calibrated(Scores(*(scores_B.get(n) for n in names)), calibration))
    for name, p_B in wanted._asdict().items():
        name = name.removesuffix("_N")
        assert (p_B is None) == (name not in found)
        if p_B is not None:
            np.testing.assert_allclose(found[name].numpy(), p_B, rtol=1e-12)
    assert torch.equal(found.get("ctr_logit", torch.empty(0)),
                       torch.from_numpy(scores_B.get("ctr", np.empty(0)))), "logits stay"
