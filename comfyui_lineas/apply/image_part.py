"""Which part of the image a model is given: conditioning areas and tiles crop the latent before it runs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lineas.apply.masks import Region, mask_region
from lineas.errors import MismatchError

Place = tuple[int, int, int]
"""Row of the batch, top and left, in latent pixels."""


def places_of(part: Tensor, whole: Tensor) -> list[Place]:
    """[n, c, …, h, w] crops of [b, c, …, H, W] -> where each of them lies.

    A crop is told by its very values, whoever made it. `MismatchError` for one that is nowhere in the whole.
    """
    whole = whole.to(part)
    return [_place_of(row, whole) for row in part]


def mask_over(mask: Tensor, part: Tensor, whole: Tensor | None) -> Region:
    """The mask [b, 1, h, w] in the proportions of the whole latent image, cropped as `part` is.

    part: what the model is given. whole: what is drawn; None where that is the same. Raises `MismatchError`
    for latents that are no images, and for parts that are nowhere in the whole.
    """
    whole = part if whole is None else whole
    if part.ndim < 4:
        raise MismatchError(
            f"The latent has shape {list(part.shape)}, expected [b, c, h, w] or [b, c, f, h, w]: a mask "
            "cannot be laid over it. Disconnect the mask."
        )
    with torch.inference_mode(False):
        size = tuple(whole.shape[-2:])
        sized = interpolate(mask.clone(), size, mode="bilinear", antialias=True)
        if size == tuple(part.shape[-2:]):
            return mask_region(sized)
        height, width = part.shape[-2:]
        crops = [
            sized[row % len(sized), :, top : top + height, left : left + width]
            for row, top, left in places_of(part, whole)
        ]
        return mask_region(torch.stack(crops))


def _place_of(part: Tensor, whole: Tensor) -> Place:
    height, width = part.shape[-2:]
    rows, columns = (size - own + 1 for size, own in zip(whole.shape[-2:], (height, width), strict=True))
    if part.ndim + 1 == whole.ndim and part.shape[:-2] == whole.shape[1:-2] and min(rows, columns) > 0:
        corners = whole[..., :rows, :columns] == part[..., :1, :1]
        for row, top, left in corners.flatten(1, -3).all(1).nonzero().tolist():
            if torch.equal(whole[row, ..., top : top + height, left : left + width], part):
                return row, top, left
    raise MismatchError(
        f"The model was given an image of {height} × {width} latent pixels that is no part of the "
        f"{whole.shape[-2]} × {whole.shape[-1]} that are drawn, so the mask cannot be laid over it. "
        "Disconnect the mask, or take out the node that cuts the image into tiles."
    )
