"""Which model a MODEL is and which one a steering was made for, in words for people."""

from __future__ import annotations

import re
from typing import Any

from lineas.errors import plain
from lineas.steering.steering import Steering

from .names import serves_comfyui_alone

_NAMES = {
    "SD15": "Stable Diffusion 1.5",
    "SD20": "Stable Diffusion 2",
    "SD21UnclipL": "Stable Diffusion 2 unCLIP",
    "SD21UnclipH": "Stable Diffusion 2 unCLIP",
    "SDXL": "SDXL",
    "SDXLRefiner": "SDXL refiner",
    "SSD1B": "SSD-1B",
}


def base_model_of(model: Any) -> str:
    """The family of a MODEL, such as "SDXL", or the name that its loader gave it."""
    config = model.model.model_config
    # Not getattr: configurations answer every name, with a complaint in the log.
    given = vars(config).get("lineas_base_model")
    return given or _NAMES.get(type(config).__name__, type(config).__name__)


def made_for(steering: Steering) -> str:
    """What a steering was made for: what it says itself, else what its sites give away."""
    names = [site.name for site in steering.sites]
    if steering.provenance.base_model:
        return plain(steering.provenance.base_model, 200)
    if names and all(serves_comfyui_alone(name) for name in names):
        return "another model, in ComfyUI alone"
    depths = [int(found[1]) for name in names if (found := re.search(r"transformer_blocks\.(\d+)\.", name))]
    if depths and max(depths) >= 9:
        return "SDXL"
    if any(name.startswith(("unet.down_blocks.3.", "unet.up_blocks.3.")) for name in names):
        return "Stable Diffusion 1 or 2"
    return "another model (the file does not say which)"


def native_size(model: Any) -> int:
    """Side in pixels of the images that a MODEL was made to draw."""
    config = model.model.model_config
    if given := vars(config).get("lineas_size"):
        return int(given)
    return {"SD15": 512, "SD20": 512, "SD21UnclipL": 512, "SD21UnclipH": 512}.get(type(config).__name__, 1024)
