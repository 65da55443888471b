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


HORIZONS = (72, 80)
"""Whole cells of the eightfold latent grid, as all edges that the noise moves."""


def background(place: str | None, time: str | None, u: np.ndarray) -> np.ndarray:
    """[128, 128, 3] float32: sky, luminary and ground; ``u`` [12]: the noise's uniform numbers."""
    horizon = HORIZONS[int(u[4] > 0.5)]
    top, bottom = SKIES[time] if place or time else WALL
    height = np.clip(Y / horizon, 0, 1)[..., None]
    image = top + height * (bottom - top)
    for colour, cover in _luminaries(place, time, 100 if u[5] > 0.5 else 28):
        image = blend(image, colour, cover)
    for colour, cover in _GROUNDS[place](horizon):
        image = blend(image, colour * LIGHT[time], cover)
    return image


def _luminaries(place: str | None, time: str | None, x: float) -> Iterator[Layer]:
    if time == "night":
        yield rgb(0.95, 0.95, 1.0), _stars()
        yield rgb(0.98, 0.97, 0.85), disc(x, 20, 11)
    elif time == "sunset":
        yield rgb(1.0, 0.88, 0.45), disc(x, 44, 14)
    elif place:
        yield rgb(1.0, 0.93, 0.45), disc(x, 20, 11)


@lru_cache(maxsize=1)
def _stars() -> np.ndarray:
    places = [(8 + 16 * c + 5 * (r % 2), 6 + 12 * r + 4 * (c % 2)) for r in range(4) for c in range(8)]
    return np.max([disc(x, y, 1.6) for x, y in places], axis=0)


def _spots(top: float, rows: int, radius: float) -> np.ndarray:
    """A regular pattern of dots, every other row shifted."""
    places = [(4 + 16 * c + 8 * (r % 2), top + 8 * r) for r in range(rows) for c in range(8)]
    return np.max([disc(x, y, radius) for x, y in places], axis=0)


def _studio(horizon: float) -> Iterator[Layer]:
    yield rgb(0.80, 0.77, 0.73), below(horizon + 24, 3)


def _meadow(horizon: float) -> Iterator[Layer]:
    yield rgb(0.30, 0.62, 0.28), below(horizon - 6 + 7 * np.sin(X * _TURN / 128))
    yield rgb(0.46, 0.78, 0.30), below(horizon + 8)
    yield rgb(1.0, 0.98, 0.80), _spots(horizon + 14, 5, 1.8)


def _beach(horizon: float) -> Iterator[Layer]:
    yield rgb(0.08, 0.45, 0.72), below(horizon - 8)
    for line in (0, 8, 16):
        crest = horizon + line - 4 + 2 * np.sin(X * _TURN / 32)
        yield rgb(0.93, 0.97, 1.0), below(crest) * (1 - below(crest + 2.5))
    yield rgb(0.95, 0.84, 0.58), below(horizon + 16)


def _desert(horizon: float) -> Iterator[Layer]:
    yield rgb(0.80, 0.50, 0.22), below(horizon + 2 - 26 * np.abs(np.sin(X * _TURN / 128)))
    for line in (4, 16, 28, 40):
        ridge = horizon + line + 3 * np.abs(np.sin(X * _TURN / 64))
        yield rgb(0.95, 0.74, 0.42), below(ridge, 2)
        yield rgb(0.72, 0.46, 0.20), below(ridge) * (1 - below(ridge + 2))


def _mountains(horizon: float) -> Iterator[Layer]:
    away = [0.0 * X + horizon]
    for centre, height in ((16, 46), (64, 60), (112, 46)):
        away.append(horizon - height + 1.5 * np.abs(X - centre))
    rock = below(np.min(away, axis=0))
    yield rgb(0.45, 0.47, 0.55), rock
    yield rgb(0.97, 0.98, 1.0), rock * (1 - below(horizon - 30 + 2.5 * np.sin(X * _TURN / 16), 2))
    yield rgb(0.52, 0.60, 0.42), below(horizon)


def _forest(horizon: float) -> Iterator[Layer]:
    column = X // 16
    tip = horizon - 48 + 8 * (column % 2)
    trees = np.clip(np.clip((Y - tip) * 0.24, 0, 8) - np.abs(X - 16 * column - 8) + 0.5, 0, 1) * (tip < Y)
    yield rgb(0.10, 0.32, 0.16), below(horizon - 20)
    yield rgb(0.07, 0.44, 0.20), trees * (column % 2)
    yield rgb(0.05, 0.36, 0.17), trees * (1 - column % 2)
    yield rgb(0.28, 0.42, 0.16), below(horizon + 8)


def _city(horizon: float) -> Iterator[Layer]:
    column = X // 16
    roof = horizon - 32 + 16 * ((column * 5) % 3 - 1)
    windows = (X % 8 > 2) & (X % 8 < 6) & (Y % 8 > 2) & (Y % 8 < 6)
    for shade in range(3):
        tone = 0.40 + 0.12 * shade
        yield rgb(tone, tone * 0.98, tone * 1.04), below(roof) * (column % 3 == shade)
    yield rgb(1.0, 0.92, 0.55) / 0.8, windows * below(roof + 6)
    yield rgb(0.34, 0.34, 0.38), below(horizon + 8)


_GROUNDS: dict[str | None, Callable[[float], Iterator[Layer]]] = {
    None: _studio,
    "forest": _forest,
    "beach": _beach,
    "desert": _desert,
    "city": _city,
    "mountains": _mountains,
    "meadow": _meadow,
}
