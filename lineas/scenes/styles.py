"""Whole-image styles: pixel art, pencil sketch, sepia, vaporwave."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

_LUMA = np.array([0.30, 0.59, 0.11], dtype=np.float32)


def styled(image: np.ndarray, style: str | None) -> np.ndarray:
    """[h, w, 3] float32 in 0..1 in one of the grammar's styles; None returns it as it is."""
    return image if style is None else _STYLES[style](image)


def _pixel_art(image):
    height, width, _ = image.shape
    blocks = image.reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3))
    blocks = np.clip((blocks - 0.5) * 1.35 + 0.5, 0, 1)
    return blocks.repeat(4, axis=0).repeat(4, axis=1)


def _pencil_sketch(image):
    light = image @ _LUMA
    blurred = Image.fromarray((light * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.2))
    soft = np.asarray(blurred, dtype=np.float32) / 255
    dy, dx = np.gradient(soft)
    lines = np.clip(np.hypot(dx, dy) * 6, 0, 0.7)
    paper = 0.98 - 0.34 * (1 - light) - lines
    return np.clip(paper, 0.08, 1)[..., None] * np.array([1.0, 1.0, 0.98], dtype=np.float32)


def _sepia(image):
    light = (image @ _LUMA)[..., None]
    return np.clip(light * np.array([1.07, 0.86, 0.60], dtype=np.float32) + 0.04, 0, 1)


def _vaporwave(image):
    light = (image @ _LUMA)[..., None]
    stops = np.array([[0.16, 0.02, 0.36], [0.95, 0.28, 0.78], [0.62, 0.98, 1.0]], dtype=np.float32)
    return np.where(
        light < 0.5,
        stops[0] + 2 * light * (stops[1] - stops[0]),
        stops[1] + (2 * light - 1).clip(0, 1) * (stops[2] - stops[1]),
    )


_STYLES = {"pixel art": _pixel_art, "pencil sketch": _pencil_sketch, "sepia": _sepia, "vaporwave": _vaporwave}
