"""Tiny random pipelines around diffusion transformers of kinds of their own."""

from __future__ import annotations

from typing import Any

import torch
from toys import text_encoders as text
from toys.pipelines import clip, diffusers, irregular, t5, tokenizer, vae
from toys.transformers import flow, flux2_vae, wan_vae


def aura_flow() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.AuraFlowPipeline(
        tokenizer=tokenizer(pad="<pad>"), text_encoder=text.umt5(), vae=vae(), scheduler=flow(),
        transformer=diffusers.AuraFlowTransformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1,
            attention_head_dim=8, num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=16,
            out_channels=4, pos_embed_max_size=64,
        ),
    ))  # fmt: skip


def cogview3() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.CogView3PlusPipeline(
        tokenizer=tokenizer(starts=False, pad="<pad>"), text_encoder=t5(), vae=vae(),
        scheduler=diffusers.CogVideoXDDIMScheduler(),
        transformer=diffusers.CogView3PlusTransformer2DModel(
            patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
            out_channels=4, text_embed_dim=16, time_embed_dim=8, condition_dim=2, pos_embed_max_size=8,
            sample_size=8,
        ),
    ))  # fmt: skip


def cogview4() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.CogView4Pipeline(
        tokenizer=tokenizer(pad="<pad>"), text_encoder=text.glm(), vae=vae(),
        scheduler=flow(use_dynamic_shifting=True, time_shift_type="linear"),
        transformer=diffusers.CogView4Transformer2DModel(
            patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
            out_channels=4, text_embed_dim=16, time_embed_dim=8, condition_dim=4, rope_axes_dim=(16, 16),
        ),
    ))  # fmt: skip


def ernie_image() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.ErnieImagePipeline(
        vae=flux2_vae(), text_encoder=text.mistral3().model, tokenizer=tokenizer(pad="<pad>"),
        scheduler=flow(),
        transformer=diffusers.ErnieImageTransformer2DModel(
            hidden_size=16, num_attention_heads=2, num_layers=2, ffn_hidden_size=24, in_channels=16,
            out_channels=16, text_in_dim=16, rope_axes_dim=(4, 2, 2),
        ),
    ))  # fmt: skip


def hunyuan_dit() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.HunyuanDiTPipeline(
        vae=vae(), text_encoder=text.bert(), tokenizer=tokenizer(pad="<pad>", length=77),
        text_encoder_2=t5(), tokenizer_2=tokenizer(starts=False, pad="<pad>"),
        scheduler=diffusers.DDPMScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
        transformer=diffusers.HunyuanDiT2DModel(
            sample_size=8, num_layers=4, patch_size=2, attention_head_dim=8, num_attention_heads=2,
            in_channels=4, cross_attention_dim=16, cross_attention_dim_t5=16, pooled_projection_dim=16,
            hidden_size=16, text_len=77, text_len_t5=256, activation_fn="gelu-approximate",
        ),
    ))  # fmt: skip


def ideogram4() -> Any:
    torch.manual_seed(0)

    def transformer() -> Any:
        return diffusers.Ideogram4Transformer2DModel(
            in_channels=16, num_layers=2, attention_head_dim=8, num_attention_heads=2, intermediate_size=24,
            adaln_dim=8, llm_features_dim=13 * 16, mrope_section=(2, 1, 1),
        )  # fmt: skip

    return irregular(diffusers.Ideogram4Pipeline(
        scheduler=flow(), vae=flux2_vae(), text_encoder=text.qwen3_vl(layers=36),
        tokenizer=text.chat_tokenizer(), transformer=transformer(), unconditional_transformer=transformer(),
    ))  # fmt: skip


def kandinsky5() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.Kandinsky5T2IPipeline(
        vae=vae(4, shift=0.1), text_encoder=text.qwen2_5_vl(), tokenizer=text.processor(),
        text_encoder_2=clip(length=77), tokenizer_2=tokenizer(length=77), scheduler=flow(),
        transformer=diffusers.Kandinsky5Transformer3DModel(
            in_visual_dim=4, in_text_dim=16, in_text_dim2=16, time_dim=16, out_visual_dim=4,
            patch_size=(1, 2, 2), model_dim=16, ff_dim=24, num_text_blocks=1, num_visual_blocks=2,
            axes_dims=(1, 1, 2), visual_cond=False, attention_type="regular",
        ),
    )  # fmt: skip
    pipe.prompt_template, pipe.prompt_template_encode_start_idx = "a {}", 1
    pipe.resolutions = [(16, 16)]
    return irregular(pipe)


