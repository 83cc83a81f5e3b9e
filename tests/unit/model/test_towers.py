"""Towers computed side by side against one nn.Sequential a tower."""

import math

import torch
from torch import nn

from esmm_dist.model.towers import Towers


def towers_of(
    num_towers: int, num_inputs: int, hidden_units: tuple[int, ...], seed: int,
    dtype: torch.dtype = torch.float32,
) -> Towers:
    return Towers(
        num_towers, num_inputs, hidden_units, torch.Generator().manual_seed(seed), dtype
    )


def separately(towers: Towers, tower: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for weight_TIO, bias_T1O in zip(towers.weights_TIO, towers.biases_T1O):
        _, num_in, num_out = weight_TIO.shape
        linear = nn.Linear(num_in, num_out, dtype=weight_TIO.dtype)
        linear.weight.data = weight_TIO[tower].T.detach().clone()
        linear.bias.data = bias_T1O[tower, 0].detach().clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_towers_equal_plain_sequential_networks_with_gradients() -> None:
    towers = towers_of(3, 6, (5, 4), seed=3, dtype=torch.float64)
    for bias in towers.biases_T1O:
        nn.init.normal_(bias)
    inputs_BI = torch.randn(7, 6, dtype=torch.float64, requires_grad=True)
    logits_TB = towers(inputs_BI)
    assert logits_TB.shape == (3, 7)
    (gradient,) = torch.autograd.grad(logits_TB.square().sum(), inputs_BI)
    plain_TB = torch.stack([separately(towers, t)(inputs_BI).squeeze(1) for t in range(3)])
    torch.testing.assert_close(logits_TB, plain_TB, rtol=1e-12, atol=1e-14)
    (plain_gradient,) = torch.autograd.grad(plain_TB.square().sum(), inputs_BI)
    torch.testing.assert_close(gradient, plain_gradient, rtol=1e-12, atol=1e-14)


def test_the_seed_alone_decides_the_beginning() -> None:
    torch.manual_seed(1)
    first = towers_of(2, 6, (5,), seed=3).state_dict()
    torch.manual_seed(2)
    again, other = (towers_of(2, 6, (5,), seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["weights_TIO.0"], other["weights_TIO.0"])


def test_both_precisions_begin_at_the_same_point_and_towers_differ() -> None:
    single, double = (towers_of(2, 6, (5,), 3, dtype) for dtype in (torch.float32, torch.float64))
    for a, b in zip(single.parameters(), double.parameters()):
        assert torch.equal(a, b.float())
    assert not torch.equal(single.weights_TIO[0][0], single.weights_TIO[0][1])


def test_he_initialisation_keeps_the_scale_through_the_layers() -> None:
    towers = towers_of(1, 400, (400,), seed=1, dtype=torch.float64)
    std = towers.weights_TIO[0].std().item()
    assert math.isclose(std, math.sqrt(2 / 400), rel_tol=0.02)
    assert not any(bias.any() for bias in towers.biases_T1O)


def test_no_hidden_layer_is_a_logistic_regression_and_no_row_is_no_logit() -> None:
    towers = towers_of(2, 3, (), seed=1)
    inputs_BI = torch.randn(4, 3)
    torch.testing.assert_close(towers(inputs_BI), (inputs_BI @ towers.weights_TIO[0]).squeeze(-1))
    assert towers(torch.zeros(0, 3)).shape == (2, 0)
