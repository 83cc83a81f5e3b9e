"""The update rules against torch's own optimizers, where these are the same thing."""

import pytest
import torch
from torch import Tensor

from esmm_dist.contract.sections import Optimizer
from esmm_dist.distributed.row_optimizers import (
    RowAdagrad,
    RowAdam,
    RowOptimizer,
    RowSgd,
    row_optimizer,
)

NUM_ROWS, DIM, STEPS = 7, 4, 30


def steps_on_row(optimizer: torch.optim.Optimizer, row_D: Tensor, gradients: list[Tensor]) -> None:
    for gradient_D in gradients:
        row_D.grad = gradient_D.clone()
        optimizer.step()


def run(rule: RowOptimizer, rows_SD: Tensor, seen: list[Tensor], grads: list[Tensor]) -> Tensor:
    rows_SD = rows_SD.clone()
    state = rule.new_state(rows_SD)
    for slots_U, grad_UD in zip(seen, grads):
        rule.step(rows_SD, state, slots_U, grad_UD.clone())
    return rows_SD


def random_run(dim: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(7)
    rows_SD = torch.randn(NUM_ROWS, dim, generator=generator, dtype=torch.float64)
    seen = [torch.rand(NUM_ROWS - 1, generator=generator).gt(0.6).nonzero().view(-1)
            for _ in range(STEPS)]
    grads = [torch.randn(len(slots), dim, generator=generator, dtype=torch.float64)
             for slots in seen]
    return rows_SD, seen, grads


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize(
    "rule, plain, dim",
    [
        (RowSgd, torch.optim.SGD, DIM),
        (RowAdam, torch.optim.Adam, DIM),
        # With one number a row, row-wise Adagrad is Adagrad.
        (RowAdagrad, torch.optim.Adagrad, 1),
    ],
)
def test_a_row_moves_as_if_torchs_optimizer_ran_over_the_steps_that_saw_it(
    rule: type[RowSgd | RowAdam | RowAdagrad], plain: type[torch.optim.SGD], dim: int, decay: float
) -> None:
    rows_SD, seen, grads = random_run(dim)
    found = run(rule(0.05, decay), rows_SD, seen, grads)
    for slot in range(NUM_ROWS):
        row_D = rows_SD[slot].clone().requires_grad_()
        own = [g[s == slot][0] for s, g in zip(seen, grads) if (s == slot).any()]
        steps_on_row(plain([row_D], lr=0.05, weight_decay=decay), row_D, own)
        torch.testing.assert_close(found[slot], row_D.detach(), rtol=1e-12, atol=1e-15)
    # The last slot is never seen.
    assert torch.equal(found[-1], rows_SD[-1])
    assert not torch.equal(found[0], rows_SD[0])


def test_row_wise_adagrad_divides_by_the_root_of_the_summed_mean_squares() -> None:
    rows_SD = torch.zeros(2, 4, dtype=torch.float64)
    grads = [torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[0.0, 0.0, 0.0, 2.0]])]
    grads = [g.double() for g in grads]
    found = run(RowAdagrad(0.1), rows_SD, [torch.tensor([1])] * 2, grads)
    by_hand = -0.1 * (grads[0] / 7.5**0.5 + grads[1] / 8.5**0.5)
    torch.testing.assert_close(found[1:], by_hand, rtol=1e-9, atol=0)


@pytest.mark.parametrize("rule", [RowSgd(0.1), RowAdagrad(0.1), RowAdam(0.1)])
def test_a_gradient_of_zero_and_no_row_seen_leave_everything_as_it_was(rule: RowOptimizer) -> None:
    rows_SD = torch.ones(3, 2)
    slots = [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)]
    found = run(rule, rows_SD, slots, [torch.zeros(2, 2), torch.zeros(0, 2)])
    assert torch.equal(found, rows_SD)


@pytest.mark.parametrize("rule", [RowSgd(0.1), RowAdagrad(0.1), RowAdam(0.1)])
def test_single_precision_follows_double(rule: RowOptimizer) -> None:
    rows_SD, seen, grads = random_run(DIM)
    double = run(rule, rows_SD, seen, grads)
    single = run(rule, rows_SD.float(), seen, [g.float() for g in grads])
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_the_config_names_the_rule() -> None:
    declared = Optimizer(name="adagrad", learning_rate=0.5, weight_decay=0.25)
    assert row_optimizer(declared) == RowAdagrad(0.5, 0.25)
    assert isinstance(row_optimizer(Optimizer(name="adam")), RowAdam)
    assert isinstance(row_optimizer(Optimizer(name="sgd")), RowSgd)
