"""Tiny random weights of diffusers' own pipeline classes, with tokenizers built in code, all offline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

diffusers = pytest.importorskip("diffusers")
tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

SOURCE = ["a red house at night", "a boat at night", "a dark lake by night", "a cat at night"]
TARGET = ["a red house", "a boat on a lake", "a lake", "a cat on the road by day"]
PRESERVE = ["a tree", "two dogs on the road"]
WORDS = sorted({word for prompt in (*SOURCE, *TARGET, *PRESERVE) for word in prompt.split()})
SPECIAL = ["<pad>", "<s>", "</s>"]
LENGTH = 12
"""Tokens of a padded prompt."""


def tokenizer(starts: bool = True, length: int = LENGTH, pad: str = "</s>") -> Any:
    """One token per word. CLIP's start every prompt with a token and pad with the end token, T5's do not."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<pad>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>" if starts else "$A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token=pad, model_max_length=length
    )


def clip(projects: bool = False, width: int = 16, length: int = LENGTH) -> Any:
    """A CLIP text encoder of two layers."""
    config = transformers.CLIPTextConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=width,
        intermediate_size=24,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=length,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    return (transformers.CLIPTextModelWithProjection if projects else transformers.CLIPTextModel)(config)


def t5() -> Any:
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=len(SPECIAL) + len(WORDS), d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2,
            pad_token_id=0, eos_token_id=2, dropout_rate=0.0,
        )
    )  # fmt: skip


def vae(channels: int = 4, shift: float | None = None, levels: int = 2) -> Any:
    """Doubles height and width; more `levels` double them as often again."""
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(8,) * levels,
        latent_channels=channels,
        norm_num_groups=2,
        sample_size=16,
        shift_factor=shift,
        use_quant_conv=shift is None,
        use_post_quant_conv=shift is None,
    )


def unet(width: int = 16, **options: Any) -> Any:
    """[b, 4, 8, 8] -> the same; the second level is twice as wide and attends to the prompt."""
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(width, 2 * width),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **{"cross_attention_dim": 16, **options},
    )


def euler(**options: Any) -> Any:
    return diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing",
        steps_offset=1, **options,
    )  # fmt: skip


def sd1(scheduler: Any = None, **options: Any) -> Any:
    torch.manual_seed(0)
    return irregular(
        diffusers.StableDiffusionPipeline(
            vae=vae(),
            text_encoder=clip(),
            tokenizer=tokenizer(),
            unet=unet(**options),
            scheduler=scheduler or euler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def sd2() -> Any:
    """Predicts velocities; its projections around attention are linear layers."""
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing",
        steps_offset=1, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False,
    )  # fmt: skip
    return sd1(scheduler, use_linear_projection=True)


def sdxl() -> Any:
    torch.manual_seed(0)
    return irregular(
        diffusers.StableDiffusionXLPipeline(
            vae=vae(),
            text_encoder=clip(),
            text_encoder_2=clip(projects=True),
            tokenizer=tokenizer(),
            tokenizer_2=tokenizer(pad="<pad>"),
            unet=unet(
                width=24,
                cross_attention_dim=32,
                use_linear_projection=True,
                transformer_layers_per_block=(1, 2),
                addition_embed_type="text_time",
                addition_time_embed_dim=4,
                projection_class_embeddings_input_dim=6 * 4 + 16,
            ),
            scheduler=euler(),
            add_watermarker=False,
        )
    )


def flux() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=vae(4, shift=0.1),
        text_encoder=clip(),
        tokenizer=tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=tokenizer(starts=False, pad="<pad>"),
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8),
        ),
    )  # fmt: skip
    return irregular(pipe)


def sd3() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=16,
            pooled_projection_dim=32, pos_embed_max_size=8,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(4, shift=0.1),
        text_encoder=clip(projects=True),
        tokenizer=tokenizer(),
        text_encoder_2=clip(projects=True),
        tokenizer_2=tokenizer(pad="<pad>"),
        text_encoder_3=None,
        tokenizer_3=None,
    )  # fmt: skip
    return irregular(pipe)


def pixart() -> Any:
    torch.manual_seed(0)
    pipe = diffusers.PixArtSigmaPipeline(
        tokenizer=tokenizer(starts=False, pad="<pad>"),
        text_encoder=t5(),
        vae=vae(),
        transformer=diffusers.PixArtTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2,
            cross_attention_dim=16, sample_size=8, patch_size=2, caption_channels=16,
            use_additional_conditions=False,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )  # fmt: skip
    return irregular(pipe)


PIPELINES: dict[str, Callable[[], Any]] = {"SD1": sd1, "SD2": sd2, "SDXL": sdxl}
PIPELINES |= {"FLUX": flux, "SD3": sd3, "PixArt": pixart}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "FLUX": {"max_sequence_length": LENGTH, "height": 16, "width": 16},
    "PixArt": {"max_sequence_length": LENGTH, "use_resolution_binning": False, "clean_caption": False},
}
"""What these models are called with besides the usual, being as small as they are."""


def irregular(pipe: Any) -> Any:
    """Weights that are not those of a fresh norm or a zeroed output, so that everything has an effect."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name in ("unet", "transformer", "transformer_2", "text_encoder", "text_encoder_2"):
            for parameter in _parameters(getattr(pipe, name, None)):
                parameter.nan_to_num_(0.0, 0.0, 0.0).clamp_(-10, 10)  # some classes leave weights unset
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _parameters(module: nn.Module | None) -> Iterable[nn.Parameter]:
    return module.parameters() if module is not None else ()


def draw(pipe: Any, prompts: list[str] | None = None, seed: int = 0, **options: Any) -> torch.Tensor:
    """[n, ...] latents of prompts, each from its own noise."""
    prompts = prompts or SOURCE[:2]
    noise = [torch.Generator().manual_seed(seed + i) for i in range(len(prompts))]
    options = {"num_inference_steps": 1, "guidance_scale": 0.0, "output_type": "latent", **options}
    return pipe(prompt=prompts, generator=noise, **options).images
