"""Pictures between Pillow, ComfyUI's images and the nodes that show them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def image_of(picture: Image.Image) -> Tensor:
    """A picture -> ComfyUI's IMAGE [1, h, w, 3] in 0..1."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels)[None]


def picture_of(image: Tensor) -> Image.Image:
    """[h, w, 3] in 0..1 -> a picture; values outside are cut."""
    pixels = image.detach().to("cpu", torch.float32).clamp(0, 1) * 255
    return Image.fromarray(pixels.round().to(torch.uint8).numpy())


def picture_and_text(image: Tensor, text: str, node: Any) -> dict[str, Any]:
    """What a node shows of itself: an IMAGE, and a text unless it is empty."""
    from comfy_api.v0_0_2 import ui

    shown = ui.PreviewImage(image, cls=node).as_dict()
    return {**shown, "text": (text,)} if text else shown
