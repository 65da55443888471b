"""How far steered images moved from the unsteered ones, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lineas.errors import MismatchError


def mean_square_change(images: Sequence[Image.Image], reference: Sequence[Image.Image]) -> Tensor:
    """[n] mean square difference of RGB values between image i and reference image i.

    Values are in units of the full range, 0 … 1 per channel: 0 for equal images, 1 between black and white,
    about 0.17 between two images of uniform noise.

    Raises `MismatchError`: unlike numbers of images, or a pair of unlike sizes.
    """
    if len(images) != len(reference):
        raise MismatchError(
            f"Image i is compared with reference image i, got {len(images)} and {len(reference)} images. "
            "Pass as many of one as of the other."
        )
    return torch.tensor(
        [_mean_square(a, b) for a, b in zip(images, reference, strict=True)], dtype=torch.float64
    )


def _mean_square(image: Image.Image, reference: Image.Image) -> float:
    if image.size != reference.size:
        raise MismatchError(
            f"Got images of {image.width}×{image.height} and {reference.width}×{reference.height} pixels, "
            "expected equal sizes. Generate both at the same size, or resize one."
        )
    a, b = (np.asarray(one.convert("RGB"), dtype=np.float64) / 255 for one in (image, reference))
    return float(np.mean((a - b) ** 2))
