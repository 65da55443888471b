"""The objects' pictures: one small atlas made from the Noto Color Emoji font (SIL Open Font License 1.1)."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from lineas.scenes.grammar import COLOURS, OBJECTS

ATLAS = Path(__file__).parent / "atlas.png"
CELL = 96
COLUMNS = 6
TINTS = {
    "red": (0.88, 0.10, 0.10),
    "blue": (0.12, 0.30, 0.92),
    "green": (0.10, 0.68, 0.18),
    "pink": (1.00, 0.42, 0.72),
    "yellow": (0.98, 0.82, 0.08),
}
assert set(TINTS) == set(COLOURS)


@lru_cache(maxsize=1)
def _atlas() -> Image.Image:
    return Image.open(ATLAS).convert("RGBA")


@cache
def sprite(name: str, colour: str | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One object's picture.

    name: an object of the grammar.
    colour: a colour that it is painted in, or None for its own.
    size: edge in pixels.

    Returns colours [size, size, 3] and opacity [size, size, 1], float32 in 0..1.
    """
    row, column = divmod(OBJECTS.index(name), COLUMNS)
    cell = _atlas().crop((column * CELL, row * CELL, (column + 1) * CELL, (row + 1) * CELL))
    pixels = np.asarray(cell.resize((size, size), Image.Resampling.LANCZOS), dtype=np.float32) / 255
    rgb, opacity = pixels[..., :3], pixels[..., 3:]
    return (_painted(rgb, colour) if colour else rgb), opacity


def _painted(rgb: np.ndarray, colour: str) -> np.ndarray:
    """Luminance decides how dark, the colour decides the hue: black – colour – light tint."""
    light = rgb @ np.array([0.30, 0.59, 0.11], dtype=np.float32)
    light = (0.25 + 0.75 * light)[..., None]
    tint = np.array(TINTS[colour], dtype=np.float32)
    dark, bright = tint * light / 0.62, tint + (1 - tint) * (light - 0.62) / 0.38 * 0.55
    return np.where(light < 0.62, dark, bright).clip(0, 1)
