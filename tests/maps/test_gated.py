"""The gated family against a loop over positions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lineas.errors import MapError
from lineas.maps.gated import GatedMap

WIDTH = 4


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_map(seed: int = 0) -> GatedMap:
    deviation, shift, direction, center = normal(4, WIDTH, seed=seed)
    return GatedMap(deviation, shift, direction, normal(1, seed=seed + 1)[0], center, normal(WIDTH).exp())


@given(st.integers(0, 1000), st.floats(-2, 2))
def test_every_position_has_its_own_gate(seed: int, strength: float) -> None:
    map, z = some_map(seed), normal(2, 3, WIDTH, seed=seed + 7)
    out = map(z, strength)
    for b in range(2):
        for s in range(3):
            x = z[b, s]
            score = sum(map.direction[j] * (x[j] - map.center[j]) / map.spread[j] for j in range(WIDTH))
            gate = 1 / (1 + math.exp(-4 * (score + map.offset)))
            torch.testing.assert_close(out[b, s], x + strength * gate * (map.deviation * x + map.shift))


def test_pixels_are_positions_too() -> None:
    map, z = some_map(), normal(2, WIDTH, 3, 5)
    assert map.gate(z, 1).shape == (2, 1, 3, 5)
    torch.testing.assert_close(map(z, 0.5, 1), map(z.movedim(1, -1), 0.5).movedim(-1, 1))


@pytest.mark.parametrize(("offset", "opened"), [(100.0, 1.0), (-100.0, 0.0)])
def test_a_gate_can_be_open_or_closed(offset: float, opened: float) -> None:
    base, z = some_map(), normal(3, WIDTH)
    map = GatedMap(**{**base.tensors(), "offset": torch.tensor(offset, dtype=torch.float64)})
    torch.testing.assert_close(map(z), z + opened * (map.deviation * z + map.shift))


@given(st.integers(0, 1000), st.floats(-2, 2))
def test_at_bakes_the_strength_in(seed: int, strength: float) -> None:
    map, z = some_map(seed), normal(3, WIDTH)
    torch.testing.assert_close(map.at(strength)(z), map(z, strength))


def test_identity_support_and_round_trip() -> None:
    z = normal(3, WIDTH)
    assert GatedMap.identity(WIDTH).is_identity
    assert torch.equal(GatedMap.identity(WIDTH)(z), z)
    GatedMap.identity(WIDTH).check()
    again = GatedMap.from_tensors(some_map().tensors())
    assert torch.equal(again(z), some_map()(z))
    assert some_map().at(0).support.sum() == 0


def test_half_precision_is_computed_in_float32() -> None:
    map, z = some_map().to(dtype=torch.float32), 100 * normal(3, WIDTH).half()
    assert torch.equal(map(z), map(z.float()).half())


def test_gradients_reach_the_gate() -> None:
    tensors = [t.clone().requires_grad_() for t in some_map().tensors().values()]
    z = normal(2, WIDTH)
    assert torch.autograd.gradcheck(lambda *ts: GatedMap(*ts)(z), tensors)


def test_what_a_gate_cannot_do_says_what_to_do() -> None:
    map = some_map()
    with pytest.raises(MapError, match="swap source and target"):
        map.inverse()
    with pytest.raises(MapError, match=r"steer\(model, \[a, b\]\)"):
        map.then(map)
    with pytest.raises(MapError, match=r"steer\(model, \[a, b\]\)"):
        map.plus(map)
    assert map.affine() is None


@pytest.mark.parametrize(
    "change",
    [
        {"spread": torch.zeros(WIDTH)},
        {"spread": -torch.ones(WIDTH)},
        {"offset": torch.zeros(1)},
        {"offset": torch.tensor(float("nan"))},
        {"direction": torch.zeros(3)},
    ],
)
def test_impossible_tensors_are_refused(change: dict[str, Tensor]) -> None:
    with pytest.raises(MapError):
        GatedMap.from_tensors(some_map().tensors() | change)
