"""One model per strength, and their images on one sheet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lineas.errors import ConfigError, MismatchError
from lineas.pictures.contact_sheet import contact_sheet
from lineas.steering.steering import Steering

from .apply.steering import apply_steering
from .report import image_of, picture_of

MOST = 64
SMALLEST = 192
"""Pixels to which smaller images are enlarged on a sheet."""


def strengths_of(text: str) -> list[float]:
    """ "0, 0.5, 1" or "from:to:count" -> numbers. Raises `ConfigError` for anything else."""
    try:
        if ":" in text:
            first, last, count = text.split(":")
            steps = int(count)
            numbers = [float(first) + i * (float(last) - float(first)) / (steps - 1) for i in range(steps)]
        else:
            numbers = [float(part) for part in re.split(r"[,;\s]+", text.strip()) if part]
    except (ValueError, ZeroDivisionError):
        numbers = []
    if not 0 < len(numbers) <= MOST or not all(abs(number) <= 100 for number in numbers):
        raise ConfigError(
            f"The strengths are {text!r}, expected 1 to {MOST} numbers such as 0, 0.5, 1 or from:to:count "
            "such as -1:1:5."
        )
    return [round(number, 6) for number in numbers]


def sweep_models(
    model: Any, clip: Any, steering: Steering, strengths: str
) -> tuple[list[Any], list[Any], list[float]]:
    """Per strength a steered MODEL, a steered CLIP (None without one) and the strength."""
    numbers = strengths_of(strengths)
    pairs = [apply_steering(model, clip, steering, number) for number in numbers]
    return [model for model, _ in pairs], [clip for _, clip in pairs], numbers


def sweep_grid(images: Sequence[Tensor], strengths: Sequence[float], title: str, row_labels: str) -> Tensor:
    """[b, h, w, 3] per strength -> an IMAGE: one column per strength, one row per image of the batch.

    Raises `MismatchError` when there is not one batch of images per strength.
    """
    if len(images) != len(strengths):
        raise MismatchError(
            f"Got {len(images)} batches of images for {len(strengths)} strengths. Connect the images that "
            "were drawn with the models of the same Strength Sweep."
        )
    count = max(len(batch) for batch in images)
    rows = [[picture_of(batch[row]) for batch in images if row < len(batch)] for row in range(count)]
    labels = [line.strip() for line in row_labels.splitlines() if line.strip()][:count]
    labels += [""] * (count - len(labels)) if labels else []
    side = max(max(picture.size) for row in rows for picture in row)
    heads = [f"strength {strength:g}" for strength in strengths]
    cell = SMALLEST if side < SMALLEST else None
    return image_of(contact_sheet(rows, labels, heads, title=title.strip(), cell=cell))
