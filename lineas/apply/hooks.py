"""Apply: run a model with steerings on it, through hooks that leave no trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from lineas.apply.check import check_fit
from lineas.apply.generation import follow_generations
from lineas.apply.handle import Handle, Part, as_list, claim
from lineas.apply.masks import Region, mask_region
from lineas.apply.prompt_tokens import in_own_slots, watch_tokens
from lineas.apply.runs import without_new_hooks
from lineas.apply.schedule import Schedule, scheduled_region
from lineas.apply.steering_hook import SteeringHook
from lineas.apply.strengths import Strengths, strengths_for
from lineas.apply.tokens import TokenRegion, token_region
from lineas.apply.undo import Undo, put_hook, put_pre_hook
from lineas.errors import ConfigError
from lineas.modules.names import module_tree
from lineas.steering.site import Site
from lineas.steering.steering import Steering


def steer(
    obj: Any,
    steering: Steering | Sequence[Steering],
    strength: Strengths = 1.0,
    *,
    mask: Tensor | None = None,
    where: str | Tensor | Region | None = None,
    schedule: Schedule | str | None = None,
) -> Handle:
    """Steer a module, a pipeline or a mapping of components from now until the handle is removed.

    steering: one, or several that act one after the other where they share a site.
    strength: λ for all or for each; 0 is off and bit-identical to no steering, 1 full, others extrapolate.
    mask: [b, 1, h, w] in 0..1, the part of the image to steer, a row for each prompt or image; see
    `masks.mask_region`.
    where: "all" tokens, the "last", only those "generated", a mask [b, s] of tokens, or a function
    (site, z) -> weights that broadcast to z; see `tokens.token_region` and `token_mask`.
    schedule: when, over the denoising steps of a pipeline: "0:0.5" is the first half, "1,0.5,0" fades; see
    `Schedule`.

    Everything is checked before anything is touched: `MismatchError` for missing sites or other widths,
    `ConfigError` for options. Other weights than those it was fitted on only warn. Weights are never changed
    and the hooks go when the block ends, also by an exception. A model that torch.compile has compiled does
    not see new hooks and is refused, as is one that another thread is steering. A copy of a steered model is
    not steered.
    """
    components = module_tree(obj)
    steerings = in_own_slots(components, as_list(steering))
    strengths = strengths_for(strength, len(steerings))
    regions: list[Region] = [mask_region(mask)] if mask is not None else []
    if (chosen := token_region("all" if where is None else where)) is not None:
        _refuse_without_effect(steerings, where)
        regions.append(chosen)
    if schedule is not None:
        sites = {site: map for one in steerings for site, map in one.maps.items()}
        regions.append(scheduled_region(obj, schedule, sites))
    modules = [check_fit(components, one) for one in steerings]
    for found in modules:
        check_not_compiled(components, found)
    undo = Undo()
    try:
        claim(components, undo)
        tokens = watch_tokens(obj, components, steerings, undo)
        parts = [
            Part(
                value,
                [SteeringHook(site, map, value, regions, tokens.get(site)) for site, map in one.maps.items()],
            )
            for one, value in zip(steerings, strengths, strict=True)
        ]
        for region in regions:
            _watch(region, components, undo)
        for found, part in zip(modules, parts, strict=True):
            for hook in part.hooks:
                put_hook(found[hook.site], hook, undo)
        return Handle(parts, undo, components=components)
    except BaseException:
        undo()
        raise


def _refuse_without_effect(steerings: Sequence[Steering], where: Any) -> None:
    """Raise `ConfigError` for a region of later tokens and a steering of the first one."""
    at_start = (map.at_start for one in steerings for map in one.maps.values())
    if isinstance(where, str) and any(at_start):
        raise ConfigError(
            f"The steering acts on the first token of a text, and where={where!r} leaves that alone: nothing "
            "would be steered. Leave where out; later tokens read the first one as far as they see fit."
        )


def check_not_compiled(components: Mapping[str, nn.Module], modules: Mapping[Site, nn.Module]) -> None:
    """Raise `ConfigError` where hooks would stay without effect: in what torch.compile has compiled."""
    compiled = {module for root in components.values() for module in without_new_hooks(root)}
    for site, module in modules.items():
        if module in compiled:
            raise ConfigError(
                f"{site} lies in a module that torch.compile has compiled, which runs without new hooks. Use "
                "fuse(…), which changes weights, or steer the model before it is compiled."
            )


def _watch(region: Region, components: Mapping[str, nn.Module], undo: Undo) -> None:
    """Let a region see what it needs to of the runs of a model."""
    if isinstance(region, TokenRegion):
        follow_generations(components, region, undo)
    for module, hook in getattr(region, "watch", _unwatched)(components):
        put_pre_hook(module, hook, undo)


def _unwatched(components: Mapping[str, nn.Module]) -> tuple[()]:
    """What a region that needs to see nothing of a run follows."""
    return ()
