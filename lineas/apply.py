"""Apply: run a model with steerings on it, through hooks that leave no trace."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from lineas.capture import get_output, replace_output
from lineas.errors import ConfigError, MismatchError
from lineas.fingerprint import fingerprint, same_weights
from lineas.maps import Map
from lineas.regions import Region, mask_region
from lineas.sites import module_tree, named_modules, near_names, width
from lineas.steering import Site, Steering
from lineas.tokens import TokenRegion, token_region

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
    mask: [b, 1, h, w] in 0..1, the part of the image to steer; see `regions.mask_region`.
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
    regions = [mask_region(mask)] if mask is not None else []
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
        for found, group in zip(modules, hooks, strict=True):
            for hook in group:
                stack.callback(found[hook.site].register_forward_hook(hook).remove)
        return Handle(hooks, stack.pop_all())


def check_fit(components: Mapping[str, nn.Module], steering: Steering) -> dict[Site, nn.Module]:
    """The module of every site. `MismatchError` that lists every missing site and every other width.

    Warns when the model has the same shape but other weights than the steering was fitted on.
    """
    table = named_modules(components)
    problems = [site for site, map in steering.maps.items() if not _fits(table.get(site.name), site, map)]
    if problems:
        raise MismatchError(_refusal(steering, problems, table))
    _warn_of_other_weights(components, steering)
    return {site: table[site.name] for site in steering.maps}


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


def _fits(module: nn.Module | None, site: Site, map: Map) -> bool:
    # Other outputs than the first may have another width, which shows when the model runs.
    return module is not None and (site.output != 0 or width(module) in (None, map.width))


def _problem(site: Site, map: Map, table: Mapping[str, nn.Module]) -> str:
    if site.name not in table:
        return f"{site} is missing. {near_names(site.name, table)}"
    return f"{site} has {width(table[site.name])} units in the model and {map.width} in the steering."


def _refusal(
    steering: Steering, problems: Sequence[Site], table: Mapping[str, nn.Module], shown: int = 5
) -> str:
    made_for = steering.provenance.base_model or "another model (the file does not say which)"
    lines = [f"  {_problem(site, steering.maps[site], table)}" for site in problems[:shown]]
    lines += [f"  … and {len(problems) - shown} more"] if len(problems) > shown else []
    head = f"The steering does not fit the model at {len(problems)} of {len(steering.maps)} sites:"
    tail = f"It was made for {made_for}. Load that model, or keep the sites that fit: steering.restrict(…)."
    return "\n".join([head, *lines, tail])


def _warn_of_other_weights(components: Mapping[str, nn.Module], steering: Steering) -> None:
    made_on = steering.provenance.fingerprint
    if made_on and same_weights(made_on, fingerprint(components, steering.maps)) is False:
        warnings.warn(
            f"The steering was fitted on other weights ({steering.provenance.base_model or 'unnamed'}; a "
            "fine-tune or another precision?). It fits in shape and is applied; check its effect.",
            stacklevel=4,
        )
