"""A steering as a LoRA file for ComfyUI's loaders, whose strength is that of the steering."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import comfy.lora
import folder_paths
import torch
from torch import Tensor

from lineas.errors import ConfigError
from lineas.export.lora import save_lora
from lineas.steering.steering import Steering

from ..files import new_path
from ..models.check import acts_on_text, fitting_tree, pristine
from ..models.tree import Place
from ..notices import warnings_told
from .text_encoder import is_hooked
from .weight_patches import SteeringAdapter

FOLDER = "loras"


@dataclass(frozen=True)
class Exported:
    """name: in the list of the LoRA loader. message: what was written, and what was left out."""

    name: str
    message: str


def export_lora(
    model: Any,
    clip: Any,
    steering: Steering,
    file_name: str,
    strength: float = 1.0,
    precision: Any = "float16",
    skip_unsupported: bool = False,
) -> Exported:
    """Write a steering to output/loras, exact for the weights of this MODEL, its LoRAs included.

    strength: what strength 1 of the loader will mean. Raises `MismatchError` when the steering does not fit,
    `ExportError` for sites that the format cannot hold and `ConfigError` for a bad name or a steered model.
    """
    used = clip if any(acts_on_text(site.name) for site in steering.sites) else None
    tree = fitting_tree(model, clip, steering)

    def weight(place: Place, parameter: str) -> Tensor:
        return _as_drawn(clip.patcher if place.is_text else model, model, clip, place, parameter)

    components = tree.with_weights([site.name for site in steering.sites], weight)
    if used is None:
        components = {name: root for name, root in components.items() if not acts_on_text(name)}
    path = new_path(FOLDER, file_name)
    with warnings_told():
        left_out = save_lora(
            steering,
            components,
            path,
            strength,
            skip_unsupported=skip_unsupported,
            dtype=precision,
            title=path.stem.strip("_"),
        )
    lines = [f"saved: {path}", *[f"left out: {site}: {reason}" for site, reason in left_out.items()]]
    root = os.path.join(folder_paths.get_output_directory(), FOLDER)
    return Exported(os.path.relpath(path, root), "\n".join(lines))


def _as_drawn(patcher: Any, model: Any, clip: Any, place: Place, parameter: str) -> Tensor:
    """A parameter in float32 with the patches of this very MODEL or CLIP."""
    key = f"{place.key}.{parameter}"
    patches = patcher.patches.get(key, [])
    hooked = place.is_text and is_hooked(patcher, place.path)
    if hooked or any(isinstance(patch[1], SteeringAdapter) for patch in patches):
        raise ConfigError(
            "The connected model is steered already. Export from the model before LinEAS Apply Steering."
        )
    weight = pristine(model, clip, place, parameter).detach().to("cpu", torch.float32, copy=True)
    return comfy.lora.calculate_weight(patches, weight, key) if patches else weight
