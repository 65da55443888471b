"""Tiny random pipelines around transformers of FLUX's kind: blocks of two streams, then blocks of one."""

from __future__ import annotations

from typing import Any

import torch
from toys import text_encoders as text
from toys.pipelines import diffusers, irregular, t5, tokenizer, vae
from toys.transformers import flow, flux2_vae, wan_vae

_SMALL: dict[str, Any] = {
    "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2,
}  # fmt: skip


def flux2() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.Flux2Pipeline(
        scheduler=flow(use_dynamic_shifting=True), vae=flux2_vae(), text_encoder=text.mistral3(),
        tokenizer=text.chat_tokenizer(),
        transformer=diffusers.Flux2Transformer2DModel(
            in_channels=16, **_SMALL, joint_attention_dim=32, timestep_guidance_channels=8,
            axes_dims_rope=(2, 2, 2, 2),
        ),
    )  # fmt: skip
    pipe.system_message = "a"
    return irregular(pipe)


def bria() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.BriaPipeline(
        scheduler=flow(), vae=vae(4, shift=0.1), text_encoder=t5(),
        tokenizer=tokenizer(starts=False, pad="<pad>"),
        transformer=diffusers.BriaTransformer2DModel(
            patch_size=1, in_channels=16, **_SMALL, joint_attention_dim=16, pooled_projection_dim=None,
            axes_dims_rope=[0, 4, 4],
        ),
    ))  # fmt: skip


def bria_fibo() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.BriaFiboPipeline(
        scheduler=flow(use_dynamic_shifting=True), vae=wan_vae(), text_encoder=text.smollm3(128001),
        tokenizer=tokenizer(pad="<pad>"),
        transformer=diffusers.BriaFiboTransformer2DModel(
            patch_size=1, in_channels=4, **_SMALL, joint_attention_dim=32, text_encoder_dim=16,
            pooled_projection_dim=None, axes_dims_rope=[0, 4, 4],
        ),
    ))  # fmt: skip


def longcat_image() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.LongCatImagePipeline(
        scheduler=flow(use_dynamic_shifting=True), vae=vae(4, shift=0.1), text_encoder=text.qwen2_5_vl(),
        tokenizer=text.chat_tokenizer(), text_processor=None,
        transformer=diffusers.LongCatImageTransformer2DModel(
            in_channels=64, **_SMALL, joint_attention_dim=16, axes_dims_rope=[4, 2, 2]
        ),
    )  # fmt: skip
    pipe.prompt_template_encode_prefix, pipe.prompt_template_encode_suffix = "a ", " road"
    pipe.tokenizer_max_length = 12
    return irregular(pipe)


def ovis_image() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.OvisImagePipeline(
        scheduler=flow(use_dynamic_shifting=True), vae=vae(4, shift=0.1), text_encoder=text.qwen3().model,
        tokenizer=text.chat_tokenizer(64),
        transformer=diffusers.OvisImageTransformer2DModel(
            in_channels=16, out_channels=16, **_SMALL, joint_attention_dim=16, axes_dims_rope=(4, 2, 2)
        ),
    )  # fmt: skip
    pipe.system_prompt, pipe.user_prompt_begin_id = "a ", 1
    return irregular(pipe)


def hunyuan_image() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.HunyuanImagePipeline(
        scheduler=flow(),
        vae=diffusers.AutoencoderKLHunyuanImage(
            in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(32,) * 4,
            layers_per_block=1, scaling_factor=0.5, spatial_compression_ratio=8, sample_size=32,
        ),
        text_encoder=text.qwen2_5_vl(), tokenizer=text.chat_tokenizer(), text_encoder_2=t5(),
        tokenizer_2=tokenizer(starts=False, pad="<pad>"),
        transformer=diffusers.HunyuanImageTransformer2DModel(
            in_channels=4, out_channels=4, **_SMALL, num_refiner_layers=1, patch_size=(1, 1),
            guidance_embeds=False, text_embed_dim=16, text_embed_2_dim=16, rope_axes_dim=(4, 4),
        ),
        guider=diffusers.guiders.AdaptiveProjectedMixGuidance(guidance_scale=1.0, enabled=False),
        ocr_guider=diffusers.guiders.AdaptiveProjectedMixGuidance(guidance_scale=1.0, enabled=False),
    )  # fmt: skip
    pipe.prompt_template_encode, pipe.prompt_template_encode_start_idx = "a {}", 1
    pipe.tokenizer_max_length = pipe.tokenizer_2_max_length = 12
    return irregular(pipe)


def hidream() -> Any:
    from toys.pipelines import clip

    torch.manual_seed(0)
    pipe = diffusers.HiDreamImagePipeline(
        scheduler=flow(), vae=vae(4, shift=0.1), text_encoder=clip(projects=True), tokenizer=tokenizer(),
        text_encoder_2=clip(projects=True), tokenizer_2=tokenizer(pad="<pad>"), text_encoder_3=t5(),
        tokenizer_3=tokenizer(starts=False, pad="<pad>"), text_encoder_4=text.llama_lm(),
        tokenizer_4=tokenizer(pad="<pad>"),
        transformer=diffusers.HiDreamImageTransformer2DModel(
            patch_size=2, in_channels=4, out_channels=4, **_SMALL, caption_channels=[16, 16], text_emb_dim=32,
            num_routed_experts=2, num_activated_experts=1, axes_dims_rope=(4, 2, 2), max_resolution=(32, 32),
            llama_layers=(0, 1),
        ),
    )  # fmt: skip
    pipe.default_sample_size = 8
    return irregular(pipe)
