"""How a pipeline of diffusers is called under a recipe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lineas.architectures.recipe import Recipe
from lineas.architectures.table import architecture_of
from lineas.errors import MismatchError


def call_arguments(pipe: Any, recipe: Recipe, prompts: int = 1) -> dict[str, Any]:
    """What a pipeline is called with under a recipe, besides `prompts` prompts and their generators.

    One negative prompt serves all prompts. A scale that asks for no guidance is left out where a pipeline
    takes none, and is the one that draws the prompt alone where that is not 0. One scale takes the place of a
    schedule of them.
    """
    given, taken = recipe.call_arguments(), parameters_of(pipe)
    known = architecture_of(getattr(pipe, "transformer", None))
    takes_all = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    if "guidance_scale" not in taken and not takes_all and recipe.guidance <= 1:
        del given["guidance_scale"]
    elif known is not None:
        given["guidance_scale"] = max(given["guidance_scale"], known.least)
    if "guidance_schedule" in taken:
        given.setdefault("guidance_schedule", None)
    for name, value in given.items():
        if name.startswith("negative_prompt") and isinstance(value, str):
            given[name] = [value] * prompts
    return given


def parameters_of(pipe: Any) -> Mapping[str, inspect.Parameter]:
    """What a pipeline can be called with."""
    return inspect.signature(inspect.unwrap(type(pipe).__call__)).parameters


def undecorated_call(pipe: Any, recipe: Recipe) -> Callable[..., Any]:
    """The pipeline's call without its `torch.no_grad`, given that it takes what the recipe calls it with."""
    wanted = {"prompt", "generator", "output_type", *call_arguments(pipe, recipe)}
    missing = wanted - parameters_of(pipe).keys()
    if missing:
        raise MismatchError(
            f"{type(pipe).__name__} is not called with {', '.join(sorted(missing))}, which the recipe "
            f"{recipe.name} needs. Give a text-to-image pipeline of diffusers, or another recipe."
        )
    return inspect.unwrap(type(pipe).__call__)


def stop_after_capture(pipe: Any, recipe: Recipe) -> dict[str, Any]:
    """What a pipeline is called with to end at the last step that a recipe captures, where it can."""
    last = max(recipe.capture or [recipe.steps - 1])
    if "callback_on_step_end" not in parameters_of(pipe) or last >= recipe.steps - 1:
        return {}

    def stop(pipe: Any, step: int, timestep: Any, given: dict[str, Any]) -> dict[str, Any]:
        if step >= last:
            pipe._interrupt = True
        return given

    return {"callback_on_step_end": stop}
