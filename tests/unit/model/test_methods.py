"""Every method's losses and their gradients, row by row, against 60-digit arithmetic."""

import itertools
import math
import random
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from mpmath import mpf  # type: ignore[import-untyped]

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.method_options import MethodName, MethodOptions
from esmm_dist.contract.multiplicity import CLICKED_ROWS, Multiplicity
from esmm_dist.contract.sections import Model
from esmm_dist.model import methods
from esmm_dist.model.method import Method, method_of
from tests.factories.labelled_rows import FINAL, labelled_rows
from tests.oracles import losses as oracle

NAMES = get_args(MethodName)
LABELS = [(0, 0), (1, 0), (1, 1)]
LOGITS = [-40.0, -12.5, -0.5, 1.0, 7.0, 40.0]
DTYPES = {"float32": torch.float32, "float64": torch.float64}

OPTIONS = {
    "cvr_weight": float(oracle.CVR_WEIGHT),
    "ctcvr_weight": float(oracle.CTCVR_WEIGHT),
    "imputation_weight": float(oracle.IMPUTATION_WEIGHT),
    "counterfactual_weight": float(oracle.COUNTERFACTUAL_WEIGHT),
    "delay_slot_hours": oracle.SLOT_HOURS,
}

Delays = dict[str, int]
AS_THEY_ARE: list[Delays] = [{}]
DELAYS_OF: dict[str, list[Delays]] = {
    "es_dfm": [{}, {"fake_negative": 1, "conversion_delay_s": -1}],
    "esdf": [
        {}, {"conversion_delay_s": -1}, {"conversion_delay_s": 3_600, "mature": 0},
        *({"mature": 0, "conversion_delay_s": 30, "click_delay_s": waited, "observed_s": observed}
          for waited, observed in ((-1, 1_800), (100, 3_700), (0, 40_000), (-1, 86_400))),
    ],
}
"""What rows of a method's stream may look like beside their labels."""


def make(name: str, **options: Any) -> Method:
    """A method; of the options those that it uses."""
    model = Model.model_validate({"method": name, "options": options})
    return method_of(model, seed=3)


def as_tested(name: str) -> Method:
    """With weights by which no two terms can be taken for each other."""
    module = __import__(f"esmm_dist.model.methods.{name}", fromlist=["OPTIONS"])
    return make(name, **{key: value for key, value in OPTIONS.items() if key in module.OPTIONS})


def heads_of(method: Method, stage: int) -> list[str]:
    of_stage = method.stages[stage]
    read = of_stage.reads if of_stage.reweigh is None else ()  # unbias asks them elsewhere
    return [head for network in (*of_stage.trains, *read)
            for head in method.networks[network].heads]


def row_of(y: int, z: int, delays: Delays, fixed: oracle.Logits) -> oracle.Row:
    """What the oracle sees of a row."""
    row = FINAL | delays
    waited = None if row["mature"] else row["observed_s"] - max(row["click_delay_s"], 0)
    return oracle.Row(y, z, fixed, row["fake_negative"], waited, row["conversion_delay_s"])


@cache
def points(num_heads: int) -> list[tuple[float, ...]]:
    """Logits of all heads: every pair; of more heads a draw of what there is."""
    every = list(itertools.product(LOGITS, repeat=num_heads))
    return every if num_heads < 3 else random.Random(0).sample(every, 36)


@cache
def expected_of(
    formula: oracle.Term, logits: tuple[tuple[str, float], ...], y: int, z: int,
    delays: tuple[tuple[str, int], ...],
) -> tuple[mpf, dict[str, mpf]]:
    """A term of one row and its gradient by every head; none where there is none, at a kink."""
    x = {head: mpf(value) for head, value in logits}
    row = row_of(y, z, dict(delays), fixed=x)
    at_kink = formula is oracle.order and x["ctcvr"] == x["ctr"] or \
        formula is oracle.agreement and x["cvr"] == -x["counterfactual"]
    heads = [] if at_kink else list(x)
    return formula(x, row), {head: oracle.gradient(formula, x, row, head) for head in heads}


def scale_of(term: str, logits: dict[str, float], z: int) -> float:
    """The size of what a term adds and subtracts; only a doubly robust one cancels."""
    if "imputation" not in logits or term not in ("cvr_loss", "imputation_loss"):
        return 0.0
    error = float(oracle.cross_entropy(logits["cvr"], z))
    return (1 + error + float(oracle.imputed({"imputation": mpf(logits["imputation"])}))) ** 2 * 40


