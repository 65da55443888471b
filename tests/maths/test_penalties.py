"""The penalty's prox is the minimiser it claims to be, and is exact at zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from lineas.errors import ConfigError
from lineas.maths.penalties import SparseGroupLasso

weights = st.floats(0, 2)
steps = st.floats(0, 2)
vectors = st.lists(st.floats(-5, 5), min_size=1, max_size=6)


def vector(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def objective(penalty: SparseGroupLasso, x: Tensor, y: Tensor, step: float) -> float:
    return (step * penalty.value(y) + (y - x).square().sum() / 2).item()


@given(vectors, weights, weights, steps, st.integers(0, 1000))
def test_nothing_beats_the_prox(values: list[float], l1: float, group: float, step: float, seed: int) -> None:
    penalty, x = SparseGroupLasso(l1, group), vector(values)
    best = penalty.prox(x, step)
    noise = torch.randn(20, len(x), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for rival in [x, torch.zeros_like(x), *(best + 0.1 * noise), *(best * (1 + 1e-3 * noise))]:
        assert objective(penalty, x, best, step) <= objective(penalty, x, rival, step) + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_a_general_solver_finds_the_same(seed: int) -> None:
    penalty, x = SparseGroupLasso(0.3, 0.2), torch.from_numpy(np.random.default_rng(seed).normal(size=3) * 2)
    found = minimize(
        lambda y: objective(penalty, x, torch.from_numpy(y), 0.7),
        x,
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 5000},
    )
    np.testing.assert_allclose(penalty.prox(x, 0.7).numpy(), found.x, atol=1e-5)


def diagonal(penalty: SparseGroupLasso, x: Tensor, y: Tensor, step: Tensor) -> float:
    return (penalty.value(y) + ((y - x).square() / (2 * step)).sum()).item()


@given(vectors, weights, weights, st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_nothing_beats_the_prox_of_a_diagonal_metric(
    values: list[float], l1: float, group: float, ratio: float, seed: int
) -> None:
    penalty, x, generator = SparseGroupLasso(l1, group), vector(values), torch.Generator().manual_seed(seed)
    step = 0.5 * ratio ** torch.rand(len(x), generator=generator, dtype=torch.float64)
    best = penalty.prox(x, step)
    noise = torch.randn(20, len(x), generator=generator, dtype=torch.float64)
    for rival in [x, torch.zeros_like(x), *(best + 0.1 * noise), *(best * (1 + 1e-3 * noise))]:
        least = diagonal(penalty, x, rival, step)
        assert diagonal(penalty, x, best, step) <= least + 1e-9 * (1 + abs(least))


@given(vectors, weights, weights, st.floats(1e-3, 2))
def test_equal_steps_are_one_step(values: list[float], l1: float, group: float, step: float) -> None:
    penalty, x = SparseGroupLasso(l1, group), vector(values)
    torch.testing.assert_close(penalty.prox(x, torch.full_like(x, step)), penalty.prox(x, step))


def test_a_diagonal_metric_is_finite_at_extremes() -> None:
    """Adam divides by √v + 1e-8: a unit that never had a gradient has a step of millions."""
    x, step = torch.tensor([1.0, 0.0, 0.5, 0.0]), torch.tensor([1e-18, 1e7, 1e-3, 1e-30])
    for group in (0.0, 1.0):
        y = SparseGroupLasso(1.0, group).prox(x, step)
        torch.testing.assert_close(y, x, atol=1e-2, rtol=0)
        assert y[1] == y[3] == 0


@given(vectors, weights, weights, steps)
def test_it_shrinks_and_keeps_signs(values: list[float], l1: float, group: float, step: float) -> None:
    x = vector(values)
    y = SparseGroupLasso(l1, group).prox(x, step)
    assert (y.abs() <= x.abs()).all() and (y * x >= 0).all()


@given(vectors, vectors, weights, weights, steps)
def test_it_brings_no_two_points_apart(
    a: list[float], b: list[float], l1: float, group: float, step: float
) -> None:
    d = min(len(a), len(b))
    x, y, prox = vector(a[:d]), vector(b[:d]), SparseGroupLasso(l1, group).prox
    assert (prox(x, step) - prox(y, step)).norm() <= (x - y).norm() + 1e-9


def test_subnormal_numbers_stay_finite() -> None:
    assert (
        SparseGroupLasso(0.0, 1.0).prox(torch.tensor([5e-323], dtype=torch.float64), 5e-324).isfinite().all()
    )


def test_the_value_is_the_formula() -> None:
    assert SparseGroupLasso(2, 3).value(torch.tensor([3.0, -4.0, 0, 0])) == 2 * 7 + 3 * 2 * 5


def test_zero_is_exact_and_has_no_nan_gradient() -> None:
    x = torch.zeros(4, requires_grad=True)
    penalty = SparseGroupLasso()
    (penalty.value(x) + penalty.prox(x, 0.5).sum()).backward()
    assert x.grad is not None and x.grad.tolist() == [0, 0, 0, 0]
    assert penalty.prox(x, 0.0).tolist() == [0, 0, 0, 0]


def test_no_step_and_no_weight_leave_the_values() -> None:
    x = torch.tensor([1e-30, -1e-38, 2.0])
    assert torch.equal(SparseGroupLasso(1, 1).prox(x, 0), x)
    assert torch.equal(SparseGroupLasso(0, 0).prox(x, 3), x)


def test_half_precision_keeps_its_dtype() -> None:
    x = torch.tensor([300.0, -300.0]).half()
    y = SparseGroupLasso(0, 1).prox(x, 1.0)
    assert y.dtype == torch.float16 and torch.isfinite(y).all() and (y != 0).all()


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_impossible_weights_and_steps_are_refused(weight: float) -> None:
    with pytest.raises(ConfigError):
        SparseGroupLasso(l1=weight)
    with pytest.raises(ConfigError):
        SparseGroupLasso(group=weight)
    with pytest.raises(ConfigError):
        SparseGroupLasso().prox(torch.ones(2), weight)
