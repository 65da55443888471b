"""Rain, snow and fog. The marks are fixed patterns, so that a small model can learn them exactly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lineas.scenes.backgrounds import SIZE, X, Y, below, blend, disc, rgb

_VEILS = {
    "rain": (rgb(0.40, 0.46, 0.58), 0.5),
    "snow": (rgb(0.90, 0.93, 1.0), 0.3),
    "fog": (rgb(0.82, 0.84, 0.86), 0.66),
}


def veil(image: np.ndarray, name: str | None, thickness: float = 1.0) -> np.ndarray:
    """What the air does to [h, w, 3]: 1 is the whole depth of the scene, less is nearer to the eye."""
    if name is None:
        return image
    colour, cover = _VEILS[name]
    image = blend(image, colour, np.full((SIZE, SIZE), cover * thickness, dtype=np.float32))
    return blend(image, rgb(0.97, 0.98, 1.0), 0.75 * thickness * below(96, 30)) if name == "snow" else image


def marks(image: np.ndarray, name: str | None) -> np.ndarray:
    """Falling rain or snow in front of everything."""
    if name == "rain":
        return blend(image, rgb(0.72, 0.80, 0.92), 0.8 * _streaks())
    return blend(image, rgb(1, 1, 1), _flakes()) if name == "snow" else image


@lru_cache(maxsize=1)
def _streaks() -> np.ndarray:
    line, place = np.divmod(X + 0.5 * Y, 16)
    dashes = (Y + 24 * (line % 3)) % 32 < 18
    return (np.clip(1.3 - np.abs(place - 8), 0, 1) * dashes).astype(np.float32)


@lru_cache(maxsize=1)
def _flakes() -> np.ndarray:
    spots = [
        ((8 + 16 * c + 8 * (r % 2)) % SIZE, 8 + 16 * r, 1.9 + 0.7 * ((r + c) % 2))
        for r in range(8)
        for c in range(8)
    ]
    return np.max([disc(*spot) for spot in spots], axis=0)
