"""FLUX and the image models that are built as it is: blocks of two streams, then blocks of one."""

from __future__ import annotations

from lineas.architectures.architecture import ABOVE_ONE, GUIDER, Architecture, Patterns, outputs

TEXT_STREAM = ("transformer_blocks.*.attn.to_add_out", "transformer_blocks.*.ff_context.net.2")
"""What the text half gives, as most models of two streams call it."""
_DOUBLE = ("transformer_blocks", "single_transformer_blocks")
_OUT, _FF, _FUSED = ("attn.to_out.0",), ("ff.net.2",), ("single_transformer_blocks.*.proj_out",)
_COMFYUI = ("double_blocks.*.img_attn.proj", "double_blocks.*.img_mlp.2", "single_blocks.*.linear2")


def _flux(name: str, *classes: str, guidance: str = "true_cfg_scale", comfyui: Patterns = ()) -> Architecture:
    return outputs(
        name, classes, _DOUBLE, _OUT, _FF, _FUSED, text_stream=TEXT_STREAM, comfyui=comfyui, guidance=guidance
    )


FLUX_KIN: tuple[Architecture, ...] = (
    _flux("FLUX.1", "FluxTransformer2DModel", comfyui=_COMFYUI),
    _flux("Chroma", "ChromaTransformer2DModel", guidance=ABOVE_ONE, comfyui=_COMFYUI),
    _flux("Bria", "BriaTransformer2DModel", "BriaFiboTransformer2DModel", guidance=ABOVE_ONE),
    _flux("LongCat-Image", "LongCatImageTransformer2DModel", guidance=ABOVE_ONE, comfyui=_COMFYUI),
    _flux("HunyuanImage 2.1", "HunyuanImageTransformer2DModel", guidance=GUIDER, comfyui=_COMFYUI),
    _flux(
        "HunyuanVideo",
        "HunyuanVideoTransformer3DModel",
        "HunyuanVideoFramepackTransformer3DModel",
        comfyui=_COMFYUI,
    ),
    _flux("Motif-Video", "MotifVideoTransformer3DModel", guidance=ABOVE_ONE),
    _flux(
        "Ovis-Image",
        "OvisImageTransformer2DModel",
        guidance=ABOVE_ONE,
        comfyui=(
            "double_blocks.*.img_attn.proj",
            "double_blocks.*.img_mlp.down_proj",
            "single_blocks.*.linear2",
        ),
    ),
    outputs(
        "FLUX.2",
        ("Flux2Transformer2DModel",),
        _DOUBLE,
        _OUT,
        ("ff.linear_out",),
        ("single_transformer_blocks.*.attn.to_out",),
        text_stream=("transformer_blocks.*.attn.to_add_out", "transformer_blocks.*.ff_context.linear_out"),
        comfyui=_COMFYUI,
    ),
)
"""One entry each, in the order of `ARCHITECTURES`."""
