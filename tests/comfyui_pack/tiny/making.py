"""Models of ComfyUI's own classes from a configuration, with random weights."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch


def filled(model: Any) -> Any:
    import comfy.model_patcher

    model.eval()
    random = torch.Generator().manual_seed(0)
    for buffer in model.diffusion_model.buffers():
        buffer.copy_(0.1 * torch.randn(buffer.shape, generator=random))
    for name, parameter in model.diffusion_model.named_parameters():
        parameter.requires_grad_(False)
        one = name.endswith(("scale", "norm.weight", "norm1.weight", "norm2.weight", "_ln.weight"))
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=random) + float(one))
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def made(family: str, base: str, config: dict[str, Any], parameters: Any = None) -> Any:
    """family, base: names of the classes in ComfyUI's tables of supported models and of models.

    parameters: the dataclass that the configuration is for; what a release does not have there is left out.
    """
    import comfy.model_base
    import comfy.supported_models

    if not hasattr(comfy.supported_models, family) or not hasattr(comfy.model_base, base):
        pytest.skip(f"this release of ComfyUI does not know {family}")
    if parameters is not None:
        known = {"image_model", *(field.name for field in fields(parameters))}
        config = {name: value for name, value in config.items() if name in known}
    described = getattr(comfy.supported_models, family)({**config, "dtype": torch.float32})
    described.unet_config |= config  # also where the release fixes the sizes of the large model
    with torch.inference_mode():
        return filled(getattr(comfy.model_base, base)(described, device="cpu"))
