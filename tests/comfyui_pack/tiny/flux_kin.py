"""FLUX and the models that are built from its blocks of two streams."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from comfyui_pack.tiny.making import made

SIZES = {
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 8,
    "context_in_dim": 12,
    "hidden_size": 32,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [4, 6, 6],
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": False,
    "txt_ids_dims": [],
}
WITHOUT_POOLED = {"vec_in_dim": None, "txt_ids_dims": [1, 2]}


def flux(family: str = "Flux", base: str = "Flux", **changes: Any) -> Any:
    import comfy.ldm.flux.model

    config = {"image_model": "flux", **SIZES, **changes}
    return made(family, base, config, comfy.ldm.flux.model.FluxParams)


def flux2() -> Any:
    import comfy.model_base
    import comfy.supported_models

    known = hasattr(comfy.supported_models, "Flux2")
    if not known or 'kwargs["pooled_output"]' in inspect.getsource(comfy.model_base.Flux2.encode_adm):
        pytest.skip("this release does not know FLUX.2 klein, which has no pooled text")
    sizes = {"hidden_size": 32, "mlp_ratio": 3.0, "num_heads": 2, "depth": 1, "depth_single_blocks": 2}
    ends = {"in_channels": 128, "out_channels": 128, "vec_in_dim": None, "context_in_dim": 12}
    places = {"axes_dim": [4, 4, 4, 4], "theta": 2000, "patch_size": 1, "txt_ids_dims": [3]}
    kind = {"global_modulation": True, "mlp_silu_act": True, "qkv_bias": False, "ops_bias": False}
    given = {"image_model": "flux2", "guidance_embed": False}
    return made("Flux2", "Flux2", {**given, **sizes, **ends, **places, **kind})


def ovis_image() -> Any:
    import comfy.ldm.flux.model

    if "yak_mlp" not in comfy.ldm.flux.model.FluxParams.__annotations__:
        pytest.skip("this release of ComfyUI does not know Ovis-Image")
    return flux(**WITHOUT_POOLED, yak_mlp=True, txt_norm=True)


def longcat_image() -> Any:
    return flux("LongCatImage", "LongCatImage", **WITHOUT_POOLED)


def chroma() -> Any:
    import comfy.ldm.chroma.model

    ends = {"in_channels": 64, "out_channels": 64}
    guidance = {"in_dim": 64, "out_dim": 32, "hidden_dim": 32, "n_layers": 1}
    config = {"image_model": "chroma", **SIZES, **ends, **guidance, "vec_in_dim": None}
    return made("Chroma", "Chroma", config, comfy.ldm.chroma.model.ChromaParams)


def hunyuan_image() -> Any:
    import comfy.ldm.hunyuan_video.model

    ends = {"patch_size": [1, 1], "in_channels": 64, "out_channels": 64, "vec_in_dim": None}
    none = {"byt5": False, "meanflow": False, "meanflow_sum": False, "use_cond_type_embedding": False}
    given = {"image_model": "hunyuan_video", "axes_dim": [8, 8], "vision_in_dim": None}
    config = {**SIZES, **given, **ends, **none}
    return made("HunyuanImage21", "HunyuanImage21", config, comfy.ldm.hunyuan_video.model.HunyuanVideoParams)
