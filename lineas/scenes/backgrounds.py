"""Places and times of day, painted as layers of smooth functions on a 128 × 128 canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

SIZE = 128
Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
_TURN = 2 * np.pi

Layer = tuple[np.ndarray, np.ndarray]
"""A colour [3] and where it covers, [h, w] in 0..1."""


def rgb(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def blend(base: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """``colour`` over ``base`` [h, w, 3] with opacity ``cover`` [h, w] in 0..1."""
    return base + cover[..., None] * (colour - base)


def below(edge: np.ndarray | float, softness: float = 1.0) -> np.ndarray:
    """[h, w] in 0..1: 1 where a pixel lies below the edge, antialiased over ``softness`` pixels."""
    return np.clip((Y - edge) / softness + 0.5, 0, 1)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return np.clip(radius - np.hypot(X - x, Y - y) + 0.5, 0, 1)


SKIES = {
    None: (rgb(0.36, 0.62, 0.95), rgb(0.80, 0.91, 1.00)),
    "night": (rgb(0.02, 0.03, 0.14), rgb(0.12, 0.15, 0.34)),
    "sunset": (rgb(0.42, 0.22, 0.55), rgb(1.00, 0.58, 0.22)),
}
WALL = (rgb(0.93, 0.91, 0.88), rgb(0.97, 0.96, 0.94))
LIGHT = {None: rgb(1, 1, 1), "night": rgb(0.36, 0.40, 0.64), "sunset": rgb(1.05, 0.74, 0.58)}


def background(place: str | None, time: str | None, u: np.ndarray) -> np.ndarray:
    """[128, 128, 3] float32: sky, luminary and ground; ``u`` [12]: the noise's uniform numbers."""
    horizon = 70 + 14 * u[4]
    top, bottom = SKIES[time] if place or time else WALL
    height = np.clip(Y / horizon, 0, 1)[..., None]
    image = top + height * (bottom - top)
    for colour, cover in _luminaries(place, time, 32 + 64 * u[5]):
        image = blend(image, colour, cover)
    for colour, cover in _GROUNDS[place](horizon, u):
        image = blend(image, colour * LIGHT[time], cover)
    return image


def _luminaries(place: str | None, time: str | None, x: float) -> Iterator[Layer]:
    if time == "night":
        yield rgb(0.95, 0.95, 1.0), _stars()
        yield rgb(0.98, 0.97, 0.85), disc(x, 22, 9)
    elif time == "sunset":
        yield rgb(1.0, 0.88, 0.45), disc(x, 58, 13)
    elif place:
        yield rgb(1.0, 0.93, 0.45), disc(x, 20, 9)


@lru_cache(maxsize=1)
def _stars() -> np.ndarray:
    places = np.random.default_rng(7).uniform((2, 2), (SIZE - 2, 62), size=(34, 2))
    return np.max([disc(x, y, 1.1) for x, y in places], axis=0)


def _studio(horizon: float, u: np.ndarray) -> Iterator[Layer]:
    yield rgb(0.80, 0.77, 0.73), below(horizon + 22, 3)


def _meadow(horizon: float, u: np.ndarray) -> Iterator[Layer]:
    yield rgb(0.42, 0.70, 0.32), below(horizon - 6 + 7 * np.sin(X / 21 + _TURN * u[6]))
    yield rgb(0.50, 0.80, 0.30), below(horizon + 12 + 4 * np.sin(X / 30 + _TURN * u[7]))


def _beach(horizon: float, u: np.ndarray) -> Iterator[Layer]:
    shore = horizon + 16 + 4 * np.sin(X / 20 + _TURN * u[6])
    yield rgb(0.10, 0.52, 0.75), below(horizon - 4)
    yield rgb(0.93, 0.97, 1.0), below(shore - 3)
    yield rgb(0.95, 0.84, 0.58), below(shore)


def _desert(horizon: float, u: np.ndarray) -> Iterator[Layer]:
    yield rgb(0.86, 0.58, 0.28), below(horizon - 2 + 9 * np.abs(np.sin(X / 38 + np.pi * u[6])))
    yield rgb(0.94, 0.72, 0.40), below(horizon + 17 + 6 * np.sin(X / 26 + _TURN * u[7]), 2)


def _mountains(horizon: float, u: np.ndarray) -> Iterator[Layer]:
    away = [0.0 * X + horizon]
    for centre, height in ((22, 44), (66, 58), (112, 40), (-14, 36), (150, 48)):
        away.append(horizon - height + 1.15 * np.abs(X - centre - 48 * (u[6] - 0.5)))
    rock = below(np.min(away, axis=0))
    yield rgb(0.45, 0.47, 0.55), rock
    yield rgb(0.97, 0.98, 1.0), rock * (1 - below(horizon - 32 + 2.5 * np.sin(X / 3.5), 2))
    yield rgb(0.52, 0.60, 0.42), below(horizon)


def _forest(horizon: float, u: np.ndarray) -> Iterator[Layer]:
    column = X // 16
    tip = horizon - 50 + 14 * np.sin(2.4 * column + _TURN * u[7])
    trees = np.clip(np.clip((Y - tip) * 0.24, 0, 8) - np.abs(X - 16 * column - 8) + 0.5, 0, 1) * (tip < Y)
    yield rgb(0.10, 0.32, 0.16), below(horizon - 20 + 4 * np.sin(X / 13 + _TURN * u[6]))
    yield rgb(0.07, 0.44, 0.20), trees * (column % 2)
    yield rgb(0.05, 0.36, 0.17), trees * (1 - column % 2)
    yield rgb(0.28, 0.42, 0.16), below(horizon + 6)


def _city(horizon: float, u: np.ndarray) -> Iterator[Layer]:
    column = X // 16
    roof = horizon - 30 + 22 * np.sin(1.9 * column + _TURN * u[7])
    windows = (X % 8 > 2) & (X % 8 < 6) & (Y % 8 > 2) & (Y % 8 < 6)
    for shade in range(3):
        tone = 0.44 + 0.12 * shade
        yield rgb(tone, tone * 0.98, tone * 1.04), below(roof) * (column % 3 == shade)
    yield rgb(1.0, 0.92, 0.55) / 0.8, windows * below(roof + 6)
    yield rgb(0.34, 0.34, 0.38), below(horizon + 8)


_GROUNDS: dict[str | None, Callable[[float, np.ndarray], Iterator[Layer]]] = {
    None: _studio,
    "forest": _forest,
    "beach": _beach,
    "desert": _desert,
    "city": _city,
    "mountains": _mountains,
    "meadow": _meadow,
}
