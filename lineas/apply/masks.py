"""Regions: where in an activation a steering acts; functions (site, z) -> weights that broadcast to z."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from math import ceil, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lineas.errors import MismatchError
from lineas.steering.site import Site

Region = Callable[[Site, Tensor], "Tensor | float | None"]
_INPUTS = ("sample", "hidden_states", "x")
"""What denoisers call the image that they are given."""


def mask_region(mask: Any) -> MaskRegion:
    """[h, w], [b, h, w] or [b, 1, h, w] mask in 0..1 (1 steered), a tensor or an array -> a region.

    Raises `MismatchError` for a mask of another shape and for values outside 0..1.
    """
    image = torch.as_tensor(mask).detach()
    if image.ndim not in (2, 3, 4) or (image.ndim == 4 and image.shape[1] != 1):
        raise MismatchError(
            f"The mask has shape {list(image.shape)}, expected [h, w], [b, h, w] or [b, 1, h, w]."
        )
    image = image.float()
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise MismatchError(
            f"The mask has values from {float(image.min()):g} to {float(image.max()):g}, expected 0 (left "
            "alone) to 1 (steered). Divide a mask of 0 to 255 by 255."
        )
    return MaskRegion(image.reshape(-1, 1, *image.shape[-2:]))


class MaskRegion:
    """A mask [m, 1, h, w] that is resized to every site.

    Images [b, c, h, w] and video [b, c, f, h, w] take it directly; tokens [b, s, d] where s is a grid of the
    image that the denoiser was given, which `watch` sees; unwatched, where s fits the mask's aspect ratio to
    within a row and a column. A row of the mask per prompt serves all images of the prompt, and all parts of
    guidance. Raises `MismatchError` at a site that it cannot be laid over, such as those of text encoders.
    """

    def __init__(self, image: Tensor) -> None:
        self.image = image
        self._inputs: dict[str, Tensor] = {}

        @lru_cache(maxsize=64)
        def resized(height: int, width: int, device: torch.device) -> Tensor:
            with torch.inference_mode(False):
                return _resize(image.clone(), height, width).to(device)

        self._resized = resized

    def watch(self, components: Mapping[str, nn.Module]) -> Iterator[tuple[nn.Module, Callable[..., None]]]:
        """See what denoisers are given; yields the hooks that do."""
        for name, component in components.items():
            if not name.startswith("text_encoder"):
                yield component, self._hook(name)

    def __call__(self, site: Site, z: Tensor) -> Tensor:
        component = site.component
        if component.startswith("text_encoder"):
            raise _not_an_image(site, z)
        given = self._inputs.get(component, self._inputs.get(""))
        height, width, frames = _grid(site, z, self.image.shape[-2] / self.image.shape[-1], given)
        small = self._resized(height, width, z.device)
        small = _repeat(site, small, z.shape[0], _images(given) if given is not None else None)
        if z.ndim == 3:
            return small.reshape(len(small), -1, 1).repeat(1, frames, 1)
        return small.reshape(len(small), *[1] * (z.ndim - 3), height, width)

    def _hook(self, name: str) -> Callable[..., None]:
        def seen(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            value = args[0] if args else next((kwargs[n] for n in _INPUTS if n in kwargs), None)
            if isinstance(value, (list, tuple)) and all(isinstance(each, Tensor) for each in value):
                alike = value and len({each.shape for each in value}) == 1
                value = torch.stack(list(value)) if alike else None
            if isinstance(value, Tensor) and value.ndim > 2 and value.is_floating_point():
                self._inputs[name] = value.detach()
            else:
                self._inputs.pop(name, None)

        return seen


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    if height <= image.shape[-2] and width <= image.shape[-1]:
        return interpolate(image, (height, width), mode="area")
    return interpolate(image, (height, width), mode="bilinear", align_corners=False)


def _images(given: Tensor) -> int:
    """How many images a denoiser's input holds: guidance gives the same ones several times over."""
    batch = len(given)
    for parts in range(batch, 1, -1):
        if batch % parts == 0:
            first, *others = given.unflatten(0, (parts, -1)).unbind()
            if all(torch.equal(first, other) for other in others):
                return batch // parts
    return batch


def _grid(site: Site, z: Tensor, aspect: float, given: Tensor | None) -> tuple[int, int, int]:
    """Height and width of the activation in pixels or tokens, and its frames.

    aspect: height / width of the mask. given: what the denoiser of this site was given.
    """
    if z.ndim in (4, 5) and site.axis % z.ndim == 1:
        return z.shape[-2], z.shape[-1], 1
    if z.ndim == 3 and site.axis % z.ndim == 2:
        found = _of_aspect(z.shape[1], aspect) if given is None else _of_input(z.shape[1], given, aspect)
        if found is not None:
            return found
    raise _not_an_image(site, z)


def _of_input(tokens: int, given: Tensor, aspect: float) -> tuple[int, int, int] | None:
    """A grid of the image [b, c, h, w] or video [b, c, f, h, w], or of its tokens [b, s, d]."""
    if given.ndim == 3:
        return _of_aspect(tokens, aspect) if tokens == given.shape[1] else None
    height, width = given.shape[-2:]
    longest = given.shape[2] if given.ndim == 5 else 1
    for factor in range(1, max(height, width) + 1):
        rows, columns = ceil(height / factor), ceil(width / factor)
        frames, rest = divmod(tokens, rows * columns)
        if not rest and 1 <= frames <= longest:
            return rows, columns, frames
    return None


def _of_aspect(tokens: int, aspect: float) -> tuple[int, int, int] | None:
    ideal = sqrt(tokens * aspect)
    height = min((h for h in range(1, tokens + 1) if tokens % h == 0), key=lambda h: abs(h - ideal))
    width = tokens // height
    return (height, width, 1) if abs(height - ideal) < 1 and abs(width - tokens / ideal) < 1 else None


def _not_an_image(site: Site, z: Tensor) -> MismatchError:
    return MismatchError(
        f"{site}: an activation of shape {list(z.shape)} is not an image of the mask's aspect ratio. "
        "Keep the sites inside the image model and its image stream: steering.restrict('unet.*')."
    )


def _repeat(site: Site, mask: Tensor, batch: int, images: int | None) -> Tensor:
    """[m, 1, h, w] -> [batch, 1, h, w]: each row for all images of its prompt, in all parts of the batch."""
    images = len(mask) if images is None or batch % images else images
    if len(mask) == 1:
        return mask
    if batch % len(mask) or images % len(mask):
        raise MismatchError(
            f"{site}: {len(mask)} masks do not fit a batch of {batch}. Give one, or one per prompt or image."
        )
    return mask.repeat_interleave(images // len(mask), 0).repeat(batch // images, 1, 1, 1)
