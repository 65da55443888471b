"""The banded family: the affine map inside its range, nothing outside."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys.models import noise, randomised

from lineas.apply.fusing import fuse
from lineas.errors import MapError
from lineas.maps.affine import AffineMap
from lineas.maps.banded import BandedMap
from lineas.maps.base import map_from_tensors
from lineas.steering.site import Site
from lineas.steering.steering import Steering

WIDTH = 4


def banded(seed: int = 0) -> BandedMap:
    deviation, shift, low, size = (noise(WIDTH, seed=seed + i) for i in range(4))
    return BandedMap(deviation, shift, low, low + size.abs())


@given(st.integers(0, 1000), st.floats(-2, 2))
def test_it_is_the_affine_map_where_it_acts(seed: int, strength: float) -> None:
    map, z = banded(seed), noise(2, 3, WIDTH, seed=seed + 9)
    plain = AffineMap(map.deviation, map.shift)(z, strength)
    inside = (z >= map.low) & (z <= map.high)
    steered = map(z, strength)
    torch.testing.assert_close(steered, torch.where(inside, plain, z))
    assert torch.equal(steered[~inside], z[~inside])


def test_units_on_another_axis_and_ends_of_the_range() -> None:
    map, z = banded(), noise(2, WIDTH, 3, 3)
    assert torch.equal(map(z, 1.0, 1), map(z.movedim(1, -1)).movedim(-1, 1))
    ends = torch.stack([map.low, map.high])
    torch.testing.assert_close(map(ends), AffineMap(map.deviation, map.shift)(ends))


def test_strength_identity_and_tensors() -> None:
    map, z = banded(), noise(5, WIDTH)
    torch.testing.assert_close(map.at(0.3)(z), map(z, 0.3))
    assert map.at(0).is_identity and BandedMap.identity(WIDTH).is_identity
    again = map_from_tensors("banded", map.tensors())
    assert torch.equal(again(z), map(z))
    with pytest.raises(MapError, match="no inverse"):
        map.inverse()


def test_a_range_upside_down_is_refused() -> None:
    map = banded()
    with pytest.raises(MapError, match="low"):
        BandedMap(map.deviation, map.shift, map.high + 1, map.low).check()


def test_fusing_keeps_a_hook_for_it() -> None:
    model = randomised(nn.Sequential(nn.LayerNorm(WIDTH)))
    steering = Steering({Site("0"): banded()})
    with torch.no_grad():
        base = model(noise(3, WIDTH))
        with fuse(model, steering) as handle:
            torch.testing.assert_close(model(noise(3, WIDTH)), banded()(base))
    assert handle.hooked and not handle.fused
