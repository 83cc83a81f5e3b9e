"""Methods for labels that are not final: at the true rates nothing pulls."""

import math

import pytest
import torch

from tests.factories.labelled_rows import labelled_rows
from tests.factories.methods_as_tested import as_tested, gradients
from tests.oracles import losses as oracle

Delays = dict[str, int]
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
