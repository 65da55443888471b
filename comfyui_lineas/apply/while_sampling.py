"""A steering that acts while the model runs: hooks for the time of one call, put on and taken off again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor, nn

from lineas.apply.masks import Region
from lineas.apply.steering_hook import SteeringHook
from lineas.errors import MismatchError
from lineas.maps.base import Map
from lineas.modules.kinds import is_norm
from lineas.steering.site import Site

from ..notices import Board
from .image_part import mask_over
from .placement import Window
from .plain_run import as_plain_modules

KEY = "lineas"
WHOLE = "lineas_whole"
"""The option under which a model is told of the whole image, where it may be given a part of it."""


class SteeringWrapper:
    """Runs around the image model in sampling, and leaves nothing behind.

    maps: by path below `diffusion_model` and site. window: when. branch: "both", "cond" or "uncond".
    mask: [b, h, w] in 0..1, where; None is everywhere. board: told when a sampling is over and a site, or
    all of it, has not acted.
    """

    def __init__(
        self,
        maps: Mapping[tuple[str, Site], Map],
        strength: float,
        window: Window,
        branch: str = "both",
        mask: Tensor | None = None,
        board: Board | None = None,
    ) -> None:
        self.hooks = [(path, _Hook(site, own(map), strength)) for (path, site), map in maps.items()]
        self.window, self.branch, self.board = window, branch, board or Board()
        self.mask = None if mask is None else mask.detach().float().reshape(-1, 1, *mask.shape[-2:])
        self._was_on, self._told = False, ""

    @property
    def paths(self) -> set[str]:
        """The modules that it acts on."""
        return {path for path, _ in self.hooks}

    @property
    def content(self) -> list[Any]:
        """What it does, for telling one from another: numbers, texts and tensors."""
        hooks = [[path, hook.strength, *hook.map.tensors().values()] for path, hook in self.hooks]
        return [*hooks, self.window.start, self.window.end, self.branch, self.mask]

    def put_on(self, patcher: Any) -> None:
        """Make a MODEL run through this wrapper. Every architecture calls these three."""
        patcher.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, self)
        patcher.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, self.sampled)
        if self.mask is not None:
            patcher.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, KEY, whole_told)

    def __call__(self, executor: Any, x: Tensor, sigma: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Around `BaseModel.apply_model`: x [b, c, …, h, w] the noised latent, sigma [b] its noise level."""
        options = _options(args, kwargs)
        flags = self._flags(options)
        if float(sigma.flatten()[0]) not in self.window or not any(flags):
            return executor(x, sigma, *args, **kwargs)
        self._was_on = True
        regions = [] if all(flags) else [_chunks(flags)]
        if self.mask is not None:
            regions.append(mask_over(self.mask, x, options.get(WHOLE)))
        root = executor.class_obj.diffusion_model
        with ExitStack() as stack:
            modules = [root.get_submodule(path) for path, _ in self.hooks]
            for module, (_, hook) in zip(modules, self.hooks, strict=True):
                stack.callback(module.register_forward_hook(hook.within(regions)).remove)
                _steer_first(module)
            stack.enter_context(as_plain_modules(_is_compiled(root, options), any(map(is_norm, modules))))
            return executor(x, sigma, *args, **kwargs)

    def sampled(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """Around a whole sampling: afterwards what has not acted is told."""
        self._was_on = False
        for _, hook in self.hooks:
            hook.fired.clear()
        result = executor(*args, **kwargs)
        self.board.take_back(self._told)
        self._told = self._missed()
        if self._told:
            self.board.tell(self._told)
        return result

    def _missed(self) -> str:
        silent = [hook.site for _, hook in self.hooks if not hook.fired]
        if not self._was_on:
            return (
                "The steering did not act: no step of this sampling lies between start_percent and "
                "end_percent, or the conditioning of apply_to was not run (at cfg 1 uncond is not)."
            )
        if not silent:
            return ""
        return (
            f"The steering did not act at {len(silent)} of {len(self.hooks)} sites that need hooks, the "
            f"first is {silent[0]}: this ComfyUI computes them without calling the module. A steering of "
            "other sites, or one that weights can hold, acts."
        )

    def _flags(self, options: Mapping[str, Any]) -> list[bool]:
        """For each chunk of the batch whether it is steered; 0 is the positive prompt."""
        chunks = options.get("cond_or_uncond") or [0]
        return [self.branch == "both" or (chunk == 0) == (self.branch == "cond") for chunk in chunks]


class _Hook(SteeringHook):
    """A hook that remembers whether it was called."""

    def __init__(self, site: Site, map: Map, strength: float) -> None:
        super().__init__(site, map, strength)
        self.fired: set[Site] = set()

    def within(self, regions: list[Region]) -> _Hook:
        """The same hook for one call; several devices may run at once, each with its own part."""
        one = copy.copy(self)
        one.regions = regions
        return one

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        self.fired.add(self.site)
        return super().__call__(module, args, output)


def whole_told(
    executor: Any, x: Tensor, timestep: Tensor, model_options: Mapping[str, Any] | None = None, *args: Any
) -> Any:
    """Around the prediction of one step: the model learns of the whole image that is drawn."""
    options = dict(model_options or {})
    options["transformer_options"] = {**options.get("transformer_options", {}), WHOLE: x}
    return executor(x, timestep, options, *args)


def _options(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The transformer options of a call of `apply_model`."""
    if "transformer_options" in kwargs:
        return kwargs["transformer_options"]
    return next((entry for entry in args if isinstance(entry, dict) and "wrappers" in entry), {})


def _is_compiled(root: nn.Module, options: Mapping[str, Any]) -> bool:
    by_node = options.get("wrappers", {}).get(WrappersMP.APPLY_MODEL, {}).get("torch.compile")
    return hasattr(root, "_orig_mod") or bool(by_node)


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
