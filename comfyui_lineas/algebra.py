"""Steerings made from steerings: undone, joined, or kept in some parts of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from lineas.apply.strengths import group_strengths
from lineas.errors import ConfigError, SiteError
from lineas.steering.groups import GROUPS, at_groups, groups_of
from lineas.steering.steering import Steering

from .notices import warnings_told

__all__ = ["GROUPS", "MODES", "at_blocks", "composed", "inverted", "patterns_of", "restricted"]

MODES = ("sequence", "sum")
LARGEST = 10.0
"""How far from 0 the strength of a group of blocks may lie."""


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
    kept = [str(site) for site in steering.sites if groups_of(site) <= set(groups)]
    if not kept:
        raise SiteError(
            f"No site of the steering lies in {', '.join(groups) or 'no group at all'}. It has sites in "
            f"{', '.join(sorted({group for site in steering.sites for group in groups_of(site)}))}; switch "
            "one place and one kind of block on."
        )
    with warnings_told():
        result = steering.restrict(kept)
        return result.restrict(patterns_of(pattern)) if pattern.strip() else result


def at_blocks(steering: Steering, text: str) -> Steering:
    """The steering at strengths of its own for groups of blocks, as in "down 0.5, up 0"; "" leaves it.

    Raises as `group_strengths` and `at_groups` do.
    """
    return at_groups(steering, group_strengths(text, LARGEST))


def patterns_of(text: str) -> list[str]:
    """Patterns joined by commas or line breaks, as a list."""
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
