"""Put a steering on a MODEL and its CLIP: into the weights where that holds it, else by hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from comfy.patcher_extension import WrappersMP

from lineas.errors import ConfigError
from lineas.maps.affine import AffineMap
from lineas.maps.base import Map
from lineas.steering.site import Site
from lineas.steering.steering import Steering

from ..models.check import acts_on_text, fitting_tree
from ..models.tree import Tree
from ..notices import board
from .placement import HOOKS, WEIGHTS, Placement
from .taken_weights import tell_when_taken
from .text_encoder import hook_text, is_hooked
from .weight_patches import obstacle, patches_for
from .while_sampling import KEY, SteeringWrapper

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
    active = steering.active(strength)
    text = {site: map for site, map in active.items() if acts_on_text(site.name)}
    image = {site: map for site, map in active.items() if site not in text}
    image_hooked = image if _all_by_hooks(placement) else _unpatchable(tree, image, _paths_hooked(model))
    text_hooked = (
        text if placement.method == HOOKS else _unpatchable(tree, text, _text_hooked(clip, tree, text))
    )
    if (image_hooked or text_hooked) and placement.method == WEIGHTS:
        raise ConfigError(_no_weights(tree, image_hooked | text_hooked, placement))
    if text and not placement.is_constant:
        board().tell("Mask, percentages and apply_to hold for the image model, not for the CLIP.")
    steered = model.clone()
    _patch(steered, tree, _without(image, image_hooked), strength)
    if image_hooked:
        maps = _by_path(tree, image_hooked)
        wrapper = SteeringWrapper(maps, strength, window, placement.apply_to, placement.mask, board())
        wrapper.put_on(steered)
        tell_when_taken(steered)
    if clip is None:
        return steered, None
    steered_clip = clip.clone()
    _patch(steered_clip.patcher, tree, _without(text, text_hooked), strength)
    hook_text(steered_clip.patcher, _by_path(tree, text_hooked), strength)
    return steered, steered_clip


def _all_by_hooks(placement: Placement) -> bool:
    return placement.method == HOOKS or not placement.is_constant


def _unpatchable(tree: Tree, maps: Maps, before: set[str]) -> dict[Site, Map]:
    """Maps that weights cannot hold, or that would come before hooks that are on the same module already.

    before: paths of the modules with such hooks.
    """
    return {
        site: map
        for site, map in maps.items()
        if tree.places[site.name].path in before or obstacle(tree.modules[site.name], map, site.axis)
    }


def _paths_hooked(model: Any) -> set[str]:
    """Modules of the image model that earlier steerings act on by hooks."""
    wrappers = model.get_wrappers(WrappersMP.APPLY_MODEL, KEY)
    return {path for wrapper in wrappers for path in wrapper.paths}


def _text_hooked(clip: Any, tree: Tree, maps: Maps) -> set[str]:
    """Modules among those of the maps that earlier steerings of the CLIP act on by hooks."""
    paths = (tree.places[site.name].path for site in maps)
    return {path for path in paths if is_hooked(clip.patcher, path)}


def _by_path(tree: Tree, maps: Maps) -> dict[tuple[str, Site], Map]:
    return {(tree.places[site.name].path, site): map for site, map in maps.items()}


def _without(maps: Maps, others: Maps) -> dict[Site, Map]:
    return {site: map for site, map in maps.items() if site not in others}


def _patch(patcher: Any, tree: Tree, maps: Maps, strength: float) -> None:
    patches = {}
    for site, map in maps.items():
        place, module = tree.places[site.name], tree.modules[site.name]
        patches |= patches_for(place.key, module, cast(AffineMap, map.affine()))
    if patches:
        patcher.add_patches(patches, strength)


def _no_weights(tree: Tree, hooked: Maps, placement: Placement) -> str:
    if not placement.is_constant:
        return "Weights hold no mask, no percentages and no single conditioning. Set method to automatic."
    site, map = next(iter(hooked.items()))
    reason = obstacle(tree.modules[site.name], map, site.axis) or "hooks before it act on the same module"
    return f"{len(hooked)} sites cannot be held by weights, {site}: {reason}. Set method to automatic."
