"""The transport cost against SciPy's assignment solver, and what must hold for any rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lineas.errors import MismatchError, PromptError
from lineas.maths.transport import cost, cost_per_unit, spread

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**31)


def rows(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assigned(u: np.ndarray, v: np.ndarray) -> float:
    """W2² of two samples: every row repeated to a common count, then the cheapest assignment."""
    count = math.lcm(len(u), len(v))
    pairs = (np.repeat(u, count // len(u))[:, None] - np.repeat(v, count // len(v))[None]) ** 2
    return pairs[linear_sum_assignment(pairs)].sum() / count


@given(sizes, sizes, seeds)
def test_it_is_the_cheapest_assignment(n: int, m: int, seed: int) -> None:
    u, v = rows(n, 2, seed), rows(m, 2, seed + 1)
    expected = [assigned(u[:, j].numpy(), v[:, j].numpy()) for j in range(2)]
    torch.testing.assert_close(cost_per_unit(u, v), torch.tensor(expected, dtype=torch.float64))


@given(sizes, seeds)
def test_equal_counts_agree_with_the_quantile_coupling(n: int, seed: int) -> None:
    u, v = rows(n, 3, seed), rows(n, 3, seed + 1)
    twice = torch.cat([v, v])
    torch.testing.assert_close(cost_per_unit(u, v), cost_per_unit(u, twice))


@given(sizes, sizes, seeds)
def test_it_is_symmetric_blind_to_order_and_zero_on_itself(n: int, m: int, seed: int) -> None:
    u, v = rows(n, 3, seed), rows(m, 3, seed + 1)
    torch.testing.assert_close(cost_per_unit(u, v), cost_per_unit(v, u))
    torch.testing.assert_close(cost_per_unit(u.flip(0), v), cost_per_unit(u, v))
    assert cost(u, u.flip(0)) == 0


@given(sizes, sizes, seeds, st.floats(-3, 3), st.floats(0.1, 5))
def test_shifts_and_scales_act_as_in_theory(n: int, m: int, seed: int, shift: float, scale: float) -> None:
    u, v = rows(n, 1, seed), rows(m, 1, seed + 1)
    moved = cost(u + shift, v)
    gap = (u.mean() - v.mean()).item()
    torch.testing.assert_close(moved, cost(u, v) + 2 * shift * gap + shift**2)
    torch.testing.assert_close(cost(scale * u, scale * v), scale**2 * cost(u, v))


@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 6), (3, 7)])
def test_the_gradient_is_the_numerical_one(n: int, m: int) -> None:
    u, v = rows(n, 3, 0).requires_grad_(), rows(m, 3, 1)
    weights = spread(u, v)
    assert not weights.requires_grad
    assert torch.autograd.gradcheck(lambda u: cost(u, v, weights), u)


def test_the_spread_makes_the_cost_free_of_scale() -> None:
    u, v, scale = rows(8, 3, 0), rows(6, 3, 1), torch.tensor([1e-4, 1, 1e4], dtype=torch.float64)
    plain = cost(u, v, spread(u, v, 0))
    torch.testing.assert_close(cost(u * scale, v * scale, spread(u * scale, v * scale, 0)), plain)


def test_the_spread_is_the_root_of_the_mean_variance() -> None:
    u, v = rows(9, 4, 0), 3 * rows(5, 4, 1)
    expected = np.sqrt((u.numpy().var(0) + v.numpy().var(0)) / 2)
    torch.testing.assert_close(spread(u, v), torch.from_numpy(expected))


def test_dead_units_are_lifted_to_the_floor() -> None:
    u = torch.tensor([[0.1, 0.1, 0.1, 1.0], [0.1, 0.1, 0.1, 3.0]])
    assert spread(u, u).tolist() == pytest.approx([1e-3, 1e-3, 1e-3, 1.0])
    assert spread(u[:, :3], u[:, :3] + 5).tolist() == [1, 1, 1]
    assert spread(u[:1], u[:1]).tolist() == [1, 1, 1, 1]


def test_half_precision_is_computed_in_float32() -> None:
    u, v = rows(8, 3, 0), rows(8, 3, 1)
    halves = cost(300 * u.half(), 300 * v.half())
    assert halves.dtype == torch.float32 and torch.isfinite(halves)
    torch.testing.assert_close(halves, cost((300 * u.half()).float(), (300 * v.half()).float()))


def test_nan_is_not_hidden() -> None:
    u = torch.tensor([[1.0], [float("nan")]])
    assert torch.isnan(cost(u, torch.zeros(2, 1)))


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MismatchError, match=r"\[4, 3\] and \[4, 2\]"):
        cost(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(MismatchError):
        spread(torch.zeros(4), torch.zeros(4))
    with pytest.raises(PromptError, match="0 source and 4 target"):
        cost(torch.zeros(0, 3), torch.zeros(4, 3))
