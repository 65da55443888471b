"""Proximal steps against closed forms, and the schedule."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lineas.errors import ConfigError
from lineas.maths.penalties import SparseGroupLasso
from lineas.maths.proximal import ProximalOptimizer, cosine_learning_rate

TARGET = torch.tensor([3.0, -0.2, 0.5, -4.0], dtype=torch.float64)


def fitted(
    gamma: float, base: type[torch.optim.Optimizer] = torch.optim.SGD, lr: float = 0.1
) -> torch.Tensor:
    x = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = ProximalOptimizer(base([x], lr=lr), SparseGroupLasso(1, 0.5).prox, gamma)
    for _ in range(400):
        optimizer.zero_grad()
        ((x - TARGET).square().sum() / 2).backward()
        optimizer.step()
    return x.detach()


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.6, 5.0])
def test_proximal_descent_ends_at_the_prox_of_the_target(gamma: float) -> None:
    torch.testing.assert_close(fitted(gamma), SparseGroupLasso(1, 0.5).prox(TARGET, gamma), atol=1e-8, rtol=0)


@pytest.mark.parametrize("gamma", [0.1, 0.6])
def test_adam_ends_at_the_same_minimum_with_exact_zeros(gamma: float) -> None:
    expected = SparseGroupLasso(1, 0.5).prox(TARGET, gamma)
    found = fitted(gamma, torch.optim.Adam)
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=0)
    assert torch.equal(found == 0, expected == 0)


def test_one_step_is_base_then_prox_of_lr_gamma() -> None:
    x = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = ProximalOptimizer(torch.optim.SGD([x], lr=0.5), lambda x, step: x - step, gamma=0.25)
    x.grad = torch.tensor([1.0])
    optimizer.step()
    assert x.item() == 2 - 0.5 - 0.5 * 0.25
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    assert x.item() == pytest.approx(1.375 - 0.1 - 0.025)


def test_groups_have_their_own_prox() -> None:
    a, b = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    base = torch.optim.SGD([{"params": [a]}, {"params": [b]}], lr=1.0)
    ProximalOptimizer(base, [None, lambda x, step: x * 0]).step()
    assert (a.item(), b.item()) == (1, 0)
    with pytest.raises(ConfigError, match="1 proxes for 2"):
        ProximalOptimizer(base, [None])


def test_it_continues_from_its_state() -> None:
    x = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = ProximalOptimizer(torch.optim.Adam([x], lr=0.1), SparseGroupLasso().prox, 0.1)
    x.grad = torch.tensor([1.0, -1.0])
    optimizer.step()
    y = torch.nn.Parameter(x.detach().clone())
    other = ProximalOptimizer(torch.optim.Adam([y], lr=0.1), SparseGroupLasso().prox, 0.1)
    other.load_state_dict(optimizer.state_dict())
    for parameter, one in ((x, optimizer), (y, other)):
        parameter.grad = torch.tensor([0.5, 0.5])
        one.step()
    assert torch.equal(x, y)


@pytest.mark.parametrize("gamma", [-1.0, math.nan, math.inf])
def test_an_impossible_gamma_is_refused(gamma: float) -> None:
    with pytest.raises(ConfigError):
        ProximalOptimizer(torch.optim.SGD([torch.zeros(1)], lr=1), SparseGroupLasso().prox, gamma)


@given(st.integers(1, 1000), st.integers(-10, 1100), st.floats(1e-6, 10), st.floats(0, 1))
def test_the_schedule_falls_from_the_rate_to_its_floor(
    steps: int, step: int, lr: float, share: float
) -> None:
    floor = share * lr
    value = cosine_learning_rate(step, steps, lr, floor)
    assert floor * (1 - 1e-9) <= value <= lr * (1 + 1e-9)
    assert cosine_learning_rate(step + 1, steps, lr, floor) <= value * (1 + 1e-9)
    assert cosine_learning_rate(0, steps, lr, floor) == pytest.approx(lr)
    assert cosine_learning_rate(steps, steps, lr, floor) == pytest.approx(floor)


def test_the_schedule_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.01)
    for step in range(50):
        assert schedule.get_last_lr()[0] == pytest.approx(cosine_learning_rate(step, 50, 0.1, 0.01))
        optimizer.step()
        schedule.step()


def test_an_empty_schedule_is_refused() -> None:
    with pytest.raises(ConfigError):
        cosine_learning_rate(0, 0, 0.1)
