"""The image models that are known, one entry each."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from lineas.architectures.architecture import (
    ABOVE_ZERO,
    ALWAYS,
    Architecture,
    Patterns,
    below,
    outputs,
)
from lineas.architectures.flux_kin import FLUX_KIN, TEXT_STREAM

_SANDWICH = ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2")
_LUMINA = ("norm1.norm", "norm2", "ffn_norm1", "ffn_norm2")
_REFINED = ("noise_refiner", "layers")
_HIDREAM = ("double_stream_blocks", "single_stream_blocks")
_OUT, _FF = ("attn.to_out.0",), ("ff.net.2",)
_TWO_OUT = ("attn1.to_out.0", "attn2.to_out.0")


def _two_attentions(name: str, *classes: str, comfyui: Patterns = ()) -> Architecture:
    return outputs(name, classes, ("transformer_blocks",), _TWO_OUT, _FF, comfyui=comfyui)


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        "Stable Diffusion 1, 2 and XL",
        ("UNet2DConditionModel", "UNetMotionModel", "UNet3DConditionModel"),
        ("*norm*",),
        ("*attentions.*norm*",),
        blocks=(),
        presets={"resnets": ("*resnets.*norm*",)},
    ),
    outputs(
        "Kandinsky 3",
        ("Kandinsky3UNet",),
        ("down_blocks", "up_blocks"),
        ("attentions.*.attention.to_out.0",),
        ("attentions.*.feed_forward.2", "resnets_*.resnet_blocks.3.projection"),
    ),
    *FLUX_KIN,
    outputs(
        "Stable Diffusion 3",
        ("SD3Transformer2DModel",),
        ("transformer_blocks",),
        ("attn.to_out.0", "attn2.to_out.0"),
        _FF,
        text_stream=TEXT_STREAM,
        comfyui=("joint_blocks.*.x_block.attn.proj", "joint_blocks.*.x_block.mlp.fc2"),
    ),
    Architecture(
        "Z-Image",
        ("ZImageTransformer2DModel",),
        below(_REFINED, *_SANDWICH),
        below(_REFINED, "attention.to_out.0"),
        below(_REFINED, "feed_forward.w2"),
        below(("context_refiner",), *_SANDWICH),
        blocks=_REFINED,
        comfyui=below(_REFINED, *_SANDWICH),
        guidance=ABOVE_ZERO,
    ),
    Architecture(
        "Lumina 2",
        ("Lumina2Transformer2DModel",),
        below(_REFINED, *_LUMINA),
        below(_REFINED, "attn.to_out.0"),
        below(_REFINED, "feed_forward.linear_2"),
        below(("context_refiner",), "norm1", "norm2", "ffn_norm1", "ffn_norm2"),
        blocks=_REFINED,
        comfyui=below(_REFINED, *_SANDWICH),
    ),
    Architecture(
        "Lumina-Next",
        ("LuminaNextDiT2DModel",),
        below(("layers",), *_LUMINA),
        below(("layers",), "attn2.to_out.0"),
        below(("layers",), "feed_forward.linear_2"),
        blocks=("layers",),
    ),
    Architecture(
        "Bria Fibo 2",
        ("BriaFibo2Transformer2DModel",),
        below(_REFINED, *_SANDWICH),
        below(_REFINED, "attention.to_out.0"),
        below(_REFINED, "feed_forward.w2"),
        blocks=_REFINED,
    ),
    Architecture(
        "Ideogram 4",
        ("Ideogram4Transformer2DModel",),
        below(("layers",), *_SANDWICH),
        below(("layers",), "attention.to_out.0"),
        below(("layers",), "feed_forward.w2"),
        blocks=("layers",),
        comfyui=below(("layers",), *_SANDWICH),
        guidance=ALWAYS,
        least=1.0,
    ),
    Architecture(
        "ERNIE-Image",
        ("ErnieImageTransformer2DModel",),
        below(("layers",), "adaLN_sa_ln", "adaLN_mlp_ln"),
        below(("layers",), "self_attention.to_out.0"),
        below(("layers",), "mlp.linear_fc2"),
        blocks=("layers",),
        comfyui=below(("layers",), "adaLN_sa_ln", "adaLN_mlp_ln"),
        sequence_first=below(("layers",), "adaLN_*", "mlp.*"),
    ),
    Architecture(
        "Krea 2",
        ("Krea2Transformer2DModel",),
        below(("transformer_blocks",), "norm1", "norm2"),
        below(("transformer_blocks",), "attn.to_out.0"),
        below(("transformer_blocks",), "ff.down"),
        ("text_fusion.*.norm1", "text_fusion.*.norm2"),
        comfyui=("blocks.*.prenorm", "blocks.*.postnorm"),
        guidance=ABOVE_ZERO,
    ),
    outputs(
        "Qwen-Image",
        ("QwenImageTransformer2DModel",),
        ("transformer_blocks",),
        _OUT,
        ("img_mlp.net.2",),
        text_stream=("transformer_blocks.*.attn.to_add_out", "transformer_blocks.*.txt_mlp.net.2"),
        comfyui=("transformer_blocks.*.attn.to_out.0", "transformer_blocks.*.img_mlp.net.2"),
        guidance="true_cfg_scale",
    ),
    outputs(
        "Qwen-Image 2.1",
        ("QwenImage21Transformer2DModel",),
        ("transformer_blocks",),
        _OUT,
        ("img_mlp.out",),
        guidance="true_cfg_scale",
    ),
    outputs(
        "NucleusMoE-Image",
        ("NucleusMoEImageTransformer2DModel",),
        ("transformer_blocks",),
        _OUT,
        ("img_mlp.net.2", "img_mlp.shared_expert.net.2"),
    ),
    outputs(
        "HiDream-I1",
        ("HiDreamImageTransformer2DModel",),
        _HIDREAM,
        ("block.attn1.to_out",),
        ("block.ff_i.w2", "block.ff_i.shared_experts.w2"),
        text_stream=below(("double_stream_blocks",), "block.attn1.to_out_t", "block.ff_t.w2"),
        comfyui=below(_HIDREAM, "block.attn1.to_out", "block.ff_i.shared_experts.w2"),
    ),
    outputs(
        "SANA",
        ("SanaTransformer2DModel", "SanaVideoTransformer3DModel"),
        ("transformer_blocks",),
        _TWO_OUT,
        ("ff.conv_point",),
    ),
    outputs(
        "Wan",
        ("WanTransformer3DModel", "WanVACETransformer3DModel", "SkyReelsV2Transformer3DModel"),
        ("blocks",),
        _TWO_OUT,
        ("ffn.net.2",),
        comfyui=("blocks.*.self_attn.o", "blocks.*.cross_attn.o", "blocks.*.ffn.2"),
    ),
    outputs(
        "AuraFlow",
        ("AuraFlowTransformer2DModel",),
        ("joint_transformer_blocks", "single_transformer_blocks"),
        _OUT,
        ("ff.out_projection",),
        text_stream=below(("joint_transformer_blocks",), "attn.to_add_out", "ff_context.out_projection"),
        comfyui=(
            *below(("double_layers",), "attn.w2o", "mlpX.c_proj"),
            *below(("single_layers",), "attn.w1o", "mlp.c_proj"),
        ),
    ),
    outputs(
        "PRX", ("PRXTransformer2DModel",), ("blocks",), ("attention.to_out.0",), ("down_proj",), least=1.0
    ),
    outputs(
        "CogView 3 and 4, GLM-Image",
        ("CogView3PlusTransformer2DModel", "CogView4Transformer2DModel", "GlmImageTransformer2DModel"),
        ("transformer_blocks",),
        ("attn1.to_out.0",),
        _FF,
    ),
    Architecture(
        "CogVideoX",
        ("CogVideoXTransformer3DModel", "ConsisIDTransformer3DModel"),
        below(("transformer_blocks",), "norm1.norm", "norm2.norm"),
        below(("transformer_blocks",), "attn1.to_out.0"),
        below(("transformer_blocks",), "ff.net.2"),
    ),
    Architecture(
        "Hunyuan-DiT",
        ("HunyuanDiT2DModel",),
        below(("blocks",), "norm1.norm", "norm2", "norm3"),
        below(("blocks",), *_TWO_OUT),
        below(("blocks",), "ff.net.2"),
        blocks=("blocks",),
        comfyui=below(("blocks",), "norm1", "norm2", "norm3"),
    ),
    _two_attentions(
        "PixArt",
        "PixArtTransformer2DModel",
        comfyui=below(("blocks",), "attn.proj", "cross_attn.proj", "mlp.fc2"),
    ),
    _two_attentions(
        "Cosmos",
        "CosmosTransformer3DModel",
        comfyui=below(("blocks",), "self_attn.output_proj", "cross_attn.output_proj", "mlp.layer2"),
    ),
    _two_attentions(
        "LTX-Video, Allegro and Latte",
        "LTXVideoTransformer3DModel",
        "AllegroTransformer3DModel",
        "LatteTransformer3DModel",
    ),
    outputs(
        "Mochi",
        ("MochiTransformer3DModel",),
        ("transformer_blocks",),
        ("attn1.to_out.0",),
        _FF,
        text_stream=("transformer_blocks.*.attn1.to_add_out", "transformer_blocks.*.ff_context.net.2"),
    ),
    outputs(
        "Kandinsky 5",
        ("Kandinsky5Transformer3DModel",),
        ("visual_transformer_blocks",),
        ("self_attention.out_layer", "cross_attention.out_layer"),
        ("feed_forward.out_layer",),
        text_stream=below(
            ("text_transformer_blocks",), "self_attention.out_layer", "feed_forward.out_layer"
        ),
        comfyui=below(
            ("visual_transformer_blocks",),
            "self_attention.out_layer",
            "cross_attention.out_layer",
            "feed_forward.out_layer",
        ),
    ),
    Architecture(
        "OmniGen",
        ("OmniGenTransformer2DModel",),
        below(("layers",), "input_layernorm", "post_attention_layernorm"),
        below(("layers",), "self_attn.to_out.0"),
        below(("layers",), "mlp.down_proj"),
        blocks=("layers",),
        guidance=ALWAYS,
        least=1.0,
    ),
    Architecture(
        "OmniGen 2, in ComfyUI alone",
        (),
        below(_REFINED, *_LUMINA),
        below(_REFINED, "attn.to_out.0"),
        below(_REFINED, "feed_forward.linear_2"),
        blocks=_REFINED,
        comfyui=below(_REFINED, *_LUMINA),
    ),
)  # fmt: skip


def architecture_of(denoiser: object) -> Architecture | None:
    """The entry of a denoiser of diffusers, by the name of its class; None for classes that are not known."""
    kinds = {kind.__name__ for kind in type(denoiser).__mro__}
    return next((each for each in ARCHITECTURES if kinds & set(each.classes)), None)


def comfyui_sites(names: Iterable[str]) -> Patterns:
    """The patterns for a diffusion model of ComfyUI with modules of these names; () where none is known."""
    held = list(names)
    found = (
        each.comfyui
        for each in ARCHITECTURES
        if each.comfyui and all(any(fnmatchcase(name, pattern) for name in held) for pattern in each.comfyui)
    )
    return next(found, ())
