"""From rows to logits: the ways to combine fields, and networks that share nothing."""

from typing import Any

import pytest
import torch

from esmm_dist.contract.features import CategoricalFeature, Group, HashEncoding
from esmm_dist.contract.places import Places
from esmm_dist.contract.sections import Model
from esmm_dist.model.method import NetworkSpec
from esmm_dist.model.network import Network, Networks

FEATURES = [
    CategoricalFeature(name=f"f{i}", group=group, encode=HashEncoding(hash_size=10))
    for i, group in enumerate([Group.ITEM, Group.USER, Group.ITEM])
]
BOTH = NetworkSpec(heads=("ctr", "cvr"))
APART = {"ctr": NetworkSpec(heads=("ctr",)), "cvr": NetworkSpec(heads=("cvr",))}


def first_weights(network: Any) -> torch.Tensor:
    """Of the body's first layer, (T, I, O)."""
    weights_TIO: torch.Tensor = network.body.weights_TIO[0]
    return weights_TIO


def places_of_singles(num_rows: int, num_fields: int) -> Places:
    pools_P1 = torch.arange(num_rows * num_fields + 1)
    return Places(num_fields, pools_P1[:-1], pools_P1, pools_P1[:-1], pools_P1)


@pytest.mark.parametrize(("combine", "num_inputs"), [("concat", 12), ("group_sum", 8)])
def test_the_network_gives_a_logit_a_row_and_head_for_either_way_to_combine(
    combine: str, num_inputs: int
) -> None:
    shape = {"embedding_dim": 4, "hidden_units": (5,)}
    network = Network(FEATURES, Model.model_validate({"combine": combine, **shape}), BOTH, seed=1)
    assert first_weights(network).shape == (2, num_inputs, 5)
    heads = network(torch.randn(6, 4), places_of_singles(2, 3))
    assert {name: logit_B.shape for name, logit_B in heads.items()} == {"ctr": (2,), "cvr": (2,)}


def test_group_sum_reads_user_before_item() -> None:
    model = Model(combine="group_sum", embedding_dim=1, hidden_units=())
    network = Network(FEATURES, model, BOTH, seed=1)
    rows_UD = torch.tensor([[1.0], [10.0], [100.0]])  # item, user, item
    heads = network(rows_UD, places_of_singles(1, 3))
    for logit_B, weight_IO in zip(heads.values(), first_weights(network)):
        torch.testing.assert_close(logit_B, 10 * weight_IO[0] + 101 * weight_IO[1])


def test_networks_apart_begin_differently_and_read_rows_of_their_own() -> None:
    model = Model(embedding_dim=2, hidden_units=())  # no ReLU that may be shut
    networks = Networks.of(FEATURES, model, APART, seed=1)
    ctr, cvr = (first_weights(networks.trained[name]) for name in APART)
    assert not torch.equal(ctr, cvr)
    rows_UX = torch.randn(3, 4, requires_grad=True)
    networks(rows_UX, places_of_singles(1, 3))["cvr"].sum().backward()
    assert rows_UX.grad is not None
    assert not rows_UX.grad[:, :2].any() and rows_UX.grad[:, 2:].any()


def test_a_network_that_is_only_read_answers_alike_and_learns_nothing() -> None:
    networks = Networks.of(FEATURES, Model(embedding_dim=2, hidden_units=(3,)), APART, seed=1)
    rows_UX = torch.randn(3, 4, requires_grad=True)
    places = places_of_singles(1, 3)
    part = networks.part(["cvr"], ["ctr"])
    assert len(list(part.parameters())) == len(list(networks.parameters())) / 2
    heads = part(rows_UX, places)
    swapped_UX = torch.cat([rows_UX[:, 2:], rows_UX[:, :2]], dim=1)  # trained first
    whole = networks(swapped_UX, places)
    assert all(torch.equal(heads[name], whole[name]) for name in whole)
    (heads["ctr"] + heads["cvr"]).sum().backward()
    assert rows_UX.grad is not None and not rows_UX.grad[:, 2:].any()
    assert all(p.grad is None for p in networks.trained["ctr"].parameters())
