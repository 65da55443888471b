"""Fuse: fold steerings into weights, where they cost nothing to run, and hook what cannot be folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from lineas.apply.check import check_fit
from lineas.apply.fold_rules import deltas, obstacle, scale_alone, weight_offset
from lineas.apply.folded_weights import Folding, change_folds, pristine
from lineas.apply.handle import Handle, Part, as_list, claim
from lineas.apply.hooks import check_not_compiled
from lineas.apply.next_linears import Consumers, linear_consumers
from lineas.apply.prompt_tokens import in_own_slots, watch_tokens
from lineas.apply.steering_hook import SteeringHook
from lineas.apply.strengths import Strengths, strengths_for
from lineas.apply.undo import Undo, put_hook
from lineas.errors import MismatchError
from lineas.maps.affine import AffineMap
from lineas.maps.base import Map
from lineas.modules.kinds import weight_name
from lineas.modules.names import module_tree
from lineas.steering.site import Site
from lineas.steering.steering import Steering


def fuse(obj: Any, steering: Steering | Sequence[Steering], strength: Strengths = 1.0) -> Handle:
    """Fold steerings into the weights of a module, a pipeline or a mapping of components; hook the rest.

    strength: λ for all or for each; 0 is off, 1 full, others extrapolate. The result is that of `steer` up
    to one rounding to the weights' dtype. The shift after a norm without a bias goes into the biases of the
    linear layers that follow it in a language model, which get one where they have none. What is hooked:
    gates and other maps that depend on the activation, modules without weights, shifts that no bias can
    take, weights that are tied, quantised, offloaded or in float8, and everything that must come after such
    a map at its site. Raises like `steer`, before anything is touched; a failure on the way is undone.
    """
    components = module_tree(obj)
    steerings = in_own_slots(components, as_list(steering))
    strengths = strengths_for(strength, len(steerings))
    modules = [check_fit(components, one) for one in steerings]
    foldings, hooked = _divided(components, steerings, modules)
    for found, rest in zip(modules, hooked, strict=True):
        check_not_compiled(components, {site: found[site] for site in rest})

    def refold(strengths: Sequence[float] | None, keep: bool = False) -> None:
        values = strengths if strengths is not None else [None] * len(steerings)
        if not keep:
            _check_in_place(components, foldings)
        change_folds(
            [
                each.taken_out() if value is None else each.at(value)
                for group, value in zip(foldings, values, strict=True)
                for each in group.values()
            ],
            keep,
        )

    undo = Undo()
    try:
        claim(components, undo)
        tokens = watch_tokens(obj, components, steerings, undo)
        undo.add(refold, None, True)  # before the write, so that it is undone whatever comes between
        refold(strengths)
        parts = [Part(value, fused=list(group)) for group, value in zip(foldings, strengths, strict=True)]
        for part, found, rest, value in zip(parts, modules, hooked, strengths, strict=True):
            part.hooks = [SteeringHook(site, map, value, (), tokens.get(site)) for site, map in rest.items()]
            for hook in part.hooks:
                put_hook(found[hook.site], hook, undo)
        return Handle(parts, undo, refold, components)
    except BaseException:
        undo()
        raise


Foldings = list[dict[Site, Folding]]


def _divided(
    components: Mapping[str, nn.Module],
    steerings: Sequence[Steering],
    modules: Sequence[Mapping[Site, nn.Module]],
) -> tuple[Foldings, list[dict[Site, Map]]]:
    """For each steering what is folded, and the maps that hooks must apply."""
    shared, followers = _shared_parameters(components), _followers(components, steerings, modules)
    steered_before = {m for root in components.values() for m in root.modules() if _is_hooked(m)}
    foldings: Foldings = []
    hooked: list[dict[Site, Map]] = []
    for one, found in zip(steerings, modules, strict=True):
        token, folded, rest = object(), {}, {}
        for site, map in one.active().items():
            module, affine = found[site], map.affine()
            # A map folded now would act before the hooks of an earlier steering.
            late = module in steered_before
            if late or affine is None or _keeps_hook(module, site, map, shared, module in followers):
                rest[site] = map
                steered_before.add(module)
            else:
                folded[site] = Folding(token, module, affine, followers.get(module, ()))
        foldings.append(folded)
        hooked.append(rest)
    return foldings, hooked


def _check_in_place(components: Mapping[str, nn.Module], foldings: Foldings) -> None:
    """`MismatchError` where a module that holds maps is no longer in the model: others have its weights."""
    present = {module for root in components.values() for module in root.modules()}
    held = [(site, {each.module, *each.followers}) for group in foldings for site, each in group.items()]
    if gone := [site for site, modules in held if not modules <= present]:
        raise MismatchError(
            f"{len(gone)} modules that a steering is fused into were replaced, the first is {gone[0]}, as by "
            "quantising the model: what took their place may hold the steering for good. Remove the steering "
            "before such a change and fuse it afterwards; or keep the model as it is: remove(keep=True)."
        )


def _is_hooked(module: nn.Module) -> bool:
    return any(isinstance(hook, SteeringHook) for hook in module._forward_hooks.values())


def weight_patches(obj: Any, steering: Steering) -> dict[str, Tensor]:
    """Canonical parameter name -> what strength 1 adds to that parameter, in float32; linear in the strength.

    Covers exactly the sites whose maps fit into parameters that exist; `unpatchable` tells the others.
    Identity maps give no patches. Raises `MismatchError` when the steering does not fit.
    """
    components = module_tree(obj)
    modules = check_fit(components, steering)
    left_out = unpatchable(components, steering)
    patches: dict[str, Tensor] = {}
    for site, map in steering.active().items():
        if site in left_out:
            continue
        weight, bias = pristine(modules[site])
        affine = cast(AffineMap, map.affine())  # or it would have been left out
        dw, db = deltas(cast(Tensor, weight), bias, affine, weight_offset(modules[site]) or 0)
        patches[f"{site.name}.{weight_name(modules[site])}"] = dw
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
    if reason is None and bool(cast(AffineMap, map.affine()).shift.any()) and pristine(module)[1] is None:
        return "it has no bias to take the shift"
    return reason


def _keeps_hook(module: nn.Module, site: Site, map: Map, shared: set[int], followed: bool) -> bool:
    map = _scale_alone(map) if followed else map
    return (obstacle(module, map, site.axis) or _tied(module, site, shared)) is not None


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
    affine = map.affine()
    return map if affine is None else scale_alone(affine)


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
