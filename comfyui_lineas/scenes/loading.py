"""The bundled model as MODEL, CLIP and VAE, without diffusers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from lineas.scenes.bundled import PIPELINE

from .clip import build_clip
from .unet import build_unet
from .vae import build_vae

BASE_MODEL = "lineas/scenes"


def load_scenes() -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of the bundled model."""
    model = scenes_model()
    model.cached_patcher_init = (scenes_model, ())  # newer releases load a model again by this
    clip = build_clip(*_part("text_encoder", "model"), PIPELINE / "tokenizer" / "tokenizer.json")
    return model, clip, build_vae(*_part("vae", "diffusion_pytorch_model"))


def scenes_model(**_: Any) -> Any:
    """MODEL of the bundled model; newer releases ask for a plain one by options."""
    model = build_unet(*_part("unet", "diffusion_pytorch_model"))
    model.model.model_config.lineas_base_model = BASE_MODEL
    return model


def _part(name: str, file: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    folder: Path = PIPELINE / name
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config, safetensors.torch.load_file(folder / f"{file}.safetensors")