def assert_close(found: float, want: mpf, dtype: torch.dtype, scale: float) -> None:
    """Within a few roundings of the value, or of what was subtracted to make it."""
    limits = torch.finfo(dtype)
    magnitude = max(abs(float(want)), limits.tiny)
    allowed = limits.eps * max(16.0, -2 * math.log(magnitude)) * magnitude + limits.eps * scale
    assert abs(found - want) <= allowed, (found, float(want))


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_the_losses_and_their_gradients_equal_the_oracle(name: str, precision: str) -> None:
    dtype, method = DTYPES[precision], as_tested(name)
    for number, (stage, formulas) in enumerate(
        zip(method.stages, oracle.TERMS_OF_STAGES[name], strict=True)
    ):
        names = heads_of(method, number)
        for point, (y, z), delays in itertools.product(
            points(len(names)), LABELS, DELAYS_OF.get(name, AS_THEY_ARE)
        ):
            logits = dict(zip(names, point))
            heads = {head: torch.tensor([value], dtype=dtype, requires_grad=True)
                     for head, value in logits.items()}
            terms = stage.loss_sums(heads, labelled_rows([y], [z], [1.0], **delays))
            assert list(terms) == list(formulas)
            for term, found in terms.items():
                expected, expected_of_head = expected_of(
                    formulas[term], tuple(logits.items()), y, z, tuple(delays.items())
                )
                scale = scale_of(term, logits, z)
                assert_close(found.item(), expected, dtype, scale)
                found_of_head = gradients(found, heads)
                for head, gradient in expected_of_head.items():
                    assert_close(found_of_head[head], gradient, dtype, scale)


def gradients(loss: torch.Tensor, heads: dict[str, torch.Tensor]) -> dict[str, float]:
    if not loss.requires_grad:
        return dict.fromkeys(heads, 0.0)
    found = torch.autograd.grad(loss, list(heads.values()), retain_graph=True, allow_unused=True)
    return {head: 0.0 if grad is None else grad.item() for head, grad in zip(heads, found)}


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_weighed_by_row_summed_and_not_divided(name: str) -> None:
    """Twice the rows is twice the sum: the learning rate must not depend on the batch size."""
    method = as_tested(name)
    for number, stage in enumerate(method.stages):
        heads = {head: torch.randn(6, dtype=torch.float64) for head in heads_of(method, number)}
        clicks, conversions = [0.0, 1, 1, 0, 1, 0], [0.0, 0, 1, 0, 1, 0]
        weights = [1.0, 2, 3, 0, 1, 4]
        together = stage.loss_sums(heads, labelled_rows(clicks, conversions, weights))
        one_by_one = [
            stage.loss_sums(
                {head: logit_B[row : row + 1] for head, logit_B in heads.items()},
                labelled_rows(clicks[row : row + 1], conversions[row : row + 1], [1.0]),
            ) for row in range(6)
        ]
        for term, found in together.items():
            expected = sum(w * of_row[term] for w, of_row in zip(weights, one_by_one))
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_rows_has_losses_of_zero_and_a_gradient(name: str) -> None:
    method = as_tested(name)
    for number, stage in enumerate(method.stages):
        heads = {head: torch.zeros(0, requires_grad=True) for head in heads_of(method, number)}
        terms = stage.loss_sums(heads, labelled_rows([], [], []))
        assert [value.item() for value in terms.values()] == [0.0] * len(terms)
        sum(terms.values()).backward()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_conversions_of_rows_change_no_prediction(name: str) -> None:
    """What a method predicts comes from its logits: it is handed no label that could leak."""
    method = as_tested(name)
    heads = {head: torch.randn(5) for number in range(len(method.stages))
             for head in heads_of(method, number)}
    prediction = method.predict(heads)
    said = {name for name, value in prediction._asdict().items() if value is not None}
    assert said == PREDICTED.get(name, {"ctr_logit_B", "cvr_logit_B"})


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


# ---------------------------------------------------------------------------------------------
# What tells one method from another
# ---------------------------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------------------------
# Labels that are not final: at the true rates nothing pulls
# ---------------------------------------------------------------------------------------------

