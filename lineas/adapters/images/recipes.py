"""Which recipe a pipeline is called by: the one that is named, its authors' own, or a guess that is told."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lineas.architectures.architecture import ABOVE_ZERO
from lineas.architectures.recipe import Recipe
from lineas.architectures.recipe_table import ALIASES, HINTS, RECIPES, REPOSITORIES
from lineas.architectures.table import architecture_of
from lineas.errors import ConfigError

__all__ = ["RECIPES", "Recipe", "base_model", "model_name", "named_recipe", "recipe_for"]

FALLBACK_STEPS = 4
DISTILLED_GUIDANCE = 3.5
"""Of FLUX.1 dev and its like: a number that the model takes as an input."""


def named_recipe(name: str) -> Recipe:
    """The recipe of a name: one of `RECIPES` and `ALIASES`, "lcm:4", "multistep:8" or "multistep:30:7.5".

    "multistep:n" is n steps of the pipeline's own scheduler, with a guidance scale where one is given;
    "lcm:n" is n steps of LCMScheduler. Raises `ConfigError` for other names.
    """
    if (known := ALIASES.get(name, name)) in RECIPES:
        return RECIPES[known]
    kind, *numbers = name.split(":")
    if (kind == "multistep" and len(numbers) in (1, 2)) or (kind == "lcm" and len(numbers) == 1):
        try:
            guidance = float(numbers[1]) if len(numbers) == 2 else 1.0
            scheduler = "LCMScheduler" if kind == "lcm" else None
            return Recipe(name, steps=int(numbers[0]), guidance=guidance, scheduler=scheduler)
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
    names = [*RECIPES, *ALIASES]
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join([*names, "lcm:<steps>", "multistep:<steps>", "multistep:<steps>:<guidance>"])
    raise ConfigError(f"Unknown recipe {name!r}, expected one of {listed}.{hint}")


def recipe_for(pipe: Any, recipe: str | Recipe | None = None) -> Recipe:
    """The recipe of a pipeline: the one given, by name or as it is, else that of its authors' repository or
    of its configuration, else a guess.

    A guess is four steps of the pipeline's own scheduler without guidance, and warns how to name another.
    Recipes by name that ask for no guidance have none on every model.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe is not None:
        return _without_guidance(pipe, named_recipe(recipe))
    name = model_name(pipe)
    if name in REPOSITORIES:
        return RECIPES[REPOSITORIES[name]]
    if (known := _by_configuration(pipe)) is not None:
        return known
    guess = _without_guidance(pipe, named_recipe(f"multistep:{FALLBACK_STEPS}"))
    hints = [hint for word, hint in HINTS.items() if word in name.lower()]
    better = f'its name sounds like recipe="{hints[0]}"' if hints else 'such as recipe="multistep:30:7.5"'
    warnings.warn(
        f"{name or type(pipe).__name__} is not known to draw in few steps; it is run with the recipe "
        f'"{guess.name}" without guidance. Name another one where that is wrong: {better}.',
        stacklevel=2,
    )
    return guess


def _by_configuration(pipe: Any) -> Recipe | None:
    """What a scheduler or a model says of itself."""
    scheduler, kind = getattr(pipe, "scheduler", None), type(pipe).__name__
    scheduler_kind = type(scheduler).__name__
    if _configured(scheduler, "prediction_type") == "sample":
        return RECIPES["scenes"]
    if scheduler_kind == "SCMScheduler":
        return RECIPES["sana-sprint:2"]
    if _configured(pipe, "is_distilled") and kind in _DISTILLED:
        return RECIPES[_DISTILLED[kind]]
    if scheduler_kind in ("LCMScheduler", "TCDScheduler"):
        return named_recipe(f"multistep:{FALLBACK_STEPS}")
    embeds = _configured(getattr(pipe, "transformer", None), "guidance_embeds")
    if kind == "FluxPipeline" and embeds is False:
        return RECIPES["flux-schnell"]
    if embeds:
        guess = replace(named_recipe(f"multistep:{FALLBACK_STEPS}"), guidance=DISTILLED_GUIDANCE)
        warnings.warn(
            f"{model_name(pipe) or kind} takes its guidance as an input and may need more than the "
            f'{guess.steps} steps that it is run with. Name a recipe, such as recipe="multistep:28:3.5".',
            stacklevel=3,
        )
        return guess
    return None


_DISTILLED = {"Flux2KleinPipeline": "flux2-klein", "Krea2Pipeline": "krea2-turbo"}


def _configured(part: Any, name: str) -> Any:
    config = getattr(part, "config", None)
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)


def _without_guidance(pipe: Any, recipe: Recipe) -> Recipe:
    """The recipe with a scale of 0 where it asks for no guidance and the model has some from 0 on."""
    known = architecture_of(getattr(pipe, "transformer", None))
    from_zero = known is not None and known.guidance == ABOVE_ZERO
    return replace(recipe, guidance=0.0) if from_zero and recipe.guidance == 1 else recipe


def model_name(pipe: Any) -> str:
    """What a pipeline was loaded from, "" when it was not loaded."""
    config = getattr(pipe, "config", None)
    return str((config.get("_name_or_path") if isinstance(config, Mapping) else None) or "")


def base_model(pipe: Any, recipe: Recipe) -> str:
    """What to call the model: its name on the hub, or that of its folder without the way to it."""
    name = model_name(pipe) or type(pipe).__name__
    local = name not in REPOSITORIES and (Path(name).is_dir() or Path(name).is_absolute())
    name = Path(name).name if local else name
    return f"{name} with {recipe.unet[0]}" if recipe.unet and name == recipe.model else name
