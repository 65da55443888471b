"""The affine family: its algebra in float64, and its inputs."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lineas.errors import MapError
from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap

WIDTH = 5
seeds = st.integers(0, 2**31)
strengths = st.floats(-3, 3)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_map(seed: int) -> AffineMap:
    return AffineMap(normal(WIDTH, seed=seed), normal(WIDTH, seed=seed + 1))


@given(seeds, strengths, st.sampled_from([((2, 3, WIDTH), -1), ((2, WIDTH, 2, 3), 1), ((4, WIDTH), 1)]))
def test_every_unit_is_scaled_and_shifted(
    seed: int, strength: float, place: tuple[tuple[int, ...], int]
) -> None:
    (shape, axis), map = place, some_map(seed)
    z = normal(*shape, seed=seed + 2)
    out = map(z, strength, axis)
    for unit in range(WIDTH):
        scale, shift = 1 + strength * map.deviation[unit], strength * map.shift[unit]
        expected = scale * z.select(axis, unit) + shift
        torch.testing.assert_close(out.select(axis, unit), expected)


@given(seeds, strengths)
def test_at_bakes_the_strength_in(seed: int, strength: float) -> None:
    map, z = some_map(seed), normal(3, WIDTH, seed=seed + 2)
    torch.testing.assert_close(map.at(strength)(z), map(z, strength))


@given(seeds)
def test_the_inverse_undoes_every_unit_that_was_not_limited(seed: int) -> None:
    map, z = some_map(seed), normal(3, WIDTH, seed=seed + 2)
    inverse, limited = map.inverse(0.2)
    torch.testing.assert_close(inverse(map(z))[:, ~limited], z[:, ~limited])
    assert torch.equal(limited, map.scale.abs() < 0.2)
    assert (inverse.scale.abs() <= 5 + 1e-9).all()


def test_limited_units_keep_their_sign() -> None:
    map = AffineMap(torch.tensor([-1.0, -1.01, -0.99, 1.0]), torch.tensor([1.0, 1, 1, 1]))
    inverse, limited = map.inverse(0.05)
    assert limited.tolist() == [True, True, True, False]
    torch.testing.assert_close(inverse.scale, torch.tensor([20.0, -20, 20, 0.5]))
    torch.testing.assert_close(inverse.shift, torch.tensor([-20.0, 20, -20, -0.5]))


@pytest.mark.parametrize("min_scale", [0, -1, 1.5, float("nan")])
def test_an_impossible_limit_is_refused(min_scale: float) -> None:
    with pytest.raises(MapError):
        some_map(0).inverse(min_scale)


@given(seeds)
def test_then_is_one_after_the_other_and_associates(seed: int) -> None:
    a, b, c = (some_map(seed + 2 * i) for i in range(3))
    z = normal(3, WIDTH, seed=seed + 9)
    torch.testing.assert_close(a.then(b)(z), b(a(z)))
    torch.testing.assert_close(a.then(b).then(c)(z), a.then(b.then(c))(z))


@given(seeds)
def test_plus_adds_the_changes_and_commutes(seed: int) -> None:
    a, b, z = some_map(seed), some_map(seed + 2), normal(3, WIDTH, seed=seed + 9)
    torch.testing.assert_close(a.plus(b)(z), a(z) + b(z) - z)
    assert torch.equal(a.plus(b).deviation, b.plus(a).deviation)


def test_a_mask_steers_where_it_is_one() -> None:
    map, z = some_map(0), normal(2, WIDTH, 3, 4)
    mask = (normal(2, 1, 3, 4, seed=5) > 0).double()
    out = map(z, mask, axis=1)
    torch.testing.assert_close(out, torch.where(mask.bool(), map(z, axis=1), z))
    torch.testing.assert_close(map(z, torch.tensor(0.5), 1), map(z, 0.5, 1))


def test_the_identity_and_strength_zero_return_the_very_values() -> None:
    z = torch.tensor([[1e-8, -3.0, 1e30, 0.1, 7.0]])
    assert torch.equal(AffineMap.identity(WIDTH)(z), z)
    assert some_map(0)(z, 0) is z
    assert AffineMap.identity(WIDTH).is_identity and not some_map(0).is_identity


def test_support_is_where_something_changes() -> None:
    map = AffineMap(torch.tensor([0.0, 1, 0]), torch.tensor([0.0, 0, 2]))
    assert map.support.tolist() == [False, True, True]
    z = normal(4, 3)
    assert torch.equal(map(z)[:, ~map.support], z[:, ~map.support])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    map, z = some_map(1).to(dtype=torch.float32), normal(7, WIDTH).to(dtype)
    before = z.clone()
    assert torch.equal(map(z), map(z.float()).to(dtype))
    assert torch.equal(z, before)


def test_gradients_reach_the_map_and_the_input() -> None:
    def steered(z: Tensor, deviation: Tensor, shift: Tensor) -> Tensor:
        return AffineMap(deviation, shift)(z, 0.7, 1)

    inputs = [t.requires_grad_() for t in (normal(2, WIDTH, 2), normal(WIDTH, seed=1), normal(WIDTH, seed=2))]
    assert torch.autograd.gradcheck(steered, inputs)


def test_tensors_round_trip() -> None:
    map = some_map(0)
    again = AffineMap.from_tensors(map.tensors())
    assert torch.equal(again.deviation, map.deviation) and torch.equal(again.shift, map.shift)
    with pytest.raises(dataclasses.FrozenInstanceError):
        map.shift = torch.zeros(1)  # type: ignore[misc]


@pytest.mark.parametrize(
    "tensors",
    [
        {"deviation": torch.zeros(3)},
        {"deviation": torch.zeros(3), "shift": torch.zeros(3), "more": torch.zeros(3)},
        {"deviation": torch.zeros(3), "shift": torch.zeros(2)},
        {"deviation": torch.zeros(3), "shift": torch.zeros(1)},
        {"deviation": torch.zeros(3, 1), "shift": torch.zeros(3)},
        {"deviation": torch.zeros(()), "shift": torch.zeros(())},
        {"deviation": torch.zeros(3), "shift": torch.tensor([0, float("nan"), 0])},
        {"deviation": torch.tensor([0, float("inf"), 0]), "shift": torch.zeros(3)},
        {"deviation": torch.zeros(3, dtype=torch.int64), "shift": torch.zeros(3)},
    ],
)
def test_impossible_tensors_are_refused(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(MapError):
        AffineMap.from_tensors(tensors)


@pytest.mark.parametrize(
    ("z", "strength", "axis"),
    [
        (torch.zeros(2, 4), 1.0, -1),
        (torch.zeros(2, WIDTH, 3), 1.0, -1),
        (torch.zeros(2, WIDTH), 1.0, 4),
        (torch.zeros(2, WIDTH, dtype=torch.int64), 1.0, -1),
        (torch.zeros(2, WIDTH), torch.zeros(3, 1), -1),
        (torch.zeros(1, WIDTH), torch.zeros(3, 1), -1),
        (torch.zeros(2, WIDTH), torch.zeros(1, 2, 1), -1),
    ],
)
def test_inputs_that_do_not_fit_are_refused(z: Tensor, strength: float | Tensor, axis: int) -> None:
    with pytest.raises(MapError):
        some_map(0)(z, strength, axis)


def test_maps_that_do_not_join_are_refused() -> None:
    for join in (some_map(0).then, some_map(0).plus):
        with pytest.raises(MapError, match="5 and 3 units"):
            join(AffineMap.identity(3))
        with pytest.raises(MapError, match=r"steer\(model, \[a, b\]\)"):
            join(GatedMap.identity(WIDTH))
