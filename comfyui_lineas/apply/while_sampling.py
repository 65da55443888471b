"""A steering that acts while the model runs: hooks for the time of one call, put on and taken off again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lineas.apply.masks import Region, mask_region
from lineas.apply.steering_hook import SteeringHook
from lineas.errors import ConfigError, MismatchError
from lineas.maps.base import Map
from lineas.steering.site import Site


@dataclass(frozen=True)
class Window:
    """When a steering acts: at noise levels from `start` down to, but not including, `end`."""

    start: float = float("inf")
    end: float = -1.0

    def __contains__(self, sigma: float) -> bool:
        return self.end < sigma <= self.start


class SteeringWrapper:
    """Runs around the image model in sampling, and leaves nothing behind.

    maps: by path below `diffusion_model` and site. window: when. branch: "both", "cond" or "uncond".
    mask: [b, h, w] in 0..1, where; None is everywhere.
    """

    def __init__(
        self,
        maps: Mapping[tuple[str, Site], Map],
        strength: float,
        window: Window,
        branch: str = "both",
        mask: Tensor | None = None,
    ) -> None:
        self.hooks = [(path, SteeringHook(site, own(map), strength)) for (path, site), map in maps.items()]
        self.window, self.branch = window, branch
        self.mask = None if mask is None else mask.detach().float().reshape(-1, 1, *mask.shape[-2:])
        self._regions: dict[tuple[int, ...], Region] = {}

    @property
    def paths(self) -> set[str]:
        """The modules that it acts on."""
        return {path for path, _ in self.hooks}

    def __call__(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        options = _options(args, kwargs)
        flags = self._flags(options)
        if float(options["sigmas"].flatten()[0]) not in self.window or not any(flags):
            return executor(*args, **kwargs)
        regions = [] if all(flags) else [_chunks(flags)]
        if self.mask is not None:
            regions.append(self._masked(tuple(args[0].shape[-2:])))
        with ExitStack() as stack:
            for path, hook in self.hooks:
                hook.regions = regions
                module = executor.class_obj.get_submodule(path)
                stack.callback(module.register_forward_hook(hook).remove)
                _steer_first(module)
            return executor(*args, **kwargs)

    def _flags(self, options: Mapping[str, Any]) -> list[bool]:
        """For each chunk of the batch whether it is steered; 0 is the positive prompt."""
        chunks = options.get("cond_or_uncond") or [0]
        return [self.branch == "both" or (chunk == 0) == (self.branch == "cond") for chunk in chunks]

    def _masked(self, size: tuple[int, ...]) -> Region:
        """The mask in the proportions of the latent image, whatever its own are."""
        if size not in self._regions:
            with torch.inference_mode(False):
                mask = self.mask.clone()  # type: ignore[union-attr]
                self._regions[size] = mask_region(interpolate(mask, size, mode="bilinear", antialias=True))
        return self._regions[size]


def _options(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The transformer options of a call; their place differs between architectures."""
    if "transformer_options" in kwargs:
        return kwargs["transformer_options"]
    return next(entry for entry in args if isinstance(entry, dict) and "wrappers" in entry)


def _steer_first(module: nn.Module) -> None:
    """Hooks that watch a module, as in training, see what it gives with its steerings."""
    hooks = module._forward_hooks
    for number in [number for number, hook in hooks.items() if not isinstance(hook, SteeringHook)]:
        hooks.move_to_end(number)


def _chunks(flags: list[bool]) -> Region:
    """A region that covers whole chunks of the batch."""

    def region(site: Site, z: Tensor) -> Tensor:
        if z.shape[0] % len(flags):
            raise MismatchError(
                f"{site}: a batch of {z.shape[0]} cannot be told apart into {len(flags)} conditions. "
                "Set apply_to to both."
            )
        weights = torch.tensor(flags, dtype=torch.float32, device=z.device)
        weights = weights.repeat_interleave(z.shape[0] // len(flags))
        return weights.view(-1, *[1] * (z.ndim - 1))

    return region


def own(map: Map) -> Map:
    """A copy outside of inference mode, so that one may also train on a steered model."""
    with torch.inference_mode(False):
        return map.copied()


BRANCHES = ("both", "cond", "uncond")
AUTOMATIC, WEIGHTS, HOOKS = METHODS = ("automatic", "weights", "hooks")


@dataclass(frozen=True)
class Placement:
    """When, where and on which conditioning a steering acts; the defaults are always, everywhere, both."""

    start_percent: float = 0.0
    end_percent: float = 1.0
    apply_to: str = "both"
    method: str = AUTOMATIC
    mask: Tensor | None = None

    @property
    def is_constant(self) -> bool:
        always = self.start_percent <= 0 and self.end_percent >= 1
        return always and self.apply_to == "both" and self.mask is None

    def window(self, model: Any) -> Window:
        """The noise levels of the percentages. `ConfigError` when there are none between them."""
        if self.start_percent >= self.end_percent:
            raise ConfigError(
                f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}, so it "
                "would never act. Let it start before it ends."
            )
        sampling = model.get_model_object("model_sampling")
        start = (
            float("inf") if self.start_percent <= 0 else float(sampling.percent_to_sigma(self.start_percent))
        )
        return Window(
            start, -1.0 if self.end_percent >= 1 else float(sampling.percent_to_sigma(self.end_percent))
        )
