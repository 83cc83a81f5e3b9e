"""What tells one method from another: its rows, its towers, its options, its weights."""

import math
from pathlib import Path
from typing import get_args

import pytest
import torch

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.method_options import MethodName, MethodOptions
from esmm_dist.contract.multiplicity import CLICKED_ROWS, Multiplicity
from esmm_dist.contract.sections import Model
from esmm_dist.model import methods
from esmm_dist.model.method import method_of
from tests.factories.labelled_rows import labelled_rows
from tests.factories.methods_as_tested import as_tested, heads_of, make
from tests.oracles import losses as oracle

NAMES = get_args(MethodName)
PREDICTED = {
    "base": {"cvr_logit_B"},
    "aman": {"cvr_logit_B"},
    "oversampling": {"cvr_logit_B"},
    "fnw": {"cvr_logit_B"},
    "es_dfm": {"cvr_logit_B"},
    "ctcvr_direct": {"ctcvr_logit_B"},
    "division": {"ctr_logit_B", "ctcvr_logit_B", "cvr_log_p_B"},
    "aitm": {"ctr_logit_B", "ctcvr_logit_B", "cvr_log_p_B"},
}


def test_every_method_of_the_config_has_a_file_and_every_file_is_a_method() -> None:
    files = {path.stem for path in Path(methods.__file__ or "").parent.glob("*.py")} - {"__init__"}
    assert files == set(NAMES) == set(oracle.TERMS_OF_STAGES)


@pytest.mark.parametrize("name", NAMES)
def test_a_method_predicts_from_its_logits_what_it_has_towers_for(name: str) -> None:
    """It is handed no label that could leak."""
    method = as_tested(name)
    heads = {head: torch.randn(5) for number in range(len(method.stages))
             for head in heads_of(method, number)}
    prediction = method.predict(heads)
    said = {name for name, value in prediction._asdict().items() if value is not None}
    assert said == PREDICTED.get(name, {"ctr_logit_B", "cvr_logit_B"})


def test_rows_left_out_and_repeated_are_declared() -> None:
    assert make("base").stages[-1].rows == CLICKED_ROWS
    assert make("aman", share_of_unclicked=0.2).stages[0].rows == Multiplicity(0.2)
    assert make("aman", share_of_unclicked=1.0).stages[0].rows.is_trivial
    assert make("oversampling", times_converted=3).stages[0].rows == Multiplicity(0.0, 1, 3)
    stream = Multiplicity(0.0, fake_negatives=True)
    for name in ("fnw", "es_dfm"):
        assert all(stage.rows == stream for stage in make(name).stages)
    for name in set(NAMES) - {"base", "aman", "oversampling", "independent", "unbias", "fnw",
                              "es_dfm"}:
        assert all(stage.rows.is_trivial for stage in make(name).stages)
    for name in ("independent", "unbias"):
        ctr, cvr = make(name).stages
        assert ctr.rows.is_trivial and cvr.rows == CLICKED_ROWS


def test_only_esmm_ns_and_what_is_trained_apart_have_several_embeddings() -> None:
    several = {name for name in NAMES if len(make(name).networks) > 1}
    assert several == {"esmm_ns", "independent", "division", "unbias", "es_dfm"}
    assert {name for name in NAMES if len(make(name).stages) > 1} == several - {"esmm_ns"}


def test_the_ctcvr_loss_multiplies_probabilities_not_logits() -> None:
    loss_sums = make("esmm").stages[0].loss_sums
    heads = {"ctr": torch.tensor([-2.0]), "cvr": torch.tensor([-3.0])}
    found = loss_sums(heads, labelled_rows([1.0], [1.0], [1.0]))["ctcvr_loss"].item()
    p = torch.sigmoid(torch.tensor(-2.0)) * torch.sigmoid(torch.tensor(-3.0))
    assert found == pytest.approx(-math.log(p), rel=1e-6)


