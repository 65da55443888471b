"""Export: a steering after linear layers and convolutions as a LoRA of PEFT, which diffusers loads.

A map z + λ(δ ⊙ z + b) after Wx + c is exactly a LoRA: with A the rows of W whose δ is not 0 and B their δ,
each in its own row, B·A = δ ⊙ W, and δ ⊙ c + b is the bias of B. The rank at a site is the number of its
units that are scaled; what is only shifted needs none. The weight of the adapter is the strength.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from lineas.apply.check import check_fit
from lineas.apply.fold_rules import obstacle
from lineas.apply.folded_weights import pristine
from lineas.errors import ExportError
from lineas.export.lora import metadata, refusal, write
from lineas.maps.affine import AffineMap
from lineas.modules.kinds import is_norm, is_projection
from lineas.modules.names import module_tree
from lineas.steering.site import Site
from lineas.steering.steering import Steering

METADATA = "lora_adapter_metadata"
"""Where diffusers looks for the configuration of a LoRA in a file."""
_TEXT = "text_encoder"
# Diffusers reads those of text encoders by older names.
_SUFFIXES = {False: ("lora_A", "lora_B"), True: ("lora_linear_layer.down", "lora_linear_layer.up")}


def peft_state_dict(
    steering: Steering, base: Mapping[str, nn.Module], strength: float = 1.0, skip_unsupported: bool = False
) -> dict[str, Tensor]:
    """Key of `load_lora_weights` -> [rank, …] rows of a weight, [d, rank, …] their scales or [d] a bias.

    In float32. base: the components the steering is for. strength: what weight 1 of the adapter will mean.
    Biases are there where any site shifts, and then at all sites. Raises `ExportError` that lists every site
    the format cannot hold; with `skip_unsupported` those are left out, and `not_low_rank` tells them.
    """
    base = module_tree(base)
    refused = not_low_rank(steering, base)
    if refused and not skip_unsupported:
        raise ExportError(refusal(refused, len(steering.maps)))
    modules = check_fit(base, steering)
    held = {
        site: _factors(modules[site], cast(AffineMap, map.affine()).at(strength))
        for site, map in steering.active().items()
        if site not in refused
    }
    has_bias = any(bool(bias.any()) for _, _, bias in held.values())
    tensors: dict[str, Tensor] = {}
    for site, (down, up, bias) in held.items():
        name = _full_name(site, base)
        first, second = _SUFFIXES[name.startswith(_TEXT)]
        tensors |= {f"{name}.{first}.weight": down, f"{name}.{second}.weight": up}
        tensors |= {f"{name}.{second}.bias": bias} if has_bias else {}
    return tensors


def not_low_rank(steering: Steering, base: Mapping[str, nn.Module]) -> dict[Site, str]:
    """Sites that a LoRA of PEFT in diffusers cannot hold, and why. Empty when all can be exported."""
    base = module_tree(base)
    modules, active = check_fit(base, steering), steering.active()
    denoisers = [name for name in base if any(_component(site, base) == name for site in active)]
    second = [name for name in denoisers if name.startswith(("unet", "transformer"))][1:]
    reasons = {
        site: _why_not(modules[site], map, site) or _no_place(_component(site, base), base, second)
        for site, map in active.items()
    }
    return {site: reason for site, reason in reasons.items() if reason}


def save_peft(
    steering: Steering,
    base: Mapping[str, nn.Module],
    path: str | Path,
    strength: float = 1.0,
    *,
    skip_unsupported: bool = False,
    dtype: Literal["float32", "float16"] = "float16",
    title: str = "",
) -> dict[Site, str]:
    """Write `peft_state_dict` as one safetensors file, atomically; returns the sites left out, with reasons.

    Its ranks differ from site to site, which diffusers scales alike from 0.34 on; a bias needs PEFT 0.14. The
    arguments and errors are those of `save_lora`.
    """
    base = module_tree(base)
    tensors = peft_state_dict(steering, base, strength, skip_unsupported)
    says = {**metadata(steering, strength, title), METADATA: json.dumps(_configuration(tensors))}
    write(tensors, path, dtype, says)
    return not_low_rank(steering, base)


def _factors(module: nn.Module, map: AffineMap) -> tuple[Tensor, Tensor, Tensor]:
    """A [rank, …], B [d, rank, …] and the bias of B [d]; a map that scales nothing has rank 1, of zeros."""
    weight, bias = pristine(module)
    wide = cast(Tensor, weight).detach().float()
    deviation, shift = (each.detach().float().to(wide.device) for each in (map.deviation, map.shift))
    units = deviation.nonzero()[:, 0]
    rank = max(1, len(units))
    down, up = wide.new_zeros(rank, *wide.shape[1:]), wide.new_zeros(len(deviation), rank)
    down[: len(units)] = wide[units]
    up[units, torch.arange(len(units), device=units.device)] = deviation[units]
    old = torch.zeros_like(shift) if bias is None else bias.detach().float()
    return down, up.view(*up.shape, *[1] * (wide.ndim - 2)), deviation * old + shift


def _why_not(module: nn.Module, map: Any, site: Site) -> str | None:
    """What stands against it in the map and the module."""
    if map.affine() is not None and (is_norm(module) or not is_projection(module)):
        return f"a LoRA of PEFT sits in linear and convolution layers, not in {type(module).__name__}"
    if site.output != 0:
        return f"it is output {site.output} of its module"
    if getattr(module, "groups", 1) != 1:
        return "it is a convolution in groups"
    return obstacle(module, map, site.axis)


def _no_place(component: str, base: Mapping[str, nn.Module], second: list[str]) -> str | None:
    """Why `load_lora_weights` would not put it into this component."""
    if component in second:
        return (
            f"load_lora_weights takes {component} from a file of its own, with load_into_{component}=True; "
            f"export steering.restrict({component + '.*'!r}) to it"
        )
    if component.startswith(_TEXT) and not type(base[component]).__name__.startswith("CLIPText"):
        return f"load_lora_weights takes no LoRA for {type(base[component]).__name__}"
    known = component.startswith(("unet", "transformer", _TEXT))
    return None if known else "load_lora_weights has no name for this component"


def _component(site: Site, base: Mapping[str, nn.Module]) -> str:
    """The name that diffusers gives the component of a site; a lone model is a transformer or a UNet."""
    if set(base) == {""}:
        return "unet" if "UNet" in type(base[""]).__name__ else "transformer"
    return site.component


def _full_name(site: Site, base: Mapping[str, nn.Module]) -> str:
    component = _component(site, base)
    path = site.name if set(base) == {""} else site.name.partition(".")[2]
    # The second transformer of a file of its own goes by the name of the first.
    return f"{'transformer' if component.startswith('transformer') else component}.{path}"


def _configuration(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options of PEFT's `LoraConfig` for each component, whose names go before theirs."""
    found: dict[str, Any] = {}
    ranks: dict[str, dict[str, int]] = {}
    ends = tuple(f".{second}.weight" for _, second in _SUFFIXES.values())
    for key in (key for key in tensors if key.endswith(ends)):
        component, _, path = key.partition(".")
        name = next(path.removesuffix(end) for end in ends if path.endswith(end))
        # Newer transformers dropped this level; PEFT takes the ends of names.
        ranks.setdefault(component, {})[name.removeprefix("text_model.")] = tensors[key].shape[1]
    for component, each in ranks.items():
        usual = Counter(each.values()).most_common(1)[0][0]
        others = {path: rank for path, rank in each.items() if rank != usual}
        options: dict[str, Any] = {"r": usual, "lora_alpha": usual, "target_modules": sorted(each)}
        options |= {"rank_pattern": others, "alpha_pattern": others}
        options |= {"lora_bias": True} if any(key.endswith(".bias") for key in tensors) else {}
        found |= {f"{component}.{name}": value for name, value in options.items()}
    return found
