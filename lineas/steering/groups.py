"""Parts of a model by name, as people know them from LoRA loaders: which sites lie where."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from math import prod

from lineas.errors import SiteError
from lineas.steering.site import Site
from lineas.steering.steering import Steering

GROUPS = {
    "down": "the down blocks, which lay out the image",
    "mid": "the middle block",
    "up": "the up blocks, which draw detail and colour",
    "attention": "attention blocks",
    "resnets": "residual blocks",
    "text_encoder": "the text encoders",
    "others": "everything else, such as the last norm",
}
"""Parts of a model by name, and what to call them."""

_PLACES = {"unet.down_blocks.": "down", "unet.mid_block.": "mid", "unet.up_blocks.": "up"}
_KINDS = {".attentions.": "attention", ".resnets.": "resnets"}


def groups_of(site: Site) -> set[str]:
    """The groups of a site: one place (down, mid, up, text_encoder, others), and a kind where it has one."""
    place = "text_encoder" if site.name.startswith("text_encoder") else "others"
    place = next((group for start, group in _PLACES.items() if site.name.startswith(start)), place)
    return {place} | {
        group for part, group in _KINDS.items() if part in site.name and place != "text_encoder"
    }


def at_groups(steering: Steering, strengths: Mapping[str, float]) -> Steering:
    """The steering whose sites act at the strengths of their groups; they multiply, others stay at 1.

    strengths: by name of `GROUPS`, or by a pattern of full site names (fnmatch). Raises `SiteError` for a
    name under which the steering has no site.
    """
    for name in strengths:
        if not any(_lies_in(site, name) for site in steering.sites):
            raise SiteError(
                f"The steering has no site in {name!r}. Its groups are {', '.join(_groups_in(steering))}; a "
                f"name with * is a pattern of sites, the first of which is {steering.sites[0]}."
            )
    factors = {
        site: prod(strength for name, strength in strengths.items() if _lies_in(site, name))
        for site in steering.sites
    }
    maps = {site: map.at(factors[site]) for site, map in steering.maps.items()}
    told = ", ".join(f"{name} {strength:g}" for name, strength in strengths.items())
    return Steering(maps, steering.provenance.unmeasured().noted(f"at {told}")) if strengths else steering


def _lies_in(site: Site, name: str) -> bool:
    return name in groups_of(site) if name in GROUPS else fnmatchcase(str(site), name)


def _groups_in(steering: Steering) -> list[str]:
    found = {group for site in steering.sites for group in groups_of(site)}
    return [group for group in GROUPS if group in found]
