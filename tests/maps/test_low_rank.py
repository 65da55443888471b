"""The low-rank family: LoReFT's formula, its subspace, its strength."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lineas.errors import MapError
from lineas.maps.low_rank import LowRankMap

WIDTH, RANK = 6, 2


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_map(seed: int = 0) -> LowRankMap:
    rotation = torch.linalg.qr(normal(WIDTH, RANK, seed=seed)).Q.mT
    return LowRankMap(rotation, normal(RANK, WIDTH, seed=seed + 1), normal(RANK, seed=seed + 2))


@given(st.integers(0, 1000), st.floats(-2, 2))
def test_it_is_the_formula(seed: int, strength: float) -> None:
    map, z = some_map(seed), normal(3, WIDTH, seed=seed + 7)
    for x, out in zip(z, map(z, strength), strict=True):
        expected = x + strength * map.rotation.T @ (map.weight @ x + map.bias - map.rotation @ x)
        torch.testing.assert_close(out, expected)


def test_at_full_strength_the_subspace_holds_what_was_asked() -> None:
    map, z = some_map(), normal(3, WIDTH)
    torch.testing.assert_close(map(z) @ map.rotation.T, z @ map.weight.T + map.bias)


def test_the_rest_of_the_space_is_left_alone() -> None:
    map, z = some_map(), normal(3, WIDTH)
    outside = torch.eye(WIDTH, dtype=torch.float64) - map.rotation.T @ map.rotation
    torch.testing.assert_close(map(z) @ outside, z @ outside)


@given(st.integers(0, 1000), st.floats(-2, 2))
def test_at_bakes_the_strength_in(seed: int, strength: float) -> None:
    map, z = some_map(seed), normal(3, WIDTH)
    torch.testing.assert_close(map.at(strength)(z), map(z, strength))


def test_units_may_be_on_any_axis() -> None:
    map, z = some_map(), normal(2, WIDTH, 3, 4)
    torch.testing.assert_close(map(z, 1.0, 1), map(z.movedim(1, -1)).movedim(-1, 1))


def test_identity_and_support() -> None:
    map, z = LowRankMap.identity(WIDTH, RANK), normal(3, WIDTH)
    assert map.is_identity and torch.equal(map(z), z)
    assert some_map().at(0).is_identity
    shifted = LowRankMap(map.rotation, map.weight, torch.tensor([0.0, 1.0]))
    assert shifted.support.tolist() == [False, True, False, False, False, False]


def test_round_trip_and_half_precision() -> None:
    map, z = some_map().to(dtype=torch.float32), normal(3, WIDTH).half()
    again = LowRankMap.from_tensors(map.tensors())
    assert torch.equal(again(z), map(z.float()).half())


def test_what_it_cannot_do_says_what_to_do() -> None:
    map = some_map()
    for action in (map.inverse, lambda: map.then(map), lambda: map.plus(map)):
        with pytest.raises(MapError, match="low_rank"):
            action()


@pytest.mark.parametrize(
    "change",
    [
        {"bias": torch.zeros(RANK + 1)},
        {"weight": torch.zeros(RANK, WIDTH + 1)},
        {"rotation": torch.zeros(RANK * WIDTH)},
        {"rotation": torch.zeros(())},
        {"weight": torch.full((RANK, WIDTH), float("nan"))},
    ],
)
def test_impossible_tensors_are_refused(change: dict[str, Tensor]) -> None:
    with pytest.raises(MapError):
        LowRankMap.from_tensors(some_map().tensors() | change)
