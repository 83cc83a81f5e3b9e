"""Bodies of several layers against the same, written as loops over heads, experts and rows."""

from typing import Any

import pytest
import torch
from torch import Tensor

from esmm_dist.contract.sections import Model
from esmm_dist.model.method import method_of
from esmm_dist.model.towers import ParallelMlps

NUM_INPUTS, NUM_ROWS = 6, 5


def body_of(name: str, **options: int) -> Any:
    model = Model.model_validate(
        {"method": name, "hidden_units": (7, 4, 3), "options": options}
    )
    (spec,) = method_of(model, seed=1).networks.values()
    generator = torch.Generator().manual_seed(5)
    return spec.make_body(len(spec.heads), NUM_INPUTS, model, generator, torch.float64)


@pytest.fixture
def x_BI() -> Tensor:
    return inputs(NUM_ROWS)


def inputs(num_rows: int) -> Tensor:
    """Always the same."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_rows, NUM_INPUTS, dtype=torch.float64, generator=generator)


def one(mlps: ParallelMlps, number: int, x: Tensor) -> Tensor:
    """One of several perceptrons on one row, layer by layer."""
    layers = list(zip(mlps.weights_TIO, mlps.biases_T1O))
    for place, (weight_TIO, bias_T1O) in enumerate(layers, 1):
        x = x @ weight_TIO[number] + bias_T1O[number, 0]
        if place < len(layers) or not mlps._ends_linear:
            x = x.clamp(min=0)
    return x


def test_parallel_perceptrons_equal_each_by_itself(x_BI: Tensor) -> None:
    generator = torch.Generator().manual_seed(5)
    for ends_linear in (True, False):
        mlps = ParallelMlps(3, [6, 4, 2], generator, torch.float64, ends_linear=ends_linear)
        expected = torch.stack([torch.stack([one(mlps, t, x) for x in x_BI]) for t in range(3)])
        torch.testing.assert_close(mlps(x_BI), expected)
        torch.testing.assert_close(mlps(x_BI.expand(3, -1, -1)), expected)
        for t in range(3):
            torch.testing.assert_close(mlps.one(t, x_BI), expected[t])


def test_towers_of_a_shared_bottom_read_one_layer(x_BI: Tensor) -> None:
    body = body_of("shared_bottom")
    expected = [[one(body.towers, t, one(body.bottom, 0, x)).item() for x in x_BI]
                for t in range(2)]
    assert body(x_BI).tolist() == [pytest.approx(of_tower) for of_tower in expected]


def test_mmoe_mixes_the_same_experts_by_a_gate_for_each_task(x_BI: Tensor) -> None:
    body = body_of("mmoe", num_experts=3)
    for t, logit_B in enumerate(body(x_BI)):
        for x, logit in zip(x_BI, logit_B):
            gate = torch.softmax(one(body.gates, t, x), 0)
            mixed = torch.stack([gate[e] * one(body.experts, e, x) for e in range(3)]).sum(0)
            torch.testing.assert_close(logit, one(body.towers, t, mixed).squeeze())


@pytest.mark.parametrize("num_levels", [1, 2])
def test_ple_mixes_own_and_shared_experts_level_by_level(x_BI: Tensor, num_levels: int) -> None:
    body = body_of("ple", num_experts=2, num_levels=num_levels)
    found_TB = body(x_BI)
    for row, x in enumerate(x_BI):
        streams = [x, x, x]  # of the two tasks, and the shared one
        for place, level in enumerate(body.levels):
            experts = [[one(level.experts, 2 * s + e, streams[s]) for e in range(2)]
                       for s in range(3)]
            mixed = []
            for t in range(2):
                gate = torch.softmax(one(level.task_gates, t, streams[t]), 0)
                mixed.append(sum(g * v for g, v in zip(gate, experts[t] + experts[2])))
            if place < num_levels - 1:
                gate = torch.softmax(one(level.shared_gate, 0, streams[2]), 0)
                mixed.append(sum(g * v for g, v in zip(gate, sum(experts, []))))
            streams = mixed
        for t in range(2):
            expected = one(body.towers, t, streams[t]).squeeze()
            torch.testing.assert_close(found_TB[t, row], expected)
    assert body.levels[-1].shared_gate is None, "nobody would read what it mixes"


def test_aitm_attends_to_what_the_click_tower_hands_on(x_BI: Tensor) -> None:
    body = body_of("aitm")
    found_TB = body(x_BI)
    for row, x in enumerate(x_BI):
        click = one(body.towers, 0, x)
        tokens = [one(body.hand_on, 0, click), one(body.towers, 1, x)]
        key, query, value = ([one(body.attention, part, u) for u in tokens] for part in range(3))
        scores = torch.stack([(k * q).sum() for k, q in zip(key, query)]) / 3**0.5
        share = torch.softmax(scores, 0)
        state = share[0] * value[0] + share[1] * value[1]
        torch.testing.assert_close(found_TB[0, row], one(body.outputs, 0, click).squeeze())
        torch.testing.assert_close(found_TB[1, row], one(body.outputs, 1, state).squeeze())


@pytest.mark.parametrize("name", ["shared_bottom", "mmoe", "ple", "aitm"])
def test_every_part_of_a_body_learns_from_some_head(name: str) -> None:
    """Of a batch of many rows: a ReLU that is shut on all of a few would hide a part."""
    body = body_of(name)
    body(inputs(500)).sum().backward()
    untouched = [n for n, p in body.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untouched
