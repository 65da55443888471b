"""Regions: where in an activation a steering acts; functions (site, z) -> weights that broadcast to z."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import sqrt

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lineas.errors import MismatchError
from lineas.steering.site import Site

Region = Callable[[Site, Tensor], "Tensor | float | None"]


def mask_region(mask: Tensor) -> Region:
    """[h, w], [b, h, w] or [b, 1, h, w] mask in 0..1 (1 steered) -> a region that resizes it to every site.

    Images [b, c, h, w] and video [b, c, f, h, w] take it directly; tokens [b, s, d] when s = h·w fits the
    mask's aspect ratio to within a row and a column. A batch that is a multiple of the mask's (as with
    guidance) repeats it.
    Raises `MismatchError` for a mask of another shape, or at a site that it cannot be laid over.
    """
    if mask.ndim not in (2, 3, 4) or (mask.ndim == 4 and mask.shape[1] != 1):
        raise MismatchError(
            f"The mask has shape {list(mask.shape)}, expected [h, w], [b, h, w] or [b, 1, h, w]."
        )
    image = mask.detach().float().reshape(-1, 1, *mask.shape[-2:])

    @lru_cache(maxsize=64)
    def resized(height: int, width: int, device: torch.device) -> Tensor:
        with torch.inference_mode(False):
            return _resize(image.clone(), height, width).to(device)

    def region(site: Site, z: Tensor) -> Tensor:
        height, width = _grid(site, z, image.shape[-2] / image.shape[-1])
        small = _repeat(site, resized(height, width, z.device), z.shape[0])
        if z.ndim == 3:
            return small.reshape(len(small), -1, 1)
        return small.reshape(len(small), *[1] * (z.ndim - 3), height, width)

    return region


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    if height <= image.shape[-2] and width <= image.shape[-1]:
        return interpolate(image, (height, width), mode="area")
    return interpolate(image, (height, width), mode="bilinear", align_corners=False)


def _grid(site: Site, z: Tensor, aspect: float) -> tuple[int, int]:
    """Height and width of the activation in pixels or tokens; `aspect` is height / width of the mask."""
    if z.ndim in (4, 5) and site.axis % z.ndim == 1:
        return z.shape[-2], z.shape[-1]
    if z.ndim == 3 and site.axis % z.ndim == 2:
        tokens = z.shape[1]
        ideal = sqrt(tokens * aspect)
        height = min((h for h in range(1, tokens + 1) if tokens % h == 0), key=lambda h: abs(h - ideal))
        width = tokens // height
        if abs(height - ideal) < 1 and abs(width - tokens / ideal) < 1:
            return height, width
    raise MismatchError(
        f"{site}: an activation of shape {list(z.shape)} is not an image of the mask's aspect ratio. "
        "Keep the sites inside the image model: steering.restrict('unet.*')."
    )


def _repeat(site: Site, mask: Tensor, batch: int) -> Tensor:
    if len(mask) == 1 or len(mask) == batch:
        return mask
    if batch % len(mask):
        raise MismatchError(
            f"{site}: {len(mask)} masks do not fit a batch of {batch}. Give one, or one per image."
        )
    return mask.repeat(batch // len(mask), 1, 1, 1)
