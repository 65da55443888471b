"""Where to steer an image pipeline: presets by name, for UNets, diffusion transformers and text encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from lineas.errors import SiteError
from lineas.modules.kinds import is_norm
from lineas.modules.names import find_sites, named_modules
from lineas.steering.site import Site

# Diffusion transformers have norms without weights of their own, scaled by the timestep: the outputs of their
# attentions and feed-forwards take the place of norms there.
_ATTENTION = ("transformer.*attn*.to_out.0",)
_FEED_FORWARD = ("transformer.*.ff.net.2", "transformer.single_transformer_blocks.*.proj_out")
PRESETS: dict[str, tuple[str, ...]] = {
    "norms": ("unet.*norm*", *_ATTENTION, *_FEED_FORWARD),
    "attention": ("unet.*attentions.*norm*", *_ATTENTION),
    "resnets": ("unet.*resnets.*norm*",),
    "text": ("text_encoder*norm*",),
}
"""norms: every norm with weights in the UNet. attention, resnets: those in its attention and residual blocks.
text: those of the text encoders. Joined with a plus: "norms+text"."""


def diffusion_sites(components: Mapping[str, nn.Module], sites: str | Sequence[str]) -> list[Site]:
    """The sites of a preset, of several ("norms+text"), or those that match patterns (see `find_sites`).

    Raises `SiteError` when the pipeline has nothing of what was asked for.
    """
    names = sites.split("+") if isinstance(sites, str) else []
    if not isinstance(sites, str) or not any(name in PRESETS for name in names):
        return find_sites(components, sites)
    return list(dict.fromkeys(site for name in names for site in _of_preset(components, name)))


def _of_preset(components: Mapping[str, nn.Module], name: str) -> list[Site]:
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SiteError(f"Unknown preset of sites {name!r}, expected one of {', '.join(PRESETS)}.{hint}")
    table = named_modules(components)
    present = [p for p in PRESETS[name] if any(fnmatchcase(module, p) for module in table)]
    found = find_sites(components, present) if present else []
    kept = [s for s in found if s.name.startswith("transformer.") or _is_affine_norm(table[s.name])]
    if not kept:
        parts = ", ".join(f"{part} ({type(module).__name__})" for part, module in components.items())
        raise SiteError(
            f"The preset {name!r} finds no sites in {parts}. Give a pattern of module names instead, such as "
            '"transformer.*norm*"; find_sites(pipe.components, "*") lists them.'
        )
    return kept


def _is_affine_norm(module: nn.Module) -> bool:
    return is_norm(module) and module._parameters.get("weight") is not None
