"""What ComfyUI calls the modules of a diffusion transformer of diffusers, where both have the same module.

Queries, keys and values that ComfyUI holds in one layer have no name of their own there. UNets are not here:
all loaders know them by the names of diffusers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_DOUBLE, _SINGLE = "transformer_blocks.*.", "single_transformer_blocks.*."


def _below(before: str, after: str, names: Mapping[str, str]) -> dict[str, str]:
    return {f"{before}{old}": f"{after}{new}" for old, new in names.items()}


_FLUX = {
    **_below(_DOUBLE, "double_blocks.*.", {
        "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj",
        "ff.net.0.proj": "img_mlp.0",
        "ff.net.2": "img_mlp.2",
        "ff_context.net.0.proj": "txt_mlp.0",
        "ff_context.net.2": "txt_mlp.2",
        "ff.linear_out": "img_mlp.2",
        "ff_context.linear_out": "txt_mlp.2",
    }),
    **_below(_SINGLE, "single_blocks.*.", {"proj_out": "linear2", "attn.to_out": "linear2"}),
}  # fmt: skip
_SD3 = _below(_DOUBLE, "joint_blocks.*.", {
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn2.to_out.0": "x_block.attn2.proj",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
})  # fmt: skip
_SANDWICH = {name: name for name in ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2")}
_Z_IMAGE = {
    f"{blocks}.*.{old}": f"{blocks}.*.{new}"
    for blocks in ("noise_refiner", "context_refiner", "layers")
    for old, new in {
        **_SANDWICH,
        "attention.to_out.0": "attention.out",
        "attention.norm_q": "attention.q_norm",
        "attention.norm_k": "attention.k_norm",
        "feed_forward.w1": "feed_forward.w1",
        "feed_forward.w2": "feed_forward.w2",
        "feed_forward.w3": "feed_forward.w3",
    }.items()
}
_LUMINA_2 = {
    f"{blocks}.*.{old}": f"{blocks}.*.{new}"
    for blocks in ("noise_refiner", "context_refiner", "layers")
    for old, new in {
        ("norm1" if blocks == "context_refiner" else "norm1.norm"): "attention_norm1",
        "norm2": "attention_norm2",
        "ffn_norm1": "ffn_norm1",
        "ffn_norm2": "ffn_norm2",
        "attn.to_out.0": "attention.out",
        "feed_forward.linear_2": "feed_forward.w2",
    }.items()
}
_QWEN = _below(_DOUBLE, _DOUBLE, {
    name: name
    for name in (
        *(f"attn.{each}" for each in ("to_q", "to_k", "to_v", "to_out.0", "norm_q", "norm_k")),
        *(f"attn.{each}" for each in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")),
        *(f"{half}_mlp.{each}" for half in ("img", "txt") for each in ("net.0.proj", "net.2")),
    )
})  # fmt: skip
_WAN_ATTENTION = {
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "o",
    "norm_q": "norm_q",
    "norm_k": "norm_k",
}
_WAN = _below("blocks.*.", "blocks.*.", {
    **_below("attn1.", "self_attn.", _WAN_ATTENTION),
    **_below("attn2.", "cross_attn.", _WAN_ATTENTION),
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "norm2": "norm3",
})  # fmt: skip
_PIXART = _below(_DOUBLE, "blocks.*.", {
    "attn1.to_out.0": "attn.proj",
    "attn2.to_out.0": "cross_attn.proj",
    "attn2.to_q": "cross_attn.q_linear",
    "ff.net.0.proj": "mlp.fc1",
    "ff.net.2": "mlp.fc2",
})  # fmt: skip
_AURAFLOW = {
    **_below("joint_transformer_blocks.*.", "double_layers.*.", {
        "attn.to_out.0": "attn.w2o",
        "attn.to_add_out": "attn.w1o",
        "ff.out_projection": "mlpX.c_proj",
        "ff_context.out_projection": "mlpC.c_proj",
    }),
    **_below(_SINGLE, "single_layers.*.", {
        "attn.to_out.0": "attn.w1o",
        "ff.out_projection": "mlp.c_proj",
    }),
}  # fmt: skip
_KREA_2 = _below(_DOUBLE, "blocks.*.", {
    "attn.to_q": "attn.wq",
    "attn.to_k": "attn.wk",
    "attn.to_v": "attn.wv",
    "attn.to_out.0": "attn.wo",
    "ff.gate": "mlp.gate",
    "ff.up": "mlp.up",
    "ff.down": "mlp.down",
})  # fmt: skip
_IDEOGRAM_4 = _below("layers.*.", "layers.*.", {
    **_SANDWICH,
    "attention.to_out.0": "attention.o",
    "feed_forward.w2": "feed_forward.w2",
})  # fmt: skip
_ERNIE = _below("layers.*.", "layers.*.", {
    name: name for name in ("adaLN_sa_ln", "adaLN_mlp_ln", "self_attention.to_out.0", "mlp.linear_fc2")
})  # fmt: skip

NAMES: dict[str, dict[str, str]] = {
    "FluxTransformer2DModel": _FLUX,
    "Flux2Transformer2DModel": _FLUX,
    "ChromaTransformer2DModel": _FLUX,
    "HunyuanVideoTransformer3DModel": _FLUX,
    "SD3Transformer2DModel": _SD3,
    "ZImageTransformer2DModel": _Z_IMAGE,
    "Lumina2Transformer2DModel": _LUMINA_2,
    "QwenImageTransformer2DModel": _QWEN,
    "WanTransformer3DModel": _WAN,
    "PixArtTransformer2DModel": _PIXART,
    "AuraFlowTransformer2DModel": _AURAFLOW,
    "Krea2Transformer2DModel": _KREA_2,
    "Ideogram4Transformer2DModel": _IDEOGRAM_4,
    "ErnieImageTransformer2DModel": _ERNIE,
}
"""By class in diffusers: patterns of module names below it -> ComfyUI's, below the diffusion model. A star is
the number of a block."""


def comfyui_name(denoiser: object, name: str) -> str | None:
    """ComfyUI's name of a module below a denoiser of diffusers; None where it has none or none is known."""
    names = NAMES.get(type(denoiser).__name__, {})
    found = re.match(r"(\D*?)(\d+)\.(.*)", name)
    if found is None:
        return None
    before, number, after = found.groups()
    renamed = names.get(f"{before}*.{after}")
    return None if renamed is None else renamed.replace("*", number)
