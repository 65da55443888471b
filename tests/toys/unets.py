"""Tiny random pipelines around UNets beyond those of Stable Diffusion."""

from __future__ import annotations

from typing import Any

import torch
from toys.pipelines import clip, diffusers, euler, irregular, t5, tokenizer, unet, vae


def lcm() -> Any:
    """Takes its guidance as an input."""
    torch.manual_seed(0)
    return irregular(diffusers.LatentConsistencyModelPipeline(
        vae=vae(), text_encoder=clip(), tokenizer=tokenizer(), unet=unet(time_cond_proj_dim=8),
        scheduler=diffusers.LCMScheduler(original_inference_steps=10), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    ))  # fmt: skip


class _WithPositions:
    """The tokenizer of ChatGLM also tells the positions."""

    def __init__(self) -> None:
        self.tokenizer = tokenizer(pad="<pad>")

    def __call__(self, *args: Any, **options: Any) -> Any:
        made = self.tokenizer(*args, **options)
        made["position_ids"] = (made["attention_mask"].cumsum(1) - 1).clamp_min(0)
        return made


def kolors() -> Any:
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    torch.manual_seed(0)
    encoder = ChatGLMModel(
        ChatGLMConfig(
            num_layers=2, padded_vocab_size=64, hidden_size=16, ffn_hidden_size=24, kv_channels=8,
            num_attention_heads=2, seq_length=64, multi_query_attention=True, multi_query_group_num=1,
            add_qkv_bias=True, rmsnorm=True, original_rope=True,
        ),
        empty_init=False,
    )  # fmt: skip
    for weight in encoder.parameters():  # the class leaves them unset
        torch.nn.init.normal_(weight, std=0.3) if weight.ndim > 1 else torch.nn.init.ones_(weight)
    denoiser = unet(
        cross_attention_dim=16, use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 * 4 + 16,
    )  # fmt: skip
    return irregular(diffusers.KolorsPipeline(
        vae=vae(), text_encoder=encoder, tokenizer=_WithPositions(), unet=denoiser, scheduler=euler()
    ))  # fmt: skip


def deepfloyd() -> Any:
    """Denoises pixels."""
    torch.manual_seed(0)
    denoiser = diffusers.UNet2DConditionModel(
        sample_size=8, layers_per_block=1, block_out_channels=[16, 32], in_channels=3, out_channels=6,
        down_block_types=["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"],
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", norm_num_groups=4,
        up_block_types=["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"], cross_attention_dim=32,
        encoder_hid_dim=16, attention_head_dim=8, addition_embed_type="text", addition_embed_type_num_heads=2,
        cross_attention_norm="group_norm", resnet_time_scale_shift="scale_shift", act_fn="gelu",
    )  # fmt: skip
    return irregular(diffusers.IFPipeline(
        tokenizer=tokenizer(starts=False, length=77, pad="<pad>"), text_encoder=t5(), unet=denoiser,
        scheduler=diffusers.DDPMScheduler(
            beta_schedule="squaredcos_cap_v2", thresholding=True, variance_type="learned_range"
        ),
        safety_checker=None, feature_extractor=None, watermarker=None, requires_safety_checker=False,
    ))  # fmt: skip


def kandinsky3() -> Any:
    torch.manual_seed(0)
    return irregular(diffusers.Kandinsky3Pipeline(
        tokenizer=tokenizer(starts=False, length=128, pad="<pad>"), text_encoder=t5(),
        unet=diffusers.Kandinsky3UNet(
            in_channels=4, time_embedding_dim=4, groups=2, attention_head_dim=4, layers_per_block=3,
            block_out_channels=(16, 32), cross_attention_dim=4, encoder_hid_dim=16,
        ),
        scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        movq=diffusers.VQModel(
            block_out_channels=[32, 32], down_block_types=["DownEncoderBlock2D"] * 2, latent_channels=4,
            norm_num_groups=8, norm_type="spatial", num_vq_embeddings=4, vq_embed_dim=4,
            up_block_types=["AttnUpDecoderBlock2D"] * 2,
        ),
    ))  # fmt: skip
