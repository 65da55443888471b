"""Lin-AcT: its closed form against NumPy's least squares, and its sequence against a loop written out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from toys.problem import ToyProblem

from lineas.apply.hooks import steer
from lineas.errors import ConfigError
from lineas.maps.banded import BandedMap
from lineas.maths.transport import cost_per_unit
from lineas.methods.closed_form.lin_act import LinActConfig, fit, least_squares
from lineas.methods.closed_form.mean_act import MeanActConfig, mean_difference
from lineas.methods.closed_form.mean_act import fit as fit_mean
from lineas.steering.site import Site
from lineas.steering.steering import Steering

UNITS = 3


def rows(n: int, seed: int, scale: float = 1.0) -> Tensor:
    made = torch.randn(n, UNITS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scale * made + seed


@given(st.integers(2, 9), st.integers(0, 1000))
def test_it_is_the_regression_of_sorted_on_sorted(n: int, seed: int) -> None:
    u, v = rows(n, seed), rows(n, seed + 1, 2.0)
    map = least_squares([u], [v])
    for unit in range(UNITS):
        x, y = np.sort(u[:, unit].numpy()), np.sort(v[:, unit].numpy())
        slope, offset = np.polyfit(x, y, 1)
        np.testing.assert_allclose([map.scale[unit], map.shift[unit]], [slope, offset], rtol=1e-7, atol=1e-7)


@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 1000))
def test_other_numbers_of_prompts_are_coupled_by_quantiles(n: int, m: int, seed: int) -> None:
    """Every row repeated until both sets have n · m of them, which changes no quantile."""
    u, v = rows(n, seed), rows(m, seed + 1, 2.0)
    repeated = least_squares([u.repeat_interleave(m, 0)], [v.repeat_interleave(n, 0)])
    torch.testing.assert_close(least_squares([u], [v]).scale, repeated.scale)
    torch.testing.assert_close(least_squares([u], [v]).shift, repeated.shift)


@given(st.integers(0, 1000), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_no_other_affine_map_with_rising_scale_comes_nearer(seed: int, ds: float, db: float) -> None:
    u, v = rows(8, seed), rows(6, seed + 1, 0.5)
    map = least_squares([u], [v])
    best = cost_per_unit(map.scale * u + map.shift, v)
    other = cost_per_unit((map.scale + ds).clamp_min(0) * u + map.shift + db, v)
    assert (best <= other + 1e-9).all()


def test_several_firings_are_fitted_together() -> None:
    sources, targets = [rows(5, 0), rows(5, 7)], [rows(5, 1), rows(5, 9)]
    map = least_squares(sources, targets)
    x = np.concatenate([np.sort(u[:, 0].numpy()) for u in sources])
    y = np.concatenate([np.sort(v[:, 0].numpy()) for v in targets])
    np.testing.assert_allclose([map.scale[0], map.shift[0]], np.polyfit(x, y, 1))


def test_a_unit_that_does_not_vary_is_only_shifted() -> None:
    u, v = rows(4, 0), rows(4, 1)
    u[:, 1] = 7.0 + torch.tensor([0, 1e-7, -1e-7, 0], dtype=torch.float64)  # rounding of float32
    map = least_squares([u], [v])
    assert map.deviation[1] == 0
    torch.testing.assert_close(map.shift[1], v[:, 1].mean() - u[:, 1].mean())


def by_hand(problem: ToyProblem, estimate: Callable[..., object], steered_target: bool) -> Steering:
    """Definition 3.2 as a loop over sites: steer with what there is, look at one site, estimate."""
    maps: dict[Site, object] = {}
    with torch.no_grad(), problem.frozen():
        problem.order_sites()
        untouched = problem.rows("target", range(problem.sizes["target"]))
        for site in problem.sites:
            with steer(problem.components, Steering(dict(maps))):  # type: ignore[arg-type]
                source = problem.rows("source", range(problem.sizes["source"]))[site]
                target = problem.rows("target", range(problem.sizes["target"]))[site]
            maps[site] = estimate(source, target if steered_target else untouched[site])
    return Steering(maps)  # type: ignore[arg-type]


@pytest.mark.parametrize("micro_batch", [0, 2])
@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("target", ["untouched", "steered"])
def test_the_sequence_is_that_of_a_loop(target: str, rounds: int, micro_batch: int) -> None:
    problem, twin = (ToyProblem((6, 7, 0), rounds=rounds) for _ in range(2))
    options = {"target_rows": target, "micro_batch": micro_batch}
    expected = by_hand(twin, least_squares, target == "steered")
    assert fit(problem, LinActConfig(**options)).allclose(expected, 1e-4, 1e-5)  # type: ignore[arg-type]
    expected = by_hand(twin, mean_difference, target == "steered")
    assert fit_mean(problem, MeanActConfig(**options)).allclose(expected, 1e-4, 1e-5)  # type: ignore[arg-type]


def test_one_pass_over_the_source_is_enough_where_it_can_be() -> None:
    problem = ToyProblem()
    fit(problem)
    assert problem.runs == 3  # the order of the sites, target, source
    split = ToyProblem()
    fit(split, LinActConfig(micro_batch=3))
    assert split.runs == 1 + 2 + 2 * len(split.sites)


def test_a_callback_may_run_the_model_itself() -> None:
    problem = ToyProblem()
    steering = fit(problem, progress=lambda told: problem.run("source", [0, 1]))
    assert steering.allclose(fit(ToyProblem()))


def test_memory_that_is_short_leads_to_the_same_maps() -> None:
    assert fit(ToyProblem(limit=2)).allclose(fit(ToyProblem()), 1e-4, 1e-5)


def test_at_once_each_site_sees_the_untouched_model() -> None:
    problem = ToyProblem()
    with torch.no_grad(), problem.frozen():
        source, target = problem.rows("source", range(6)), problem.rows("target", range(6))
    expected = Steering({site: least_squares(source[site], target[site]) for site in problem.sites})
    assert fit(problem, LinActConfig(order="at_once")).allclose(expected, 1e-4, 1e-5)


def test_the_observed_range_is_that_of_the_source_rows() -> None:
    problem = ToyProblem()
    with torch.no_grad(), problem.frozen():
        first = problem.rows("source", range(6))[problem.sites[0]][0].float()
    map = fit(problem, LinActConfig(support="observed")).maps[problem.sites[0]]
    assert isinstance(map, BandedMap)
    torch.testing.assert_close((map.low, map.high), (first.amin(0), first.amax(0)))


def test_the_mean_shift_moves_means() -> None:
    u, v = rows(5, 0), rows(3, 1)
    torch.testing.assert_close(mean_difference([u], [v])(u).mean(0), v.mean(0))


def test_there_is_no_steered_target_at_once() -> None:
    with pytest.raises(ConfigError, match="at once"):
        LinActConfig(order="at_once", target_rows="steered")