def test_a_click_teaches_esmms_cvr_tower_only_through_ctcvr() -> None:
    heads = {head: torch.zeros(2, dtype=torch.float64, requires_grad=True)
             for head in ("ctr", "cvr")}
    sums = make("esmm").stages[0].loss_sums(heads, labelled_rows([1.0, 0.0], [0.0, 0.0], [1.0, 1]))
    (from_ctr,) = torch.autograd.grad(
        sums["ctr_loss"], heads["cvr"], retain_graph=True, allow_unused=True
    )
    assert from_ctr is None
    (gradient_B,) = torch.autograd.grad(sums["ctcvr_loss"], heads["cvr"])
    assert gradient_B[0] == gradient_B[1] > 0


def test_a_quotient_may_exceed_1_and_is_kept_as_its_logarithm() -> None:
    heads = {"ctr": torch.tensor([-5.0, 2.0]), "ctcvr": torch.tensor([-4.0, -3.0])}
    found = make("division").predict(heads).cvr_log_p_B
    assert found is not None
    p_cvr = torch.sigmoid(heads["ctcvr"]) / torch.sigmoid(heads["ctr"])
    assert p_cvr[0] > 1
    torch.testing.assert_close(found.exp(), p_cvr)


def test_unbias_keeps_a_click_with_probability_c_over_p_ctr() -> None:
    """Rejecting with p_ctr would go the wrong way: the likelier a click, the fewer are kept."""
    num_rows = 40_000
    reweigh = make("unbias", always_kept_p_ctr=0.1).stages[1].reweigh
    assert reweigh is not None
    batch = labelled_rows([1.0] * num_rows, [0.0] * num_rows, [2.0] * num_rows)
    for p_ctr in (0.05, 0.1, 0.2, 0.8):
        logit_B = torch.logit(torch.full((num_rows,), p_ctr, dtype=torch.float64))
        kept_B = reweigh({"ctr": logit_B, "cvr": logit_B}, batch).weight_B
        assert set(kept_B.tolist()) <= {0.0, 2.0}
        share, expected = (kept_B > 0).double().mean().item(), min(1, 0.1 / p_ctr)
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / num_rows) + 1e-9
        again_B = reweigh({"ctr": logit_B, "cvr": logit_B}, batch).weight_B
        assert torch.equal(again_B, kept_B)


def test_nise_weighs_cvr_by_the_ratio_of_the_means_up_to_its_cap() -> None:
    weigh = make("nise", cvr_weight=0.5, max_loss_ratio=4.0).stages[0].weigh_terms
    assert weigh is not None
    assert weigh({"ctr_loss": 0.6, "cvr_loss": 0.3}) == {"ctr_loss": 1.0, "cvr_loss": 1.0}
    for cvr_loss in (0.01, 0.0):
        assert weigh({"ctr_loss": 0.6, "cvr_loss": cvr_loss})["cvr_loss"] == 0.5 * 4


def test_an_option_that_the_method_does_not_use_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"options.cvr_weight = 2.0: the method esmm .* none\)"):
        make("esmm", cvr_weight=2.0)
    with pytest.raises(InputError, match="times_converted .*share_of_unclicked"):
        make("aman", times_converted=2)


@pytest.mark.parametrize("name", NAMES)
def test_the_options_a_method_names_are_there_and_their_text_names_it(name: str) -> None:
    module = __import__(f"esmm_dist.model.methods.{name}", fromlist=["OPTIONS"])
    for option in module.OPTIONS:
        text = MethodOptions.model_fields[option].description or ""
        assert name in text or f"{name.split('_')[0]}_*" in text, option


def test_layers_that_a_method_shares_must_be_declared() -> None:
    model = Model.model_validate({"method": "ple", "hidden_units": (8,)})
    with pytest.raises(InputError, match=r"hidden_units = \[8\]: the method ple .* first 2 layers"):
        method_of(model, seed=1)
