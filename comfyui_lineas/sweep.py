"""One model per strength, and their images on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lineas.apply.strengths import many_strengths
from lineas.errors import MismatchError
from lineas.pictures.contact_sheet import strength_sheet
from lineas.steering.steering import Steering

from .apply.steering import apply_steering
from .report import image_of, picture_of

MOST, LARGEST = 64, 100.0
"""How many strengths a sweep takes, and how far from 0."""
SMALLEST = 192
"""Pixels to which smaller images are enlarged on a sheet."""


def sweep_models(
    model: Any, clip: Any, steering: Steering, strengths: str
) -> tuple[list[Any], list[Any], list[float]]:
    """Per strength a steered MODEL, a steered CLIP (None without one) and the strength."""
    numbers = list(many_strengths(strengths, most=MOST, largest=LARGEST))
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
    columns = [[picture_of(image) for image in batch] for batch in images]
    count = max(map(len, columns))
    labels = [line.strip() for line in row_labels.splitlines() if line.strip()][:count]
    labels += [""] * (count - len(labels)) if labels else []
    side = max(max(picture.size) for column in columns for picture in column)
    cell = SMALLEST if side < SMALLEST else None
    sheet = strength_sheet(columns, strengths, labels, head="strength ", title=title.strip(), cell=cell)
    return image_of(sheet)
