"""MidSteer: its map worked by hand, that no other disturbs less, and whose rows it takes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys.models import noise
from toys.problem import ToyProblem

from lineas.errors import ConfigError
from lineas.maps.low_rank import LowRankMap
from lineas.methods.closed_form.midsteer import MidSteerConfig, carrying, fit

SOURCE = torch.tensor([[2.0, 2.0], [4.0, 2.0]]).double()  # mean (3, 2)
TARGET = torch.tensor([[0.0, 5.0], [0.0, 7.0]]).double()  # mean (0, 6)
NEUTRAL = torch.tensor([[3.0, 1.0], [-1.0, 1.0], [1.0, 2.0], [1.0, 0.0]]).double()  # mean (1, 1)


def test_it_is_the_formula() -> None:
    # Σ = diag(2, ½), s = (2, 1), Σ⁻¹ s = (1, 2), so a = (¼, ½); the way is (-3, 4).
    map = carrying(SOURCE, TARGET, NEUTRAL, 1e-8)
    z = torch.tensor([[3.0, 2.0], [1.0, 1.0], [1.0, 3.0], [3.0, 0.0]]).double()
    expected = torch.tensor([[0.0, 6.0], [1.0, 1.0], [-2.0, 7.0], [3.0, 0.0]]).double()
    torch.testing.assert_close(map(z), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(map.rotation, torch.tensor([[-0.6, 0.8]]).double())
    torch.testing.assert_close(map.weight, torch.tensor([[0.65, 3.3]]).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(map.bias, torch.tensor([-3.75]).double(), atol=1e-6, rtol=0)


def test_the_ridge_is_a_share_of_the_mean_variance() -> None:
    # Σ = diag(2 + 1¼, ½ + 1¼), so a = (14, 13) / 41.
    map = carrying(SOURCE, TARGET, NEUTRAL, 1.0)
    torch.testing.assert_close(map.weight - map.rotation, 5 * torch.tensor([[14.0, 13.0]]).double() / 41)


@given(st.integers(0, 1000))
def test_no_map_that_carries_alike_moves_neutral_rows_less(seed: int) -> None:
    source, target, neutral = (noise(n, 4, seed=seed + n).double() for n in (5, 6, 40))
    map, center = carrying(source, target, neutral, 1e-8), neutral.mean(0)
    torch.testing.assert_close(map(source.mean(0)), target.mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(map(center), center)
    concept, way = source.mean(0) - center, target.mean(0) - source.mean(0)
    other = noise(4, seed=seed + 99).double()
    other += (1 - other @ concept) / (concept @ concept) * concept
    disturbed = ((neutral - center) @ other).square().mean() * way.square().sum()
    assert (map(neutral) - neutral).square().sum(1).mean() <= disturbed * (1 + 1e-5)


def test_what_holds_nothing_to_carry_is_left_alone() -> None:
    assert carrying(SOURCE, SOURCE, NEUTRAL).is_identity
    assert carrying(NEUTRAL, TARGET, NEUTRAL).is_identity
    one = carrying(SOURCE, TARGET, NEUTRAL[:1])  # no covariance: along s = m_s − μ itself
    torch.testing.assert_close(one(SOURCE.mean(0)), TARGET.mean(0))
    assert one.weight.isfinite().all()


@pytest.mark.parametrize(("kept", "neutral"), [(0, "target"), (4, "preserve")])
def test_rows_of_preserve_prompts_are_the_neutral_ones(kept: int, neutral: str) -> None:
    problem = ToyProblem((6, 6, kept))
    config = MidSteerConfig(ridge=0.1)
    with torch.no_grad(), problem.frozen():
        rows = {
            group: problem.rows(group, range(problem.sizes[group]), None, config.pooling(problem))
            for group in ("source", "target", "preserve")[: 3 if kept else 2]
        }
    for site, map in fit(problem, config).maps.items():
        assert isinstance(map, LowRankMap)
        parts = (torch.cat(rows[group][site]).double() for group in ("source", "target", neutral))
        torch.testing.assert_close(map.weight, carrying(*parts, 0.1).weight.float())


def test_a_ridge_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="ridge"):
        MidSteerConfig(ridge=0.0)
