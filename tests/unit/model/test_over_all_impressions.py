"""What a method predicts that was trained, unweighted, on a share of the un-clicked samples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.sections import Model
from esmm_dist.model.method import method_of, over_all_impressions


def logit(p: float) -> torch.Tensor:
    return torch.tensor([p], dtype=torch.float64).logit()


@given(st.floats(1e-4, 1 - 1e-4), st.floats(1e-4, 1 - 1e-4), st.floats(1e-3, 1))
def test_the_rates_are_those_over_all_impressions(p_ctr: float, p_cvr: float, rate: float) -> None:
    """By Bayes' rule p' = p / (p + r (1 - p)) where a share r of the un-clicked is kept."""
    seen = p_ctr / (p_ctr + rate * (1 - p_ctr))
    method = over_all_impressions(method_of(Model(), seed=1), rate)
    found = method.predict({"ctr": logit(seen), "cvr": logit(p_cvr)})
    assert found.ctr_logit_B is not None and found.cvr_logit_B is not None
    assert found.ctr_logit_B.sigmoid().item() == pytest.approx(p_ctr, rel=1e-6)
    assert found.cvr_logit_B.sigmoid().item() == pytest.approx(p_cvr, rel=1e-9)


def test_a_method_without_a_ctr_stays_as_it_is() -> None:
    method = over_all_impressions(method_of(Model(method="base"), seed=1), 0.1)
    assert method.predict({"cvr": logit(0.2)}).ctr_logit_B is None
