"""AurA: the area under the curve against SciPy and a loop, and what becomes of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toys.problem import ToyProblem

from lineas.maths.pooling import MaxPooling
from lineas.methods.closed_form.aura import AurAConfig, auroc, damping, fit

stats = pytest.importorskip("scipy.stats")


def rows(n: int, seed: int) -> Tensor:
    """Whole numbers, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-3, 4, (n, 3), generator=generator).double()


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_the_area_is_that_of_mann_and_whitney_and_of_a_loop(n: int, m: int, seed: int) -> None:
    positive, negative = rows(n, seed), rows(m, seed + 1)
    got = auroc(positive, negative)
    for unit in range(3):
        p, q = positive[:, unit], negative[:, unit]
        wins = [float(a > b) + 0.5 * float(a == b) for a in p for b in q]
        expected = stats.mannwhitneyu(p.numpy(), q.numpy()).statistic / (n * m)
        assert got[unit].item() == pytest.approx(sum(wins) / len(wins)) == pytest.approx(expected)


def test_units_are_damped_by_their_gini() -> None:
    source = torch.tensor([[1.0, 0.0, 5.0], [2.0, 1.0, 6.0]])
    target = torch.tensor([[3.0, 0.0, 1.0], [4.0, 1.0, 2.0]])
    # All below, as chance has it, all above: left alone, left alone, silenced.
    assert damping([source], [target]).scale.tolist() == [1, 1, 0]
    assert not damping([source], [target]).shift.any()
    half = damping([torch.tensor([[2.0], [0.0]])], [torch.tensor([[1.0], [-1.0]])])
    assert half.scale.item() == pytest.approx(1 - 2 * (3 / 4 - 1 / 2))


def test_rows_are_maxima_unless_asked_otherwise() -> None:
    problem = ToyProblem()
    with torch.no_grad(), problem.frozen():
        source, target = (problem.rows(g, range(6), None, MaxPooling()) for g in ("source", "target"))
    for site, map in fit(problem).maps.items():
        expected = damping(source[site], target[site])
        torch.testing.assert_close(map.tensors()["deviation"], expected.deviation.float())
    assert not fit(problem, AurAConfig(rows="mean")).allclose(fit(problem))