def lumina() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.LuminaPipeline(
        transformer=diffusers.LuminaNextDiT2DModel(
            sample_size=8, patch_size=2, in_channels=4, hidden_size=16, num_layers=2, num_attention_heads=2,
            num_kv_heads=1, multiple_of=16, ffn_dim_multiplier=None, learn_sigma=True, qk_norm=True,
            cross_attention_dim=16, scaling_factor=1.0,
        ),
        scheduler=flow(), vae=vae(), text_encoder=text.gemma(), tokenizer=tokenizer(pad="<pad>", length=64),
    ))  # fmt: skip


def nucleus() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.NucleusMoEImagePipeline(
        scheduler=flow(), vae=wan_vae("AutoencoderKLQwenImage"), text_encoder=text.qwen3_vl_lm(),
        processor=text.processor(),
        transformer=diffusers.NucleusMoEImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=16, axes_dims_rope=(4, 2, 2), num_experts=2,
            moe_intermediate_dim=16, capacity_factors=[2.0] * 2, dense_moe_strategy="leave_first_block_dense",
        ),
    ))  # fmt: skip


def omnigen() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.OmniGenPipeline(
        vae=vae(levels=4), scheduler=flow(invert_sigmas=True, num_train_timesteps=1),
        tokenizer=tokenizer(pad="<pad>"),
        transformer=diffusers.OmniGenTransformer2DModel(
            hidden_size=16, num_attention_heads=2, num_key_value_heads=2, intermediate_size=24, num_layers=2,
            in_channels=4, time_step_dim=4, vocab_size=64, pad_token_id=0,
            rope_scaling={"long_factor": list(range(1, 5)), "short_factor": list(range(1, 5))},
        ),
    ))  # fmt: skip


def _prx_transformer(**options: Any) -> Any:
    return diffusers.PRXTransformer2DModel(
        patch_size=1, context_in_dim=16, hidden_size=16, mlp_ratio=2.0, num_heads=2, depth=2, axes_dim=[4, 4],
        **options,
    )  # fmt: skip


def prx() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.PRXPipeline(
        scheduler=flow(), vae=vae(4, shift=0.1), text_encoder=text.t5gemma(),
        tokenizer=tokenizer(pad="<pad>"),
        transformer=_prx_transformer(in_channels=4),
    ))  # fmt: skip


def prx_pixel() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.PRXPixelPipeline(
        scheduler=flow(), text_encoder=text.qwen3().model, tokenizer=tokenizer(pad="<pad>"),
        transformer=_prx_transformer(in_channels=3, bottleneck_size=8, resolution_embeds=True),
        prompt_max_tokens=12,
    ))  # fmt: skip


def qwen_image21() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.QwenImage21Pipeline(
        scheduler=flow(use_dynamic_shifting=True), text_encoder=text.qwen3_vl_lm(),
        processor=text.processor(),
        vae=diffusers.AutoencoderKLQwenImage21(
            base_dim=4, z_dim=4, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False],
            latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        transformer=diffusers.QwenImage21Transformer2DModel(
            in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
            context_in_dim=16, axes_dims_rope=(2, 2, 4),
        ),
    ))  # fmt: skip


def bria_fibo2() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.BriaFibo2Pipeline(
        scheduler=flow(use_dynamic_shifting=True), vae=flux2_vae(), text_encoder=text.qwen3_vl_lm(),
        processor=text.processor(),
        transformer=diffusers.BriaFibo2Transformer2DModel(
            in_channels=4, patch_size=2, dim=16, n_layers=2, n_refiner_layers=1, n_heads=2, cap_feat_dim=32,
            injection_layer_ids=(1,), perceiver_num_layers=1, min_num_gist_tokens=4, max_num_gist_tokens=8,
            gist_step=4, gist_min_text_len=4, gist_max_text_len=16, axes_dims=(4, 2, 2),
            axes_lens=(64, 16, 16),
        ),
    )  # fmt: skip
    pipe.text_encoder_out_layers, pipe.prompt_template_encode = ((0, 1), (1, 2)), "{}"
    return irregular(pipe)


class Harmless:
    """Stands in for a safety checker of gigabytes, which looks at pictures and texts alone."""

    def to(self, *_: Any, **__: Any) -> Any:
        return self

    def check_text_safety(self, prompt: str) -> bool:
        return True


def cosmos2() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.Cosmos2TextToImagePipeline(
        tokenizer=tokenizer(starts=False, pad="<pad>"), text_encoder=t5(), vae=wan_vae(),
        scheduler=flow(use_karras_sigmas=True), safety_checker=Harmless(),
        transformer=diffusers.CosmosTransformer3DModel(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=2,
            mlp_ratio=2, text_embed_dim=16, adaln_lora_dim=4, max_size=(4, 16, 16), patch_size=(1, 2, 2),
            rope_scale=(2.0, 1.0, 1.0), concat_padding_mask=True, extra_pos_embed_type="learnable",
        ),
    ))  # fmt: skip
