"""The image models that are known, one entry each."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from lineas.architectures.architecture import (
    ABOVE_ONE,
    ABOVE_ZERO,
    ALWAYS,
    GUIDER,
    Architecture,
    Patterns,
    below,
    outputs,
)

_DOUBLE = ("transformer_blocks", "single_transformer_blocks")
_FUSED = ("single_transformer_blocks.*.proj_out",)
_FLUX_TEXT = ("transformer_blocks.*.attn.to_add_out", "transformer_blocks.*.ff_context.net.2")
_FLUX_COMFYUI = ("double_blocks.*.img_attn.proj", "double_blocks.*.img_mlp.2", "single_blocks.*.linear2")
_SANDWICH = ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2")
_REFINED = ("noise_refiner", "layers")
_OUT, _FF = ("attn.to_out.0",), ("ff.net.2",)
_TWO_OUT = ("attn1.to_out.0", "attn2.to_out.0")


def _flux(name: str, *classes: str, guidance: str = "true_cfg_scale", comfyui: Patterns = ()) -> Architecture:
    return outputs(
        name, classes, _DOUBLE, _OUT, _FF, _FUSED, text_stream=_FLUX_TEXT, comfyui=comfyui, guidance=guidance
    )


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
    _flux("FLUX.1", "FluxTransformer2DModel", comfyui=_FLUX_COMFYUI),
    _flux("Chroma", "ChromaTransformer2DModel", guidance=ABOVE_ONE, comfyui=_FLUX_COMFYUI),
    _flux("Bria", "BriaTransformer2DModel", "BriaFiboTransformer2DModel", guidance=ABOVE_ONE),
    _flux("LongCat-Image", "LongCatImageTransformer2DModel", guidance=ABOVE_ONE),
    _flux("HunyuanImage 2.1", "HunyuanImageTransformer2DModel", guidance=GUIDER),
    _flux(
        "HunyuanVideo",
        "HunyuanVideoTransformer3DModel",
        "HunyuanVideoFramepackTransformer3DModel",
        comfyui=_FLUX_COMFYUI,
    ),
    _flux("Motif-Video", "MotifVideoTransformer3DModel", guidance=ABOVE_ONE),
    outputs(
        "Ovis-Image", ("OvisImageTransformer2DModel",), _DOUBLE, _OUT, _FF, _FUSED, text_stream=_FLUX_TEXT
    ),
    outputs(
        "FLUX.2",
        ("Flux2Transformer2DModel",),
        _DOUBLE,
        _OUT,
        ("ff.linear_out",),
        ("single_transformer_blocks.*.attn.to_out",),
        text_stream=("transformer_blocks.*.attn.to_add_out", "transformer_blocks.*.ff_context.linear_out"),
        comfyui=_FLUX_COMFYUI,
    ),
    outputs(
        "Stable Diffusion 3",
        ("SD3Transformer2DModel",),
        ("transformer_blocks",),
        ("attn.to_out.0", "attn2.to_out.0"),
        _FF,
        text_stream=_FLUX_TEXT,
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
        below(_REFINED, "norm1.norm", "norm2", "ffn_norm1", "ffn_norm2"),
        below(_REFINED, "attn.to_out.0"),
        below(_REFINED, "feed_forward.linear_2"),
        below(("context_refiner",), "norm1", "norm2", "ffn_norm1", "ffn_norm2"),
        blocks=_REFINED,
        comfyui=below(_REFINED, *_SANDWICH),
    ),
    Architecture(
        "Lumina-Next",
        ("LuminaNextDiT2DModel",),
        below(("layers",), "norm1.norm", "norm2", "ffn_norm1", "ffn_norm2"),
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
        ("double_stream_blocks", "single_stream_blocks"),
        ("block.attn1.to_out",),
        ("block.ff_i.w2", "block.ff_i.shared_experts.w2"),
        text_stream=below(("double_stream_blocks",), "block.attn1.to_out_t", "block.ff_t.w2"),
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
    ),
    outputs(
        "PixArt, LTX-Video, Cosmos, Allegro and Latte",
        ("PixArtTransformer2DModel", "LTXVideoTransformer3DModel", "CosmosTransformer3DModel",
         "AllegroTransformer3DModel", "LatteTransformer3DModel"),
        ("transformer_blocks",),
        _TWO_OUT,
        _FF,
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
