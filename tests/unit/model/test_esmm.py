"""The network and ESMM's loss sums on a batch."""

import torch

from esmm_dist.contract.batch import Batch
from esmm_dist.contract.features import CategoricalFeature, Group, HashEncoding
from esmm_dist.contract.places import Places
from esmm_dist.contract.sections import Model
from esmm_dist.model.esmm import esmm_loss_sums
from esmm_dist.model.method import METHODS
from esmm_dist.model.network import Logits, Network
from tests.oracles import losses as oracle

FEATURES = [
    CategoricalFeature(name=f"f{i}", group=group, encode=HashEncoding(hash_size=10))
    for i, group in enumerate([Group.ITEM, Group.USER, Group.ITEM])
]


def labelled(clicks: list[float], conversions: list[float], weights: list[float]) -> Batch:
    keys = torch.zeros(len(clicks), dtype=torch.int64)
    return Batch(
        ids_BF=torch.zeros(len(clicks), 0, dtype=torch.int32), bags=(),
        click_B=torch.tensor(clicks), conversion_B=torch.tensor(conversions),
        weight_B=torch.tensor(weights), sample_id_B=keys, group_id_B=keys,
    )


def places_of_singles(num_rows: int, num_fields: int) -> Places:
    pools_P1 = torch.arange(num_rows * num_fields + 1)
    return Places(num_fields, pools_P1[:-1], pools_P1, pools_P1[:-1], pools_P1)


def test_loss_sums_weigh_every_row_and_divide_nothing() -> None:
    a, b = [0.3, -1.2, 2.0, 50.0], [-0.7, 0.1, 1.5, 50.0]
    clicks, conversions, weights = [1.0, 0, 1, 0], [1.0, 0, 0, 0], [1.0, 2, 0.5, 0]
    logits = Logits(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
    sums = esmm_loss_sums(logits, labelled(clicks, conversions, weights))
    ctr = sum(w * oracle.click_loss(x, int(y)) for w, x, y in zip(weights, a, clicks))
    ctcvr = sum(w * oracle.ctcvr_loss(x, v, int(z))
                for w, x, v, z in zip(weights, a, b, conversions))
    assert list(sums) == ["ctr_loss", "ctcvr_loss"]
    assert abs(sums["ctr_loss"].item() - ctr) < 1e-14
    assert abs(sums["ctcvr_loss"].item() - ctcvr) < 1e-14


def test_a_batch_without_rows_has_losses_of_zero() -> None:
    logits = Logits(torch.zeros(0, requires_grad=True), torch.zeros(0))
    sums = METHODS["esmm"](logits, labelled([], [], []))
    assert [value.item() for value in sums.values()] == [0.0, 0.0]
    (sums["ctr_loss"] + sums["ctcvr_loss"]).backward()


def test_the_network_gives_two_logits_a_row_for_either_way_to_combine() -> None:
    rows_UD = torch.randn(6, 4)
    shape = {"embedding_dim": 4, "hidden_units": (5,)}
    for combine, num_inputs in (("concat", 12), ("group_sum", 8)):
        network = Network(FEATURES, Model.model_validate({"combine": combine, **shape}), seed=1)
        assert network.towers.weights_TIO[0].shape == (2, num_inputs, 5)
        logits = network(rows_UD, places_of_singles(2, 3))
        assert logits.ctr_logit_B.shape == logits.cvr_logit_B.shape == (2,)


def test_group_sum_reads_user_before_item() -> None:
    model = Model(combine="group_sum", embedding_dim=1, hidden_units=())
    network = Network(FEATURES, model, seed=1)
    rows_UD = torch.tensor([[1.0], [10.0], [100.0]])  # item, user, item
    logits = network(rows_UD, places_of_singles(1, 3))
    weight_TIO = network.towers.weights_TIO[0]
    for logit_B, weight_IO in zip(logits, weight_TIO):
        torch.testing.assert_close(logit_B, 10 * weight_IO[0] + 101 * weight_IO[1])


def test_a_click_teaches_the_cvr_tower_only_through_ctcvr() -> None:
    a = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    sums = esmm_loss_sums(Logits(a, b), labelled([1.0, 0.0], [0.0, 0.0], [1.0, 1.0]))
    (from_ctr,) = torch.autograd.grad(sums["ctr_loss"], b, retain_graph=True, allow_unused=True)
    assert from_ctr is None
    (gradient_B,) = torch.autograd.grad(sums["ctcvr_loss"], b)
    assert gradient_B[0] == gradient_B[1] > 0
