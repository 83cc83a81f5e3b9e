"""Every method's losses and their gradients, row by row, against 60-digit arithmetic."""

import itertools
import math
import random
from functools import cache
from typing import get_args

import pytest
import torch
from mpmath import mpf  # type: ignore[import-untyped]

from esmm_dist.contract.method_options import MethodName
from tests.factories.labelled_rows import FINAL, labelled_rows
from tests.factories.methods_as_tested import as_tested, gradients, heads_of
from tests.oracles import losses as oracle

NAMES = get_args(MethodName)
LABELS = [(0, 0), (1, 0), (1, 1)]
LOGITS = [-40.0, -12.5, -0.5, 1.0, 7.0, 40.0]
DTYPES = {"float32": torch.float32, "float64": torch.float64}

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
