"""Apply: run a model with steerings on it, through hooks that leave no trace."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from lineas.apply.check import check_fit
from lineas.apply.masks import MaskRegion, Region, mask_region
from lineas.apply.tokens import TokenRegion, token_region
from lineas.errors import ConfigError, MismatchError
from lineas.maps.base import Map
from lineas.modules.names import module_tree
from lineas.modules.recorder import get_output, replace_output
from lineas.steering.site import Site
from lineas.steering.steering import Steering

Strengths = float | Sequence[float]


class SteeringHook:
    """Forward hook: one map at one site, at a strength that may change between calls."""

    def __init__(self, site: Site, map: Map, strength: float, regions: Sequence[Region] = ()) -> None:
        self.site, self.map, self.strength, self.regions = site, map, strength, regions
        self._idle = map.is_identity
        self._on_device: dict[torch.device, Map] = {}

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        if self._idle or self.strength == 0:
            return None
        z = get_output(output, self.site.output)
        if z.shape[self.site.axis] != self.map.width:
            raise MismatchError(
                f"{self.site}: the activation has shape {list(z.shape)}, expected {self.map.width} units on "
                f"axis {self.site.axis}. The steering is for another model; restrict it to sites that fit."
            )
        strength: float | Tensor = self.strength
        for region in self.regions:
            weights = region(self.site, z)
            strength = strength if weights is None else strength * weights
        return replace_output(output, self.site.output, self._map_on(z.device)(z, strength, self.site.axis))

    def _map_on(self, device: torch.device) -> Map:
        if device not in self._on_device:
            with torch.inference_mode(False):  # a copy made in inference mode could not be used for training
                self._on_device[device] = self.map.to(device=device)
        return self._on_device[device]


class Handle:
    """Steerings on a model until `remove()` or the end of the `with` block."""

    def __init__(self, hooks: Sequence[Sequence[SteeringHook]], stack: ExitStack) -> None:
        self._hooks, self._stack = hooks, stack

    @property
    def sites(self) -> list[Site]:
        """Every hooked site, in order of steerings."""
        return [hook.site for hooks in self._hooks for hook in hooks]

    def set_strength(self, strength: Strengths) -> None:
        """Change λ from the next forward on: one number for all, or one for each, else `ConfigError`."""
        for hooks, value in zip(self._hooks, strengths_for(strength, len(self._hooks)), strict=True):
            for hook in hooks:
                hook.strength = value

    def remove(self) -> None:
        """Take every hook off. Doing it again does nothing."""
        self._stack.close()

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def steer(
    obj: Any,
    steering: Steering | Sequence[Steering],
    strength: Strengths = 1.0,
    *,
    mask: Tensor | None = None,
    where: str | Tensor | Region | None = None,
) -> Handle:
    """Steer a module, a pipeline or a mapping of components from now until the handle is removed.

    steering: one, or several that act one after the other where they share a site.
    strength: λ for all or for each; 0 is off and bit-identical to no steering, 1 full, others extrapolate.
    mask: [b, 1, h, w] in 0..1, the part of the image to steer, a row for each prompt or image; see
    `masks.mask_region`.
    where: "all" tokens, the "last", only those "generated", a mask [b, s] of tokens, or a function
    (site, z) -> weights that broadcast to z; see `tokens.token_region` and `tokens.token_mask`.

    Everything is checked before anything is touched: `MismatchError` for missing sites or other widths,
    `ConfigError` for options. Other weights than those it was fitted on only warn. Weights are never changed
    and the hooks go when the block ends, also by an exception. A model that torch.compile has already
    compiled does not see new hooks: fuse instead, or steer before compiling.
    """
    components = module_tree(obj)
    steerings = as_list(steering)
    strengths = strengths_for(strength, len(steerings))
    regions: list[Region] = [mask_region(mask)] if mask is not None else []
    if (tokens := token_region("all" if where is None else where)) is not None:
        regions.append(tokens)
    modules = [check_fit(components, one) for one in steerings]
    hooks = [
        [SteeringHook(site, map, value, regions) for site, map in one.maps.items()]
        for one, value in zip(steerings, strengths, strict=True)
    ]
    with ExitStack() as stack:
        for stop in tokens.watch(components) if isinstance(tokens, TokenRegion) else []:
            stack.callback(stop)
        for region in regions:
            for stop in region.watch(components) if isinstance(region, MaskRegion) else []:
                stack.callback(stop)
        for found, group in zip(modules, hooks, strict=True):
            for hook in group:
                stack.callback(found[hook.site].register_forward_hook(hook).remove)
        return Handle(hooks, stack.pop_all())


def strengths_for(strength: Strengths, count: int) -> list[float]:
    """One number per steering. `ConfigError` when a sequence has another length."""
    if not isinstance(strength, Sequence):
        return [float(strength)] * count
    if len(strength) != count:
        raise ConfigError(
            f"Got {len(strength)} strengths for {count} steerings. Give one number, or one for each."
        )
    return list(strength)


def as_list(steering: Steering | Sequence[Steering]) -> list[Steering]:
    """One steering or several, as a list."""
    return [steering] if isinstance(steering, Steering) else list(steering)