TRUE_CVR, LATE = 0.1, 0.04
LOGIT = {p: math.log(p / (1 - p)) for p in (TRUE_CVR, 0.3, 0.5, 0.2)}


Seen = tuple[int, int, float, Delays]
"""Rows alike: click, conversion, their share, and what stands beside."""


def pull(
    name: str, stage: int, logits: dict[str, float], head: str, rows: list[Seen]
) -> float:
    """The gradient of a stage's expected loss by a head, of rows with their shares."""
    heads = {key: torch.tensor([value], dtype=torch.float64, requires_grad=True)
             for key, value in logits.items()}
    total = torch.zeros((), dtype=torch.float64)
    for y, z, share, delays in rows:
        batch = labelled_rows([y], [z], [1.0], **delays)
        total = total + share * sum(as_tested(name).stages[stage].loss_sums(heads, batch).values())
    return gradients(total, heads)[head]


def test_fnw_finds_the_rate_of_a_stream_in_which_every_conversion_was_a_negative() -> None:
    stream: list[Seen] = [(1, 0, 1.0, {}), (1, 1, TRUE_CVR, {})]
    assert pull("fnw", 0, {"cvr": LOGIT[TRUE_CVR]}, "cvr", stream) == pytest.approx(0, abs=1e-12)
    assert abs(pull("base", 0, {"cvr": LOGIT[TRUE_CVR]}, "cvr", stream)) > 5e-3
    rebuilt: list[Seen] = [(1, 0, 1 - TRUE_CVR, {}), (1, 1, TRUE_CVR, {})]
    assert pull("fnw", 0, {"cvr": LOGIT[TRUE_CVR]}, "cvr", rebuilt) < -5e-3, "refused, hence"


def test_es_dfm_finds_the_rate_of_a_stream_in_which_late_conversions_were_negatives() -> None:
    fake: Delays = {"fake_negative": 1}
    stream: list[Seen] = [(1, 0, 1 - TRUE_CVR, {}), (1, 0, LATE, fake), (1, 1, TRUE_CVR, {})]
    fake_logit, real_logit = math.log(LATE), math.log((1 - TRUE_CVR) / LATE)
    logits = {"fake": fake_logit, "real": real_logit}
    for head in logits:
        assert pull("es_dfm", 0, logits, head, stream) == pytest.approx(0, abs=1e-12)
    logits["cvr"] = LOGIT[TRUE_CVR]
    assert pull("es_dfm", 1, logits, "cvr", stream) == pytest.approx(0, abs=1e-12)
    assert pull("base", 0, {"cvr": LOGIT[TRUE_CVR]}, "cvr", stream) > 1e-3, "base is drawn down"


def test_esdf_finds_rate_and_delay_of_labels_that_are_not_final() -> None:
    """Half of the rows were looked at after the first slot, half are final."""
    p_ctr, hazard_1, hazard_2 = 0.3, 0.5, 0.2
    logits = {"ctr": LOGIT[p_ctr], "cvr": LOGIT[TRUE_CVR], "hazard_1": LOGIT[hazard_1],
              "hazard_2": LOGIT[hazard_2]}
    p_of_slot = (hazard_1, (1 - hazard_1) * hazard_2, (1 - hazard_1) * (1 - hazard_2))
    rows: list[Seen] = []
    for seen_slots, final in ((1, 0), (3, 1)):
        looked: Delays = {"mature": final, "click_delay_s": 0,
                          "observed_s": int(3600 * oracle.SLOT_HOURS[seen_slots - 1])}
        converted = [p_ctr * TRUE_CVR * p for p in p_of_slot[:seen_slots]]
        for hours, share in zip((0, 2, 12), converted):
            rows.append((1, 1, share / 2, looked | {"conversion_delay_s": 3600 * hours}))
        rows.append((1, 0, (p_ctr - sum(converted)) / 2, looked))
        rows.append((0, 0, (1 - p_ctr) / 2, looked | {"click_delay_s": -1}))
    for head in logits:
        assert pull("esdf", 0, logits, head, rows) == pytest.approx(0, abs=1e-12)
    assert pull("esmm", 0, {"ctr": LOGIT[p_ctr], "cvr": LOGIT[TRUE_CVR]}, "cvr", rows) > 1e-3
