"""The turned family: CASteer's removal and addition worked by hand, the length kept, where it acts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from toys.models import noise

from lineas.errors import MapError
from lineas.maps.base import map_from_tensors
from lineas.maps.turned import TurnedMap

WIDTH = 4


def turned(away: float = 0.0, toward: float = 0.0, direction: Tensor | None = None) -> TurnedMap:
    """By the direction (0.6, 0.8) where none is given."""
    along = torch.tensor([0.6, 0.8]) if direction is None else direction
    return TurnedMap(along, torch.tensor(away), torch.tensor(toward), torch.tensor(1.0))


def some_map(seed: int = 0) -> TurnedMap:
    direction = noise(WIDTH, seed=seed)
    return turned(1.5, 0.7, direction / direction.norm())


@pytest.mark.parametrize(
    ("map", "z", "expected"),
    [
        (turned(away=1.0), [5.0, 0.0], [4.0, -3.0]),  # v·z = 3, u = (3.2, -2.4), 4 long instead of 5
        (turned(away=2.0), [5.0, 0.0], [1.4, -4.8]),  # the mirror image is as long by itself
        (turned(away=2.0), [-5.0, 0.0], [-5.0, 0.0]),  # it points the other way
        (turned(away=2.0), [4.0, -3.0], [4.0, -3.0]),  # at right angles
        (turned(away=1.0), [0.0, 0.0], [0.0, 0.0]),
        (turned(toward=5.0), [5.0, 0.0], [2 * 5**0.5, 5**0.5]),  # u = (8, 4)
        (turned(toward=5.0), [-3.0, -4.0], [0.0, 0.0]),  # u is nothing
        (turned(away=1.0, toward=5.0), [5.0, 0.0], [31 / 41**0.5, 8 / 41**0.5]),  # u = (6.2, 1.6)
    ],
)
def test_it_is_the_formula(map: TurnedMap, z: list[float], expected: list[float]) -> None:
    torch.testing.assert_close(map(torch.tensor(z)), torch.tensor(expected), atol=1e-6, rtol=1e-6)


@given(st.integers(0, 1000))
def test_every_position_keeps_its_length_and_stays_in_its_plane(seed: int) -> None:
    map, z = some_map(seed), noise(2, 3, WIDTH, seed=seed + 9)
    steered = map(z)
    torch.testing.assert_close(steered.norm(dim=-1), z.norm(dim=-1))
    planes = torch.stack([steered, z, map.direction.expand_as(z)], -2)
    assert torch.linalg.matrix_rank(planes, rtol=1e-4).max() <= 2


def test_units_on_another_axis() -> None:
    map, z = some_map(), noise(2, WIDTH, 3, 3)
    torch.testing.assert_close(map(z, 1.0, 1), map(z.movedim(1, -1)).movedim(-1, 1))


@given(st.integers(0, 1000), st.floats(-2, 2))
def test_at_bakes_the_strength_in(seed: int, strength: float) -> None:
    map, z = some_map(seed), noise(3, WIDTH, seed=seed + 9)
    torch.testing.assert_close(map.at(strength)(z), map(z, strength))


def test_support_is_where_it_can_act() -> None:
    assert TurnedMap.identity(WIDTH).is_identity and some_map().at(0).is_identity
    assert turned().is_identity and turned(1.0, 1.0, torch.zeros(WIDTH)).is_identity
    assert turned(away=1.0, direction=torch.tensor([0.0, 1.0])).support.tolist() == [False, True]
    assert turned(toward=1.0, direction=torch.tensor([0.0, 1.0])).support.tolist() == [False, True]


def test_large_values_in_half_precision_stay_finite() -> None:
    z = torch.tensor([[4e4, 4e4], [1e-7, 0.0]], dtype=torch.float16)
    steered = turned(away=2.0)(z)
    assert steered.dtype == torch.float16 and steered.isfinite().all()
    torch.testing.assert_close(steered.float().norm(dim=-1), z.float().norm(dim=-1), rtol=1e-3, atol=1e-7)


def test_what_it_cannot_do_says_what_to_do() -> None:
    for action in (some_map().inverse, lambda: some_map().then(some_map())):
        with pytest.raises(MapError, match="turned"):
            action()


@pytest.mark.parametrize("change", [{"away": torch.zeros(1)}, {"direction": torch.tensor([0.0, torch.nan])}])
def test_impossible_tensors_are_refused(change: dict[str, Tensor]) -> None:
    with pytest.raises(MapError):
        map_from_tensors("turned", turned().tensors() | change)
