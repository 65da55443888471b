"""The image models that are known: where each is steered, by the names of diffusers and of ComfyUI.

Data alone: it imports nothing, so that both faces can read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

Patterns = tuple[str, ...]
ABOVE_ONE, ABOVE_ZERO = "above 1", "above 0"


@dataclass(frozen=True)
class Architecture:
    """Where a denoiser is steered.

    name: what people call the models. classes: of the denoiser in diffusers.
    norms: the norms with weights in its blocks; where it has none but those of queries and keys, the outputs
    of attention and feed-forward take their place. attention, feed_forward: of the image stream, and of both
    where a block has one stream. text_stream: what the text half gives, where a block has one. All are
    patterns of names below the denoiser. blocks: its lists of blocks; () in
    UNets, where norms are everywhere.
    comfyui: the norms, or what takes their place, by ComfyUI's names below the diffusion model; () where they
    are not known.
    guidance: the scale from which the model also runs without the prompt: "above 1", "above 0", or the name
    of the argument that it then takes.
    """

    name: str
    classes: Patterns
    norms: Patterns
    attention: Patterns = ()
    feed_forward: Patterns = ()
    text_stream: Patterns = ()
    blocks: Patterns = ("transformer_blocks",)
    comfyui: Patterns = ()
    guidance: str = ABOVE_ONE
    presets: dict[str, Patterns] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for preset in ("norms", "attention", "feed_forward", "text_stream"):
            self.presets.setdefault(preset, getattr(self, preset))


def _below(lists: Sequence[str], *ends: str) -> Patterns:
    return tuple(f"{block}.*.{end}" for block in lists for end in ends)


def _outputs(
    name: str,
    classes: Sequence[str],
    blocks: Sequence[str],
    attention: Sequence[str],
    feed_forward: Sequence[str],
    both: Patterns = (),
    **options: Any,
) -> Architecture:
    """A model without norms of its own; `both` are outputs of attention and feed-forward in one."""
    first, second = _below(blocks[:1], *attention), _below(blocks[:1], *feed_forward)
    if not both:
        first, second = _below(blocks, *attention), _below(blocks, *feed_forward)
    return Architecture(
        name,
        tuple(classes),
        (*first, *second, *both),
        first,
        (*second, *both),
        blocks=tuple(blocks),
        **options,
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
    return _outputs(
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
    _flux("FLUX.1", "FluxTransformer2DModel", comfyui=_FLUX_COMFYUI),
    _flux("Chroma", "ChromaTransformer2DModel", guidance=ABOVE_ONE, comfyui=_FLUX_COMFYUI),
    _flux("Bria", "BriaTransformer2DModel", "BriaFiboTransformer2DModel", guidance=ABOVE_ONE),
    _flux("LongCat-Image", "LongCatImageTransformer2DModel", guidance=ABOVE_ONE),
    _flux("HunyuanImage 2.1", "HunyuanImageTransformer2DModel", guidance=ABOVE_ONE),
    _flux(
        "HunyuanVideo",
        "HunyuanVideoTransformer3DModel",
        "HunyuanVideoFramepackTransformer3DModel",
        comfyui=_FLUX_COMFYUI,
    ),
    _flux("Motif-Video", "MotifVideoTransformer3DModel", guidance=ABOVE_ONE),
    _outputs(
        "Ovis-Image", ("OvisImageTransformer2DModel",), _DOUBLE, _OUT, _FF, _FUSED, text_stream=_FLUX_TEXT
    ),
    _outputs(
        "FLUX.2",
        ("Flux2Transformer2DModel",),
        _DOUBLE,
        _OUT,
        ("ff.linear_out",),
        ("single_transformer_blocks.*.attn.to_out",),
        text_stream=("transformer_blocks.*.attn.to_add_out", "transformer_blocks.*.ff_context.linear_out"),
        comfyui=_FLUX_COMFYUI,
    ),
    _outputs(
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
        _below(_REFINED, *_SANDWICH),
        _below(_REFINED, "attention.to_out.0"),
        _below(_REFINED, "feed_forward.w2"),
        _below(("context_refiner",), *_SANDWICH),
        blocks=_REFINED,
        comfyui=_below(_REFINED, *_SANDWICH),
        guidance=ABOVE_ZERO,
    ),
    Architecture(
        "Lumina 2",
        ("Lumina2Transformer2DModel",),
        _below(_REFINED, "norm1.norm", "norm2", "ffn_norm1", "ffn_norm2"),
        _below(_REFINED, "attn.to_out.0"),
        _below(_REFINED, "feed_forward.linear_2"),
        _below(("context_refiner",), "norm1", "norm2", "ffn_norm1", "ffn_norm2"),
        blocks=_REFINED,
        comfyui=_below(_REFINED, *_SANDWICH),
    ),
    Architecture(
        "Lumina-Next",
        ("LuminaNextDiT2DModel",),
        _below(("layers",), "norm1.norm", "norm2", "ffn_norm1", "ffn_norm2"),
        _below(("layers",), "attn2.to_out.0"),
        _below(("layers",), "feed_forward.linear_2"),
        blocks=("layers",),
    ),
    Architecture(
        "Bria Fibo 2",
        ("BriaFibo2Transformer2DModel",),
        _below(_REFINED, *_SANDWICH),
        _below(_REFINED, "attention.to_out.0"),
        _below(_REFINED, "feed_forward.w2"),
        blocks=_REFINED,
    ),
    Architecture(
        "Ideogram 4",
        ("Ideogram4Transformer2DModel",),
        _below(("layers",), *_SANDWICH),
        _below(("layers",), "attention.to_out.0"),
        _below(("layers",), "feed_forward.w2"),
        blocks=("layers",),
        comfyui=_below(("layers",), *_SANDWICH),
    ),
    Architecture(
        "ERNIE-Image",
        ("ErnieImageTransformer2DModel",),
        _below(("layers",), "adaLN_sa_ln", "adaLN_mlp_ln"),
        _below(("layers",), "self_attention.to_out.0"),
        _below(("layers",), "mlp.linear_fc2"),
        blocks=("layers",),
        comfyui=_below(("layers",), "adaLN_sa_ln", "adaLN_mlp_ln"),
    ),
    Architecture(
        "Krea 2",
        ("Krea2Transformer2DModel",),
        _below(("transformer_blocks",), "norm1", "norm2"),
        _below(("transformer_blocks",), "attn.to_out.0"),
        _below(("transformer_blocks",), "ff.down"),
        ("text_fusion.*.norm1", "text_fusion.*.norm2"),
        comfyui=("blocks.*.prenorm", "blocks.*.postnorm"),
        guidance=ABOVE_ZERO,
    ),
    _outputs(
        "Qwen-Image",
        ("QwenImageTransformer2DModel",),
        ("transformer_blocks",),
        _OUT,
        ("img_mlp.net.2",),
        text_stream=("transformer_blocks.*.attn.to_add_out", "transformer_blocks.*.txt_mlp.net.2"),
        comfyui=("transformer_blocks.*.attn.to_out.0", "transformer_blocks.*.img_mlp.net.2"),
        guidance="true_cfg_scale",
    ),
    _outputs(
        "Qwen-Image 2.1", ("QwenImage21Transformer2DModel",), ("transformer_blocks",), _OUT, ("img_mlp.out",)
    ),
    _outputs(
        "NucleusMoE-Image",
        ("NucleusMoEImageTransformer2DModel",),
        ("transformer_blocks",),
        _OUT,
        ("img_mlp.net.2", "img_mlp.shared_expert.net.2"),
    ),
    _outputs(
        "SANA",
        ("SanaTransformer2DModel", "SanaVideoTransformer3DModel"),
        ("transformer_blocks",),
        _TWO_OUT,
        ("ff.conv_point",),
    ),
    _outputs(
        "Wan",
        ("WanTransformer3DModel", "WanVACETransformer3DModel", "SkyReelsV2Transformer3DModel"),
        ("blocks",),
        _TWO_OUT,
        ("ffn.net.2",),
        comfyui=("blocks.*.self_attn.o", "blocks.*.cross_attn.o", "blocks.*.ffn.2"),
    ),
    _outputs(
        "AuraFlow",
        ("AuraFlowTransformer2DModel",),
        ("joint_transformer_blocks", "single_transformer_blocks"),
        _OUT,
        ("ff.out_projection",),
        text_stream=_below(("joint_transformer_blocks",), "attn.to_add_out", "ff_context.out_projection"),
    ),
    _outputs("PRX", ("PRXTransformer2DModel",), ("blocks",), ("attention.to_out.0",), ("down_proj",)),
    _outputs(
        "CogView 3 and 4, GLM-Image",
        ("CogView3PlusTransformer2DModel", "CogView4Transformer2DModel", "GlmImageTransformer2DModel"),
        ("transformer_blocks",),
        ("attn1.to_out.0",),
        _FF,
    ),
    Architecture(
        "CogVideoX",
        ("CogVideoXTransformer3DModel", "ConsisIDTransformer3DModel"),
        _below(("transformer_blocks",), "norm1.norm", "norm2.norm"),
        _below(("transformer_blocks",), "attn1.to_out.0"),
        _below(("transformer_blocks",), "ff.net.2"),
    ),
    Architecture(
        "Hunyuan-DiT",
        ("HunyuanDiT2DModel",),
        _below(("blocks",), "norm1.norm", "norm2", "norm3"),
        _below(("blocks",), *_TWO_OUT),
        _below(("blocks",), "ff.net.2"),
        blocks=("blocks",),
    ),
    _outputs(
        "PixArt, LTX-Video, Cosmos, Allegro and Latte",
        ("PixArtTransformer2DModel", "LTXVideoTransformer3DModel", "CosmosTransformer3DModel",
         "AllegroTransformer3DModel", "LatteTransformer3DModel"),
        ("transformer_blocks",),
        _TWO_OUT,
        _FF,
    ),
    _outputs(
        "Mochi",
        ("MochiTransformer3DModel",),
        ("transformer_blocks",),
        ("attn1.to_out.0",),
        _FF,
        text_stream=("transformer_blocks.*.attn1.to_add_out", "transformer_blocks.*.ff_context.net.2"),
    ),
    _outputs(
        "Kandinsky 5",
        ("Kandinsky5Transformer3DModel",),
        ("visual_transformer_blocks",),
        ("self_attention.out_layer", "cross_attention.out_layer"),
        ("feed_forward.out_layer",),
        text_stream=_below(
            ("text_transformer_blocks",), "self_attention.out_layer", "feed_forward.out_layer"
        ),
    ),
    Architecture(
        "OmniGen",
        ("OmniGenTransformer2DModel",),
        _below(("layers",), "input_layernorm", "post_attention_layernorm"),
        _below(("layers",), "self_attn.to_out.0"),
        _below(("layers",), "mlp.down_proj"),
        blocks=("layers",),
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
