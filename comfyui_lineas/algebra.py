"""Steerings made from steerings: undone, joined, or kept in some parts of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from lineas.errors import ConfigError, SiteError
from lineas.steering.site import Site
from lineas.steering.steering import Steering

from .notices import warnings_told

MODES = ("sequence", "sum")
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


def inverted(steering: Steering, min_scale: float = 0.05) -> Steering:
    """The steering that undoes this one; see `Steering.inverse`."""
    with warnings_told():
        return steering.inverse(min_scale)


def composed(steerings: Sequence[Steering], weights: Sequence[float], mode: str) -> Steering:
    """Two or more steerings as one, each at its weight (1 full, 0 off), first to last.

    Raises `ConfigError` for fewer than two, `MapError` where maps of one site have unlike widths.
    """
    if len(steerings) < 2:
        raise ConfigError(f"Got {len(steerings)} steerings to compose, expected at least 2. Connect another.")
    way = cast(Literal["sequence", "sum"], mode)
    with warnings_told():
        result = steerings[0].compose(steerings[1], way, (weights[0], weights[1]))
        for steering, weight in zip(steerings[2:], weights[2:], strict=True):
            result = result.compose(steering, way, (1.0, weight))
        return result


def restricted(steering: Steering, groups: Sequence[str], pattern: str = "") -> Steering:
    """Keep the sites whose groups are all named, and of them those that match a pattern if there is one.

    groups: of `GROUPS`; a site lies in one place (down, mid, up, text_encoder, others) and may be of a kind
    (attention, resnets). pattern: fnmatch, several joined by commas. Raises `SiteError` when none is left.
    """
    kept = [str(site) for site in steering.sites if _groups_of(site) <= set(groups)]
    if not kept:
        raise SiteError(
            f"No site of the steering lies in {', '.join(groups) or 'no group at all'}. It has sites in "
            f"{', '.join(sorted({group for site in steering.sites for group in _groups_of(site)}))}; switch "
            "one place and one kind of block on."
        )
    with warnings_told():
        result = steering.restrict(kept)
        return result.restrict(patterns_of(pattern)) if pattern.strip() else result


def patterns_of(text: str) -> list[str]:
    """Patterns joined by commas or line breaks, as a list."""
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]


def _groups_of(site: Site) -> set[str]:
    place = "text_encoder" if site.name.startswith("text_encoder") else "others"
    place = next((group for start, group in _PLACES.items() if site.name.startswith(start)), place)
    return {place} | {
        group for part, group in _KINDS.items() if part in site.name and place != "text_encoder"
    }
