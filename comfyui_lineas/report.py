"""What a steering is and how it was learned, as pictures and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lineas.maps.base import Map
from lineas.pictures.charts import bars, curve, stacked
from lineas.steering.provenance import USABLE
from lineas.steering.steering import Steering


def steering_picture(steering: Steering) -> Image.Image:
    """Where a steering acts and how strongly: one bar per site, in execution order."""
    strength = {str(site): _strength(map) for site, map in steering.maps.items()}
    share = {str(site): float(map.support.float().mean()) for site, map in steering.maps.items()}
    acting = f"sparsity {steering.sparsity:.1%}"
    return stacked(
        [
            bars(strength, "how strongly it acts, site by site (root mean square of the change)", _block),
            bars(share, f"share of units that it moves ({acting})", _block),
        ]
    )


def training_picture(steering: Steering, costs: Sequence[float]) -> Image.Image:
    """The cost over steps above where the steering acts."""
    fell = f"cost over steps: {costs[0]:.4g} to {costs[-1]:.4g}" if costs else "no steps"
    return stacked([curve(costs, fell), steering_picture(steering)])


def training_text(steering: Steering, costs: Sequence[float], seconds: float, path: str) -> str:
    """The figures of a training in lines."""
    begun, ended = (costs[0], costs[-1]) if costs else (float("nan"), float("nan"))
    figures = f"{len(costs)} steps in {seconds:.0f} s, cost {begun:.4g} -> {ended:.4g}"
    return "\n".join([figures, f"saved: {path}", steering.summary()])


def usable(steering: Steering, strength: float = 0.0) -> str:
    """The strengths that were found to be of use, as a sentence; "" where nobody looked.

    strength: that is set; whether it lies outside is said too.
    """
    low, high = (steering.provenance.settings.get(name) for name in USABLE)
    if not (isinstance(low, int | float) and isinstance(high, int | float)):
        return ""
    told = f"strength: usable from {low:g} to {high:g}, best at 1"
    outside = strength and not low <= strength <= high
    return f"{told}; {strength:g} lies outside" if outside else told


def _strength(map: Map) -> float:
    """Of what a map adds, for standard activations; affine maps tell by scale and shift."""
    tensors = map.tensors()
    parts = [tensors[name].float().square().mean() for name in ("deviation", "shift") if name in tensors]
    return float(sum(parts)) ** 0.5 if parts else float(map.support.float().mean())


def _block(site: str) -> str:
    """unet.down_blocks.0… -> down, for the colours."""
    names = {"down_blocks": "down", "mid_block": "middle", "up_blocks": "up"}
    component, _, rest = site.partition(".")
    if component.startswith("text_encoder"):
        return "text encoder"
    return names.get(rest.partition(".")[0], "other")


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
