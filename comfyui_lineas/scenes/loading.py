"""The bundled models as MODEL, CLIP and VAE, without diffusers."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from lineas.errors import ConfigError
from lineas.scenes import BUNDLED
from lineas.scenes.bundled import FOLDERS

from .clip import build_clip
from .unet import build_unet
from .vae import build_vae

DIFFUSION = "diffusion_pytorch_model"
SIDE = 128
"""Of the images that the bundled models draw, in pixels."""


def load_scenes(name: str = BUNDLED[0]) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of a bundled model; `ConfigError` for one that this ComfyUI does not know."""
    if name != BUNDLED[0] and find_spec("comfy.text_encoders.z_image") is None:
        raise ConfigError(
            f"{name} is a Z-Image, which this ComfyUI does not know. Update ComfyUI (0.8.0 knows it), or "
            f"choose {BUNDLED[0]}."
        )
    model = scenes_model(name)
    model.cached_patcher_init = (scenes_model, (name,))  # newer releases load a model again by this
    tokens = FOLDERS[name] / "tokenizer" / "tokenizer.json"
    clip = _text_encoder(name)(*_part(name, "text_encoder", "model"), tokens)
    return model, clip, build_vae(*_part(name, "vae", DIFFUSION))


def scenes_model(name: str = BUNDLED[0], **_: Any) -> Any:
    """MODEL of a bundled model; newer releases ask for a plain one by options."""
    if name == BUNDLED[0]:
        model = build_unet(*_part(name, "unet", DIFFUSION))
    else:
        from .zimage import build_transformer

        scheduler = _config(name, "scheduler", "scheduler_config")
        model = build_transformer(*_part(name, "transformer", DIFFUSION), scheduler["shift"])
    config = model.model.model_config
    config.lineas_base_model, config.lineas_size = f"lineas/{name}", SIDE
    return model


def _text_encoder(name: str) -> Any:
    if name == BUNDLED[0]:
        return build_clip
    from .qwen import build_text_encoder

    return build_text_encoder


def _part(model: str, name: str, file: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return _config(model, name), safetensors.torch.load_file(FOLDERS[model] / name / f"{file}.safetensors")


def _config(model: str, name: str, file: str = "config") -> dict[str, Any]:
    folder: Path = FOLDERS[model] / name
    return json.loads((folder / f"{file}.json").read_text(encoding="utf-8"))
