"""Models of today's architectures in ComfyUI's own classes: small ones with random weights."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest
import torch


class StandInClip:
    """Conditions of random numbers, the same for the same prompt; its prompts may be of several lengths."""

    layer_idx = None

    def __init__(self, width: int = 12, pooled: int = 8, **extras: torch.Tensor) -> None:
        import comfy.model_patcher

        self.sizes, self.extras = (width, pooled), extras
        self.cond_stage_model = torch.nn.Module()
        cpu = torch.device("cpu")
        self.patcher = comfy.model_patcher.ModelPatcher(self.cond_stage_model, cpu, cpu)

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str, show_pbar: bool = True) -> list[Any]:
        random = torch.Generator().manual_seed(len(text))
        length = 77 if len(text) < 8 else 154
        cross = torch.randn(1, length, self.sizes[0], generator=random)
        pooled = torch.randn(1, self.sizes[1], generator=random)
        return [[cross, {"pooled_output": pooled, **self.extras}]]


class ProseClip(StandInClip):
    """Prompts of many lengths, as text encoders that are language models give them."""

    def encode_from_tokens_scheduled(self, text: str, show_pbar: bool = True) -> list[Any]:
        length = 15 + len(text)
        cross = torch.randn(1, length, self.sizes[0], generator=torch.Generator().manual_seed(length))
        return [[cross, {"attention_mask": torch.ones(1, length, dtype=torch.long)}]]


def t5_clip() -> Any:
    """A T5 with random weights as the CLIP of PixArt, which gives prompts of many lengths."""
    import comfy.sd
    from comfy.text_encoders.pixart_t5 import PixArtTokenizer, pixart_te

    from comfyui_lineas.scenes.clip import _Target

    sizes = {"num_layers": 2, "d_model": 12, "d_ff": 24, "d_kv": 6, "num_heads": 2}
    options = {"dtype": torch.float32, "t5xxl_model_config": sizes}
    with torch.inference_mode():
        clip = comfy.sd.CLIP(_Target(pixart_te(), PixArtTokenizer), model_options=options)
        random = torch.Generator().manual_seed(0)
        for parameter in clip.cond_stage_model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return clip


def hunyuan_clip() -> StandInClip:
    """What HunyuanDiT is told beside the prompt: another encoding of it, and which tokens are real."""
    masks = {"attention_mask": torch.ones(1, 77), "attention_mask_mt5xl": torch.ones(1, 256)}
    return StandInClip(conditioning_mt5xl=torch.zeros(1, 256, 16), **masks)


def filled(model: Any) -> Any:
    import comfy.model_patcher

    model.eval()
    random = torch.Generator().manual_seed(0)
    for buffer in model.diffusion_model.buffers():
        buffer.copy_(0.1 * torch.randn(buffer.shape, generator=random))
    for name, parameter in model.diffusion_model.named_parameters():
        parameter.requires_grad_(False)
        one = name.endswith(("scale", "norm.weight", "norm1.weight", "norm2.weight"))
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=random) + float(one))
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def flux() -> Any:
    import comfy.ldm.flux.model
    import comfy.model_base
    import comfy.supported_models

    known = {field.name for field in fields(comfy.ldm.flux.model.FluxParams)}
    config = comfy.supported_models.Flux(
        {
            "image_model": "flux",
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
            "patch_size": 2,
            "qkv_bias": True,
            "guidance_embed": False,
            **({"txt_ids_dims": []} if "txt_ids_dims" in known else {}),  # not in 0.3.64
            "dtype": torch.float32,
        }
    )
    with torch.inference_mode():
        return filled(comfy.model_base.Flux(config, device="cpu"))


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


def made(family: str, base: str, config: dict[str, Any]) -> Any:
    """family, base: names of the classes in ComfyUI's tables of supported models and of models."""
    import comfy.model_base
    import comfy.supported_models

    described = getattr(comfy.supported_models, family)({**config, "dtype": torch.float32})
    with torch.inference_mode():
        return filled(getattr(comfy.model_base, base)(described, device="cpu"))


def sd3() -> Any:
    embedder = {"target": "torch.nn.Linear", "params": {"in_features": 12, "out_features": 128}}
    sizes = {"depth": 2, "in_channels": 16, "adm_in_channels": 8, "context_embedder_config": embedder}
    places = {"pos_embed_max_size": 16, "num_patches": 256, "pos_embed_scaling_factor": None}
    return made("SD3", "SD3", {"patch_size": 2, "input_size": None, **sizes, **places})


def pixart() -> Any:
    sizes = {"hidden_size": 48, "depth": 2, "num_heads": 2, "caption_channels": 12, "mlp_ratio": 2.0}
    return made("PixArtSigma", "PixArt", {"image_model": "pixart_sigma", "micro_condition": False, **sizes})


def hunyuan_dit() -> Any:
    sizes = {"hidden_size": 64, "depth": 4, "num_heads": 2, "text_states_dim": 12, "text_states_dim_t5": 16}
    return made("HunyuanDiT", "HunyuanDiT", {"image_model": "hydit", **sizes})


def lumina2(**changes: Any) -> Any:
    sizes = {
        "dim": 48,
        "n_layers": 2,
        "n_refiner_layers": 1,
        "n_heads": 2,
        "n_kv_heads": 2,
        "cap_feat_dim": 12,
    }
    places = {"axes_dims": [8, 8, 8], "axes_lens": [300, 64, 64]}
    given = {"image_model": "lumina2", "in_channels": 16, "patch_size": 2, "qk_norm": True}
    return made("Lumina2", "Lumina2", {**given, **sizes, **places, "multiple_of": 16, **changes})


def qwen_image() -> Any:
    sizes = {"num_layers": 2, "attention_head_dim": 24, "num_attention_heads": 2, "joint_attention_dim": 12}
    given = {"image_model": "qwen_image", "in_channels": 64, "axes_dims_rope": (8, 8, 8)}
    return made("QwenImage", "QwenImage", {**given, **sizes})


def wan() -> Any:
    sizes = {"dim": 48, "ffn_dim": 64, "freq_dim": 16, "text_dim": 12, "num_heads": 2, "num_layers": 2}
    given = {"image_model": "wan2.1", "model_type": "t2v", "in_dim": 16, "out_dim": 16}
    return made("WAN21_T2V", "WAN21", {**given, **sizes})


def trained(model: Any, clip: Any, **changes: Any) -> Any:
    from comfyui_lineas.train.request import TrainRequest
    from comfyui_lineas.train.training import train

    options = {"source": "a\nb b b b b\nccc", "target": "x x\nyyyyyyyyy", "steps": 3, "preview_every": 0}
    options |= {"width": 64, "height": 64, **changes}
    with torch.inference_mode():
        return train(model, clip, None, TrainRequest(**options))


def output(model: Any, clip: Any, side: int = 8) -> torch.Tensor:
    """The latents of one step through the stock sampler."""
    import comfy.sample

    conditions = clip.encode_from_tokens_scheduled("abc")
    kind = model.model.latent_format
    frames = [1] * (kind.latent_dimensions - 2)
    latents = torch.zeros(2, kind.latent_channels, *frames, side, side)
    with torch.inference_mode():
        noise = comfy.sample.prepare_noise(latents, 0)
        return comfy.sample.sample(
            *(model, noise, 1, 1.0, "euler", "simple"), conditions, conditions, latents, seed=0
        )


def falls(steering: Any) -> bool:
    settings = steering.provenance.settings
    return settings["cost"] < settings["cost_at_start"]
