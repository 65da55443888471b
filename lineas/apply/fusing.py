"""Fuse: fold steerings into weights, where they cost nothing to run, and hook what cannot be folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, cast

import torch
from torch import Tensor, nn

from lineas.apply.check import check_fit
from lineas.apply.fold_rules import deltas, obstacle, weight_offset
from lineas.apply.folded_weights import add_fold, pristine, remove_fold
from lineas.apply.hooks import SteeringHook, Strengths, as_list, steer, strengths_for
from lineas.apply.next_linears import Consumers, linear_consumers
from lineas.maps.affine import AffineMap
from lineas.maps.base import Map
from lineas.modules.names import module_tree
from lineas.steering.site import Site
from lineas.steering.steering import Steering


class FuseHandle:
    """Steerings in a model until `unfuse()` or the end of the `with` block."""

    def __init__(self, fused: Sequence[Site], hooked: Sequence[Site], stack: ExitStack) -> None:
        self.fused, self.hooked, self._stack = tuple(fused), tuple(hooked), stack

    def unfuse(self) -> None:
        """Give the model its own weights back, bit for bit. Doing it again does nothing.

        Handles may be unfused in any order. Weights loaded into the model while it is fused are lost.
        """
        self._stack.close()

    def __enter__(self) -> FuseHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.unfuse()


def can_fuse(module: nn.Module, map: Map, axis: int | None = None) -> bool:
    """Can `map` after `module` be folded into its weights? `axis` is the site's, None the module's own."""
    return obstacle(module, map, axis) is None


def fuse(obj: Any, steering: Steering | Sequence[Steering], strength: Strengths = 1.0) -> FuseHandle:
    """Fold steerings into the weights of a module, a pipeline or a mapping of components; hook the rest.

    strength: λ for all or for each; 0 is off, 1 full, others extrapolate. The result is that of `steer` up
    to one rounding to the weights' dtype. The shift after a norm without a bias goes into the biases of the
    linear layers that follow it in a language model, which get one where they have none. What is hooked:
    gates and other maps that depend on the activation, modules without weights, shifts that no bias can
    take, weights that are tied, quantised, offloaded or in float8, and everything that must come after such
    a map at its site. Raises like `steer`, before anything is touched.
    """
    components = module_tree(obj)
    steerings = as_list(steering)
    strengths = strengths_for(strength, len(steerings))
    modules = [check_fit(components, one) for one in steerings]
    shared = _shared_parameters(components)
    followers = _followers(components, steerings, modules)
    fused: list[Site] = []
    hooked: list[Site] = []
    with ExitStack() as stack:
        for one, found, value in zip(steerings, modules, strengths, strict=True):
            active = {site: map for site, map in one.maps.items() if value != 0 and not map.is_identity}
            rest = {
                site: map
                for site, map in active.items()
                if _keeps_hook(found[site], site, map, shared, found[site] in followers)
            }
            for site in (site for site in active if site not in rest):
                module = found[site]
                token = add_fold(module, cast(AffineMap, active[site]), value, followers.get(module, ()))
                stack.callback(remove_fold, found[site], token)
                fused.append(site)
            if rest:
                stack.enter_context(steer(components, Steering(rest), value))
                hooked += rest
        return FuseHandle(fused, hooked, stack.pop_all())


def weight_patches(obj: Any, steering: Steering) -> dict[str, Tensor]:
    """Canonical parameter name -> what strength 1 adds to that parameter, in float32; linear in the strength.

    Covers exactly the sites whose maps fit into parameters that exist; `unpatchable` tells the others.
    Identity maps give no patches. Raises `MismatchError` when the steering does not fit.
    """
    components = module_tree(obj)
    modules = check_fit(components, steering)
    left_out = unpatchable(components, steering)
    patches: dict[str, Tensor] = {}
    for site, map in steering.maps.items():
        if site in left_out or map.is_identity:
            continue
        weight, bias = pristine(modules[site])
        dw, db = deltas(cast(Tensor, weight), bias, cast(AffineMap, map), weight_offset(modules[site]) or 0)
        patches[f"{site.name}.weight"] = dw
        if bias is not None:
            patches[f"{site.name}.bias"] = db
    return patches


def unpatchable(obj: Any, steering: Steering) -> dict[Site, str]:
    """Sites whose maps cannot be written as changes of parameters that exist, and why."""
    components = module_tree(obj)
    modules = check_fit(components, steering)
    shared = _shared_parameters(components)
    reasons = {site: _why_not(modules[site], site, map, shared) for site, map in steering.maps.items()}
    return {site: reason for site, reason in reasons.items() if reason}


def _why_not(module: nn.Module, site: Site, map: Map, shared: set[int]) -> str | None:
    reason = obstacle(module, map, site.axis) or _tied(module, site, shared)
    if reason is None and bool(cast(AffineMap, map).shift.any()) and pristine(module)[1] is None:
        return "it has no bias to take the shift"
    return reason


def _keeps_hook(module: nn.Module, site: Site, map: Map, shared: set[int], followed: bool) -> bool:
    # A map folded now would act before the hooks of an earlier steering.
    steered = any(isinstance(hook, SteeringHook) for hook in module._forward_hooks.values())
    map = _scale_alone(map) if followed else map
    return steered or (obstacle(module, map, site.axis) or _tied(module, site, shared)) is not None


def _followers(
    components: Mapping[str, nn.Module],
    steerings: Sequence[Steering],
    modules: Sequence[Mapping[Site, nn.Module]],
) -> dict[nn.Module, Consumers]:
    """The linear layers after those norms that have no bias for the shift of a map."""
    shifted = {
        found[site]
        for one, found in zip(steerings, modules, strict=True)
        for site, map in one.maps.items()
        if site.output == 0 and obstacle(found[site], map, site.axis)
        if obstacle(found[site], _scale_alone(map), site.axis) is None
    }
    return {
        norm: layers
        for root in components.values()
        for norm, layers in linear_consumers(root, shifted & set(root.modules())).items()
    }


def _scale_alone(map: Map) -> Map:
    return AffineMap(map.deviation, torch.zeros_like(map.shift)) if isinstance(map, AffineMap) else map


def _tied(module: nn.Module, site: Site, shared: set[int]) -> str | None:
    if site.output != 0:
        return f"it is output {site.output} of its module"
    tied = any(id(p) in shared for p in module._parameters.values() if p is not None)
    return "its weights are tied to another module" if tied else None


def _shared_parameters(components: Mapping[str, nn.Module]) -> set[int]:
    """Ids of the parameters that more than one module uses."""
    modules = {module for root in components.values() for module in root.modules()}
    uses = Counter(key for m in modules for key in {id(p) for p in m._parameters.values() if p is not None})
    return {key for key, count in uses.items() if count > 1}
