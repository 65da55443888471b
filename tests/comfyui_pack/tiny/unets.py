"""UNets of Stable Diffusion."""

from __future__ import annotations

from typing import Any

import torch
from comfyui_pack.tiny.making import filled, made


def sdxl() -> Any:
    import comfy.model_base
    import comfy.supported_models

    config = comfy.supported_models.SDXL(
        {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": 64,
            "num_res_blocks": [1, 1],
            "channel_mult": [1, 2],
            "transformer_depth": [0, 2],
            "transformer_depth_output": [0, 0, 2, 2],
            "transformer_depth_middle": 2,
            "use_spatial_transformer": True,
            "use_linear_in_transformer": True,
            "context_dim": 12,
            "num_classes": "sequential",
            "adm_in_channels": 1280 + 6 * 256,
            "dtype": torch.float32,
        }
    )
    config.unet_config |= {"num_head_channels": 32, "num_heads": -1}
    with torch.inference_mode():
        return filled(comfy.model_base.SDXL(config, device="cpu"))


def sd15() -> Any:
    ends = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 64}
    depths = {
        "num_res_blocks": [1, 1],
        "channel_mult": [1, 2],
        "transformer_depth": [1, 1],
        "transformer_depth_output": [1, 1, 1, 1],
        "transformer_depth_middle": 1,
    }
    text = {"use_spatial_transformer": True, "use_linear_in_transformer": False, "context_dim": 12}
    return made("SD15", "BaseModel", {**ends, **depths, **text, "adm_in_channels": None})
