"""Every family keeps the small interface."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lineas.errors import MapError
from lineas.maps.base import FAMILIES, Map, family, map_from_tensors
from lineas.maps.stacked import join

WIDTH = 4


def random_map(kind: str) -> Map:
    """Every tensor of the identity map, moved; spreads stay positive."""
    if kind == "stacked":
        return join(random_map("gated"), random_map("affine"), "sequence")
    identity = FAMILIES[kind].identity(WIDTH)  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(0)
    moved = {n: t + torch.rand(t.shape, generator=generator) for n, t in identity.tensors().items()}
    if kind == "virtual":
        moved["offset"] = torch.tensor(-1.0)
    return placed(map_from_tensors(kind, moved))


def placed(map: Map) -> Map:
    """The map for prompts of two and of three tokens, where it asks for them."""
    return map.placed(torch.tensor([[True, True, False], [True, True, True]]))


@pytest.fixture(params=sorted(FAMILIES))
def map(request: pytest.FixtureRequest) -> Map:
    return random_map(request.param)


@pytest.fixture
def z() -> Tensor:
    return torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(1))


def test_it_is_a_map_of_its_kind(map: Map) -> None:
    assert isinstance(map, Map)
    assert family(map.kind) is type(map)
    assert map.width == WIDTH and map.support.shape == (WIDTH,)


def test_strength_is_linear_in_the_output(map: Map, z: Tensor) -> None:
    assert map(z, 0) is z
    torch.testing.assert_close(map(z, 0.25), z + 0.25 * (map(z) - z))
    torch.testing.assert_close(map(z, torch.full((2, 3, 1), 0.25)), map(z, 0.25))


def test_the_input_is_never_written(map: Map, z: Tensor) -> None:
    before = z.clone()
    map(z, 0.5)
    map(z, torch.tensor(0.5))
    assert torch.equal(z, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shape_and_dtype_are_the_callers(map: Map, z: Tensor, dtype: torch.dtype) -> None:
    out = map(z.to(dtype), 0.5)
    assert out.dtype == dtype and out.shape == z.shape


def test_tensors_round_trip(map: Map, z: Tensor) -> None:
    again = placed(map_from_tensors(map.kind, map.tensors()))
    assert torch.equal(again(z), map(z))
    assert list(again.tensors()) == list(map.tensors())


@pytest.mark.parametrize("kind", sorted(set(FAMILIES) - {"stacked"}))  # whose names depend on its parts
def test_the_names_of_a_family_are_those_of_its_tensors(kind: str) -> None:
    assert list(random_map(kind).tensors()) == list(FAMILIES[kind].names())


def test_strength_zero_is_the_identity(map: Map) -> None:
    assert map.at(0).is_identity and not map.is_identity


def test_a_copy_has_tensors_of_its_own(map: Map, z: Tensor) -> None:
    copy = map.copied()
    assert torch.equal(copy(z), map(z))
    mine, others = copy.tensors(), map.tensors()
    assert all(mine[name].data_ptr() != others[name].data_ptr() for name in others)


def test_to_changes_the_dtype_of_every_tensor(map: Map) -> None:
    assert {t.dtype for t in map.to(dtype=torch.float64).tensors().values()} == {torch.float64}


@pytest.mark.parametrize("action", ["then", "plus"])
def test_families_do_not_mix(map: Map, action: str) -> None:
    other = random_map("gated" if map.kind == "low_rank" else "low_rank")
    with pytest.raises(MapError, match="steer"):
        getattr(map, action)(other)


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(MapError, match="'affine', 'banded', 'first_token', 'gated', 'low_rank', 'shift'"):
        map_from_tensors("cubic", {})
