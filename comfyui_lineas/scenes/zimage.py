"""A small Z-Image transformer in ComfyUI's own classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.latent_formats
import comfy.ldm.modules.diffusionmodules.mmdit
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.supported_models
import comfy.utils
import torch
from torch import Tensor

ADALN = 256
"""Width up to which the noise level is embedded as wide as the model."""


def build_transformer(config: Mapping[str, Any], weights: Mapping[str, Tensor], shift: float) -> Any:
    """A ModelPatcher of a ZImageTransformer2DModel's configuration and weights, in float32.

    Args:
        config: its configuration; as many heads for keys as for queries.
        weights: its state dict by diffusers' names.
        shift: the scheduler's, which decides how long each step is.
    """
    device = comfy.model_management.unet_offload_device()
    model = comfy.model_base.Lumina2(_model_config(config, shift), device=device)
    dim, operations = config["dim"], model.model_config.custom_operations
    # ComfyUI fixes the width of the embedded noise level at that of the large model.
    model.diffusion_model.t_embedder = comfy.ldm.modules.diffusionmodules.mmdit.TimestepEmbedder(
        1024, output_size=min(dim, ADALN), dtype=torch.float32, device=device, operations=operations
    )
    model.diffusion_model.load_state_dict(_renamed(config, weights))
    return comfy.model_patcher.ModelPatcher(model, comfy.model_management.get_torch_device(), device)


def _model_config(config: Mapping[str, Any], shift: float) -> Any:
    class Scenes(comfy.supported_models.Lumina2):
        sampling_settings = {"multiplier": 1.0, "shift": shift}  # noqa: RUF012
        custom_operations = comfy.ops.disable_weight_init

    built = Scenes(
        {
            "image_model": "lumina2",
            "patch_size": config["all_patch_size"][0],
            "in_channels": config["in_channels"],
            "dim": config["dim"],
            "n_layers": config["n_layers"],
            "n_refiner_layers": config["n_refiner_layers"],
            "n_heads": config["n_heads"],
            "n_kv_heads": config["n_kv_heads"],
            "multiple_of": 2,
            "ffn_dim_multiplier": 8.0 / 3.0,
            "norm_eps": config["norm_eps"],
            "qk_norm": config["qk_norm"],
            "cap_feat_dim": config["cap_feat_dim"],
            "axes_dims": config["axes_dims"],
            "axes_lens": config["axes_lens"],
            "rope_theta": config["rope_theta"],
            "time_scale": config["t_scale"],
            "z_image_modulation": True,
            "pad_tokens_multiple": 32,
        }
    )
    built.latent_format = _Latents()
    built.set_inference_dtype(torch.float32, None)
    return built


class _Latents(comfy.latent_formats.LatentFormat):
    """Latents as the transformer sees them, without scale."""

    latent_channels = 16


def _renamed(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by ComfyUI's names, where queries, keys and values are one matrix."""
    out: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, target in comfy.utils.z_image_to_diffusers(dict(config)).items():
        if name not in weights:
            continue
        if isinstance(target, tuple):
            target, (_, start, _) = target
            parts.setdefault(target, {})[start] = weights[name].float()
        else:
            out[target] = weights[name].float()
    out |= {name: torch.cat([rows[start] for start in sorted(rows)]) for name, rows in parts.items()}
    return out
