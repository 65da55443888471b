"""The renderer: a scene and the noise's uniform numbers give one exact image."""

from __future__ import annotations

import numpy as np

from lineas.scenes.backgrounds import LIGHT, SIZE, background
from lineas.scenes.grammar import Scene
from lineas.scenes.sprites import sprite
from lineas.scenes.styles import styled
from lineas.scenes.weather import marks, veil

LARGE, SMALL, FLOOR = 72, 56, 120


def render(scene: Scene, u: np.ndarray) -> np.ndarray:
    """The image of a scene.

    scene: what the image shows.
    u: [12] uniform numbers in (0, 1), see :func:`lineas.scenes.nuisance.nuisance`.

    Returns [128, 128, 3] uint8.
    """
    image = veil(background(scene.place, scene.time, u), scene.weather)
    for (name, colour), (left, size) in zip(scene.objects, positions(len(scene.objects), u), strict=True):
        rgb, opacity = sprite(name, colour, size)
        area = (slice(FLOOR - size, FLOOR), slice(left, left + size))
        image[area] += opacity * (np.minimum(rgb * _object_light(scene.time), 1) - image[area])
    image = marks(styled(veil(image, scene.weather, 0.3), scene.style), scene.weather)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def positions(count: int, u: np.ndarray) -> list[tuple[int, int]]:
    """Left edge and size of each object in pixels; of two, the first stands on the left.

    Edges and sizes are whole cells of the eightfold latent grid: an object's latent is then one pattern that
    only moves, which a small network learns exactly.
    """
    if count == 1:
        size = LARGE if u[1] < 0.5 else SMALL
        slots = (0, 32, 56) if size == LARGE else (8, 40, 64)
        return [(slots[min(int(u[0] * 3), 2)], size)]
    return [(8, SMALL), (64, SMALL)][:count]


def _object_light(time: str | None) -> np.ndarray:
    """Objects keep more of their own colour than the ground does, so that they stay recognisable at night."""
    return 0.45 + 0.55 * LIGHT[time] if time else LIGHT[time]


assert FLOOR + 8 == SIZE
