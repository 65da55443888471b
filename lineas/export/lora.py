"""Export: a steering as a LoRA file of ComfyUI, whose loader's strength is the strength of the steering.

It holds the changes of weight and bias at strength 1, which are linear in the strength: of diffusion
transformers `diffusion_model.<path>.diff` and `.diff_b` under ComfyUI's own names, of UNets and CLIP under
the usual names with `lora_unet` and `lora_te`, where norms end in `w_norm` and `b_norm`. The file is exact
for the base model it was written from. Diffusers takes none of this; `peft` writes what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor, nn

from lineas.apply.fusing import unpatchable, weight_patches
from lineas.architectures.comfyui_names import comfyui_name
from lineas.errors import ExportError
from lineas.modules.kinds import is_norm
from lineas.modules.names import module_tree, named_modules
from lineas.steering.files import write_atomically
from lineas.steering.site import Site
from lineas.steering.steering import Steering

# Loaders know these layers of a CLIP text encoder by a LoRA name, and no others: its norms have none.
_TEXT_LAYER = re.compile(r"text_model\.(encoder\.layers\.\d+\.(mlp\.fc[12]|self_attn\.(q|k|v|out)_proj))")
COMFYUI, _OTHER = "comfy", "diffusion_model."
"""The component of sites that have ComfyUI's own names, and how its loader calls what lies there."""
_DTYPES = {"float32": torch.float32, "float16": torch.float16}


def lora_state_dict(
    steering: Steering, base: Mapping[str, nn.Module], strength: float = 1.0, skip_unsupported: bool = False
) -> dict[str, Tensor]:
    """LoRA key -> [d, …] change of a weight or [d] change of a bias, in float32.

    base: the components the steering is for, as `module_tree` takes them. strength: what strength 1 of the
    loader will mean, neutral 1. Identity maps are left out. Raises `ExportError` that lists every site the
    format cannot hold; with `skip_unsupported` those are left out, and `unsupported` tells them.
    """
    base = module_tree(base)
    refused = unsupported(steering, base)
    if refused and not skip_unsupported:
        raise ExportError(refusal(refused, len(steering.maps)))
    table = named_modules(base)
    kept = Steering({site: map for site, map in steering.maps.items() if site not in refused})
    tensors: dict[str, Tensor] = {}
    for parameter, delta in weight_patches(base, kept).items():
        module, _, kind = parameter.rpartition(".")
        name = _lora_name(Site(module), base) or ""  # or it would have been left out
        tensors[f"{name}.{_suffix(name, table[module], kind)}"] = strength * delta
    return tensors


def unsupported(steering: Steering, base: Mapping[str, nn.Module]) -> dict[Site, str]:
    """Sites that a LoRA file cannot hold, and why. Empty when all can be exported."""
    base = module_tree(base)
    reasons = unpatchable(base, steering)
    active = steering.active()
    denoisers = [
        name for name in base if any(site.component == name for site in active) and _is_denoiser(name)
    ]
    for site in steering.maps:
        if site.component in denoisers[1:]:
            reasons[site] = (
                f"ComfyUI loads {site.component} as a model with LoRAs of its own; export "
                f"steering.restrict({site.component + '.*'!r}) to a second file"
            )
        elif _lora_name(site, base) is None:
            reasons.setdefault(site, "LoRA loaders have no name for this module")
    return {site: reason for site, reason in reasons.items() if site in active}


def save_lora(
    steering: Steering,
    base: Mapping[str, nn.Module],
    path: str | Path,
    strength: float = 1.0,
    *,
    skip_unsupported: bool = False,
    dtype: Literal["float32", "float16"] = "float16",
    title: str = "",
) -> dict[Site, str]:
    """Write `lora_state_dict` as one safetensors file, atomically; returns the sites left out, with reasons.

    dtype: "float16" is what loaders compute in, "float32" is exact. title: shown by LoRA managers.
    Raises `ExportError` for what the format or the dtype cannot hold, `SteeringFileError` when writing fails.
    """
    tensors = lora_state_dict(steering, base, strength, skip_unsupported)
    write(tensors, path, dtype, metadata(steering, strength, title))
    return unsupported(steering, base)


def write(
    tensors: Mapping[str, Tensor],
    path: str | Path,
    dtype: Literal["float32", "float16"],
    metadata: Mapping[str, str],
) -> None:
    """Tensors as one safetensors file, atomically; raises as `save_lora` does."""
    if not tensors:
        raise ExportError(
            "Nothing is left to export: no site can be held by a LoRA file. Save the steering instead."
        )
    stored = {key: tensor.to("cpu", _DTYPES[dtype]).contiguous() for key, tensor in tensors.items()}
    too_large = [key for key, tensor in stored.items() if not bool(torch.isfinite(tensor).all())]
    if too_large:
        raise ExportError(
            f"{too_large[0]} and {len(too_large) - 1} more do not fit {dtype}. Use dtype='float32'."
        )
    write_atomically(path, safetensors.torch.save(stored, dict(metadata)))


def _lora_name(site: Site, base: Mapping[str, nn.Module]) -> str | None:
    """The base name that loaders look up, or None where they have none."""
    component, _, path = site.name.partition(".")
    if set(base) == {""}:
        component, path = "unet" if "UNet" in type(base[""]).__name__ else "transformer", site.name
    if component == "unet":
        return f"lora_unet_{path.replace('.', '_')}"
    if component == COMFYUI:
        return f"{_OTHER}{path}"
    if component.startswith("transformer"):
        name = comfyui_name(base.get(component, base.get("")), path)
        return None if name is None else f"{_OTHER}{name}"
    prefix = _text_prefix(component, base)
    if prefix and _TEXT_LAYER.fullmatch(path):
        return f"{prefix}_{path.replace('.', '_')}"
    return None


def _text_prefix(component: str, base: Mapping[str, nn.Module]) -> str | None:
    if "text_encoder_2" not in base:
        return "lora_te" if component == "text_encoder" else None
    return {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}.get(component)


def _is_denoiser(component: str) -> bool:
    return component.startswith(("unet", "transformer"))


def _suffix(name: str, module: nn.Module, kind: str) -> str:
    by_kind = is_norm(module) and not name.startswith(_OTHER)
    weight, bias = ("w_norm", "b_norm") if by_kind else ("diff", "diff_b")
    if kind == "bias":
        return bias
    return weight if kind == "weight" else f"{kind}.{weight}"  # loaders call other parameters by their names


def metadata(steering: Steering, strength: float, title: str) -> dict[str, str]:
    """What a LoRA file says of itself."""
    made = steering.provenance
    return {
        "format": "pt",
        "modelspec.title": title or f"{made.method or 'activation'} steering",
        "modelspec.description": (
            f"Activation steering written as weight changes. Loader strength 1 is steering strength "
            f"{strength:g}, 0 is off, values between are exact; for the base model below."
        ),
        "lineas.base_model": made.base_model,
        "lineas.fingerprint": made.fingerprint,
        "lineas.strength": f"{strength:g}",
    }


def refusal(refused: Mapping[Site, str], total: int, shown: int = 5) -> str:
    """The sites that a file cannot hold, as one message."""
    lines = [f"  {site}: {reason}" for site, reason in list(refused.items())[:shown]]
    lines += [f"  … and {len(refused) - shown} more"] if len(refused) > shown else []
    remedy = "Leave them out with skip_unsupported=True, or save the steering and apply it with hooks."
    return "\n".join([f"A LoRA file cannot hold {len(refused)} of {total} sites:", *lines, remedy])
