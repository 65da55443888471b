"""The objective against sums written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lineas.fitting.problem import Rows
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.objective import Objective
from lineas.steering.site import Site

A, B = Site("a"), Site("b")


def rows(n: int, seed: int, firings: int = 2) -> Rows:
    generator = torch.Generator().manual_seed(seed)

    def random(d: int, shift: float) -> list[Tensor]:
        made = torch.randn(firings, n, d, generator=generator, dtype=torch.float64)
        return list(made * 2 + shift * seed)

    return {A: random(3, 0.3), B: random(5, -0.2)}


def w2(u: Tensor, v: Tensor) -> float:
    """W2² of two samples on a line, by spreading both over as many equal parts as they have in common."""
    parts = math.lcm(len(u), len(v))
    x = sorted(u.tolist() * (parts // len(u)))
    y = sorted(v.tolist() * (parts // len(v)))
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / parts


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (6, 4), (3, 7)])
def test_the_full_objective_is_the_sum_written_out(n: int, m: int, standardise: bool) -> None:
    source, target, preserve, now, kept_now = (rows(k, i) for i, k in enumerate((n, m, 4, n, 4)))
    config = TrainConfig(standardise=standardise, preserve_weight=1.5)
    objective = Objective(config, source, target, preserve)
    value = objective.cost(now) + sum(
        objective.preserve({s: [f[part] for f in firings] for s, firings in kept_now.items()}, part)
        for part in ([0, 1, 2], [3])
    )
    paper, cost, drift = 0.0, 0.0, 0.0
    for site in (A, B):
        for fire in range(2):
            u, v, new = source[site][fire], target[site][fire], now[site][fire]
            for j in range(u.shape[1]):
                variance = (u[:, j].var(correction=0) + v[:, j].var(correction=0)).item() / 2
                unit = variance if standardise else 1.0
                paper += w2(new[:, j], v[:, j]) / 2
                cost += w2(new[:, j], v[:, j]) / unit / 2
                moved = kept_now[site][fire][:, j] - preserve[site][fire][:, j]
                drift += 1.5 * moved.square().mean().item() / unit / 2
    assert float(value) == pytest.approx(cost + drift, rel=1e-9)
    last = objective.last
    assert (last.cost, last.objective) == pytest.approx((paper, cost + drift), rel=1e-9)
    assert last.preserve == pytest.approx(drift, rel=1e-9)
    assert sum(last.site_costs.values()) == pytest.approx(paper) and list(last.site_costs) == [A, B]


def test_the_start_is_the_untouched_model() -> None:
    source, target = rows(4, 0), rows(4, 1)
    objective = Objective(TrainConfig(), source, target, None)
    start = objective.start
    objective.cost(target)
    assert objective.last.cost == 0 and objective.start is start and start.cost > 0
    objective.cost(source)
    assert objective.last == start


def test_preserve_rows_count_when_there_are_some_and_they_weigh() -> None:
    source, target, kept = rows(4, 0), rows(4, 1), rows(3, 2)
    assert Objective(TrainConfig(), source, target, kept).preserves
    assert not Objective(TrainConfig(preserve_weight=0.0), source, target, kept).preserves
    assert not Objective(TrainConfig(), source, target, None).preserves


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_first_site_that_is_not_finite_is_named(value: float) -> None:
    source, target, kept = rows(4, 0), rows(4, 1), rows(3, 2)
    objective = Objective(TrainConfig(), source, target, kept)
    bad = rows(4, 3)
    bad[B][1][2, 0] = value
    objective.cost(bad)
    assert objective.last.bad_site == B
    objective.cost(source)
    assert objective.last.bad_site is None
    bad = rows(3, 2)
    bad[A][0][1, 1] = value
    objective.preserve(bad, [0, 1, 2])
    assert objective.last.bad_site == A


def test_units_that_never_vary_do_not_blow_up() -> None:
    source, target = rows(4, 0), rows(4, 1)
    for side in (source, target):
        side[A][0][:, 1] = 3.0
    assert Objective(TrainConfig(), source, target, None).start.objective < 1e3
