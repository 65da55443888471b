"""Put a steering on a MODEL and its CLIP: into the weights where that holds it, else by hooks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from comfy.patcher_extension import WrappersMP

from lineas.affine import AffineMap
from lineas.errors import ConfigError, MismatchError
from lineas.maps import Map
from lineas.steering import Site, Steering

from .adapter import obstacle, patches_for
from .fit import acts_on_text, fitting_tree
from .placement import HOOKS, WEIGHTS, Placement
from .tree import Tree
from .wrapper import SteeringWrapper

KEY = "lineas"

Maps = Mapping[Site, Map]


def apply_steering(
    model: Any, clip: Any, steering: Steering, strength: float, placement: Placement | None = None
) -> tuple[Any, Any]:
    """Clones of MODEL and CLIP (None stays None) that are steered; the ones given are left alone.

    strength: 0 off, 1 full, others extrapolate. Raises `MismatchError` when the steering does not fit and
    `ConfigError` for a placement that cannot be met, with nothing changed.
    """
    placement = placement or Placement()
    tree, window = fitting_tree(model, clip, steering), placement.window(model)
    active = {site: map for site, map in steering.maps.items() if strength and not map.is_identity}
    text = {site: map for site, map in active.items() if acts_on_text(site.name)}
    image = {site: map for site, map in active.items() if site not in text}
    hooked = image if _all_by_hooks(placement) else _unpatchable(model, tree, image)
    if hooked and placement.method == WEIGHTS:
        raise ConfigError(_no_weights(tree, hooked, placement))
    steered = model.clone()
    _patch(steered, tree, {site: map for site, map in image.items() if site not in hooked}, strength)
    if hooked:
        maps = {(tree.places[site.name].path, site): map for site, map in hooked.items()}
        wrapper = SteeringWrapper(maps, strength, window, placement.apply_to, placement.mask)
        steered.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, wrapper)
    return steered, None if clip is None else _steered_clip(clip, tree, text, strength)


def _all_by_hooks(placement: Placement) -> bool:
    return placement.method == HOOKS or not placement.is_constant


def _unpatchable(model: Any, tree: Tree, maps: Maps) -> dict[Site, Map]:
    """Maps that weights cannot hold, or that would come before hooks that are on the MODEL already."""
    wrappers = model.get_wrappers(WrappersMP.DIFFUSION_MODEL, KEY)
    before = {path for wrapper in wrappers for path in wrapper.paths}
    return {
        site: map
        for site, map in maps.items()
        if tree.places[site.name].path in before or obstacle(tree.modules[site.name], map, site.axis)
    }


def _patch(patcher: Any, tree: Tree, maps: Maps, strength: float) -> None:
    patches = {}
    for site, map in maps.items():
        place, module = tree.places[site.name], tree.modules[site.name]
        patches |= patches_for(place.key, module, cast(AffineMap, map))
    if patches:
        patcher.add_patches(patches, strength)


def _steered_clip(clip: Any, tree: Tree, maps: Maps, strength: float) -> Any:
    """The text encoder runs once, before the sampling: only weights can hold a steering there."""
    for site, map in maps.items():
        reason = obstacle(tree.modules[site.name], map, site.axis)
        if reason and "too coarse" in reason:
            logging.warning("LinEAS: %s: %s; the steering is rounded there.", site, reason)
        elif reason:
            raise MismatchError(
                f"{site} in the text encoder cannot be steered in ComfyUI: {reason}. Keep the image "
                "model alone with LinEAS Restrict Steering."
            )
    steered = clip.clone()
    _patch(steered.patcher, tree, maps, strength)
    return steered


def _no_weights(tree: Tree, hooked: Maps, placement: Placement) -> str:
    if not placement.is_constant:
        return "Weights hold no mask, no percentages and no single conditioning. Set method to automatic."
    site, map = next(iter(hooked.items()))
    reason = obstacle(tree.modules[site.name], map, site.axis) or "hooks before it act on the same module"
    return f"{len(hooked)} sites cannot be held by weights, {site}: {reason}. Set method to automatic."
