"""Tiny random pipelines around diffusion transformers, with text encoders of their classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import pipelines
from toys import text_encoders as text
from toys.pipelines import LENGTH, irregular, t5, tokenizer, vae


class Installed:
    """diffusers; a test of a class that its version has not got is skipped."""

    def __getattr__(self, name: str) -> Any:
        if not hasattr(pipelines.diffusers, name):
            pytest.skip(f"diffusers {pipelines.diffusers.__version__} has no {name}")
        return getattr(pipelines.diffusers, name)


diffusers = Installed()


def flow(**options: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**{"shift": 3.0, **options})


def wan_vae(kind: str = "AutoencoderKLWan", channels: int = 4) -> Any:
    return getattr(diffusers, kind)(
        base_dim=4, z_dim=channels, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False],
        latents_mean=[0.0] * channels, latents_std=[1.0] * channels,
    )  # fmt: skip


def flux2_vae() -> Any:
    return diffusers.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), latent_channels=4, norm_num_groups=2, sample_size=16,
    )  # fmt: skip


def z_image() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.ZImagePipeline(
        scheduler=flow(), vae=vae(4, shift=0.1), text_encoder=text.qwen3(), tokenizer=text.chat_tokenizer(),
        transformer=diffusers.ZImageTransformer2DModel(
            in_channels=4, dim=16, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
            axes_dims=[2, 2, 4], axes_lens=[64, 16, 16],
        ),
    ))  # fmt: skip


def flux2_klein() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.Flux2KleinPipeline(
        scheduler=flow(use_dynamic_shifting=True), text_encoder=text.qwen3(), tokenizer=text.chat_tokenizer(),
        vae=flux2_vae(),
        transformer=diffusers.Flux2Transformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=2, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=32, timestep_guidance_channels=8, axes_dims_rope=(2, 2, 2, 2),
            guidance_embeds=False,
        ),
        is_distilled=True,
    ))  # fmt: skip


def qwen_image() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.QwenImagePipeline(
        scheduler=flow(use_dynamic_shifting=True), vae=wan_vae("AutoencoderKLQwenImage"),
        text_encoder=text.qwen2_5_vl(), tokenizer=text.chat_tokenizer(64),
        transformer=diffusers.QwenImageTransformer2DModel(
            in_channels=16, out_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=16, axes_dims_rope=(2, 2, 4),
        ),
    )  # fmt: skip
    pipe.prompt_template_encode, pipe.prompt_template_encode_start_idx = "a {}", 1
    return irregular(pipe)


def krea2() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.Krea2Pipeline(
        scheduler=flow(use_dynamic_shifting=True), vae=wan_vae("AutoencoderKLQwenImage"),
        text_encoder=text.qwen3_vl(), tokenizer=text.chat_tokenizer(64), text_encoder_select_layers=(0, 2),
        transformer=diffusers.Krea2Transformer2DModel(
            in_channels=16, num_layers=2, attention_head_dim=8, num_attention_heads=2, num_key_value_heads=1,
            intermediate_size=24, timestep_embed_dim=8, text_hidden_dim=16, num_text_layers=2,
            text_num_attention_heads=2, text_num_key_value_heads=2, text_intermediate_size=24,
            num_layerwise_text_blocks=1, num_refiner_text_blocks=1, axes_dims_rope=(2, 2, 4),
        ),
        is_distilled=True,
    )  # fmt: skip
    pipe.prompt_template_encode_prefix, pipe.prompt_template_encode_suffix = "a ", " road"
    pipe.prompt_template_encode_start_idx, pipe.prompt_template_encode_num_suffix_tokens = 1, 1
    return irregular(pipe)


def _dc_ae() -> Any:
    return diffusers.AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2,
        encoder_block_types=("ResBlock",) * 2, decoder_block_types=("ResBlock",) * 2,
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), ()), decoder_qkv_multiscales=((), ()),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
        upsample_block_type="interpolate", downsample_block_type="stride_conv",
        decoder_norm_types="rms_norm", decoder_act_fns="silu",
    )  # fmt: skip


def _sana_transformer(**options: Any) -> Any:
    return diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_layers=2, num_attention_heads=2, attention_head_dim=8,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=16,
        sample_size=8, **options,
    )  # fmt: skip


def sana() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.SanaPipeline(
        tokenizer=tokenizer(pad="<pad>"), text_encoder=text.gemma2(), vae=_dc_ae(),
        transformer=_sana_transformer(), scheduler=flow(),
    ))  # fmt: skip


def sana_sprint() -> Any:
    torch.manual_seed(0)
    transformer = _sana_transformer(guidance_embeds=True, qk_norm="rms_norm_across_heads")
    return irregular(diffusers.SanaSprintPipeline(
        tokenizer=tokenizer(pad="<pad>"), text_encoder=text.gemma2(), vae=_dc_ae(), transformer=transformer,
        scheduler=diffusers.SCMScheduler(),
    ))  # fmt: skip


def lumina2() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.Lumina2Pipeline(
        transformer=diffusers.Lumina2Transformer2DModel(
            sample_size=8, in_channels=4, hidden_size=24, num_layers=2, num_refiner_layers=1,
            num_attention_heads=3, num_kv_heads=1, multiple_of=16, axes_dim_rope=(4, 2, 2),
            axes_lens=(64, 16, 16), cap_feat_dim=16,
        ),
        scheduler=flow(), vae=vae(4, shift=0.1), text_encoder=text.gemma2(),
        tokenizer=tokenizer(pad="<pad>", length=64),
    ))  # fmt: skip


def _wan_transformer() -> Any:
    return diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16, freq_dim=8,
        ffn_dim=24, num_layers=2, rope_max_seq_len=32,
    )  # fmt: skip


def wan(two: bool = False) -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.WanPipeline(
        tokenizer=tokenizer(starts=False, pad="<pad>"), text_encoder=text.umt5(), vae=wan_vae(),
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        transformer=_wan_transformer(), transformer_2=_wan_transformer() if two else None,
        boundary_ratio=0.6 if two else None,
    ))  # fmt: skip


def chroma() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.ChromaPipeline(
        scheduler=flow(shift=1.0), vae=vae(4, shift=0.1), text_encoder=t5(),
        tokenizer=tokenizer(starts=False, pad="<pad>"),
        transformer=diffusers.ChromaTransformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=16, axes_dims_rope=(4, 4, 8), approximator_num_channels=8,
            approximator_hidden_dim=16, approximator_layers=1,
        ),
    ))  # fmt: skip


_SHORT = {"height": 16, "width": 16, "max_sequence_length": LENGTH}
_KLEIN = {**_SHORT, "text_encoder_out_layers": (1, 2)}
_SANA = {
    "height": 32, "width": 32, "max_sequence_length": LENGTH, "use_resolution_binning": False,
    "clean_caption": False, "complex_human_instruction": None,
}  # fmt: skip
TRANSFORMERS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "ZImagePipeline": (z_image, _SHORT),
    "Flux2KleinPipeline": (flux2_klein, _KLEIN),
    "QwenImagePipeline": (qwen_image, {"height": 16, "width": 16}),
    "Krea2Pipeline": (krea2, _SHORT),
    "SanaPipeline": (sana, _SANA),
    "SanaSprintPipeline": (sana_sprint, _SANA),
    "Lumina2Pipeline": (lumina2, {"height": 16, "width": 16, "max_sequence_length": 64}),
    "WanPipeline": (wan, {**_SHORT, "num_frames": 5}),
    "ChromaPipeline": (chroma, _SHORT),
}
"""By class: how to make one, and what it is called with besides the usual, being as small as it is."""
