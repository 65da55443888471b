"""Recipes: how a text-to-image pipeline is called, for training and for drawing alike."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from lineas.errors import ConfigError, require

FALLBACK_STEPS = 4


@dataclass(frozen=True)
class Recipe:
    """How a pipeline goes from noise to an image.

    name: what it is called. steps: denoising steps, at least 1; training keeps the graph of all that are
    captured, so memory grows with them.
    timesteps: of the steps, descending, instead of the scheduler's own; None leaves them to the scheduler.
    guidance: classifier-free guidance scale; up to 1 the model runs on the prompt alone, above 1 it also runs
    without it, and only the half with the prompt is trained on. Distilled guidance takes it as it is.
    scheduler, scheduler_options: class of diffusers, and what differs from the pipeline's own configuration;
    None keeps the pipeline's own class.
    height, width: of the image in pixels; None is the model's own.
    capture: indices of the steps whose activations count; None is all. Steps after the last are not run.
    model, unet: where the weights are on the hub: a pipeline, and (repository, file) of another UNet for it.
    arguments: more arguments of the pipeline's call. note: a sentence for people.
    """

    name: str
    steps: int = 1
    timesteps: tuple[int, ...] | None = None
    guidance: float = 0.0
    scheduler: str | None = None
    scheduler_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    height: int | None = None
    width: int | None = None
    capture: tuple[int, ...] | None = None
    model: str = ""
    unet: tuple[str, str] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    note: str = ""

    def __post_init__(self) -> None:
        if self.timesteps is not None and len(self.timesteps) != self.steps:
            raise ConfigError(
                f"The recipe {self.name} has {self.steps} steps and {len(self.timesteps)} timesteps. "
                "Give one timestep per step."
            )
        if self.steps < 1 or (self.capture is not None and not self.capture):
            raise ConfigError(f"The recipe {self.name} needs at least one step, and one that is captured.")
        if any(not 0 <= index < self.steps for index in self.capture or ()):
            raise ConfigError(
                f"The recipe {self.name} captures steps {self.capture}, expected numbers from 0 to "
                f"{self.steps - 1}."
            )

    def call_arguments(self) -> dict[str, Any]:
        """What to call the pipeline with, besides prompt and generator."""
        given = {name: getattr(self, name) for name in ("height", "width") if getattr(self, name) is not None}
        if self.timesteps is not None:
            given["timesteps"] = list(self.timesteps)
        return {"num_inference_steps": self.steps, "guidance_scale": self.guidance, **given, **self.arguments}

    def scheduler_for(self, pipe: Any) -> Any:
        """A scheduler of its own for this recipe, configured like that of the pipeline, which is left alone.

        Raises `ConfigError` when diffusers has no such class.
        """
        if self.scheduler is None and not self.scheduler_options:
            return copy.deepcopy(pipe.scheduler)
        kind: Any = type(pipe.scheduler)
        if self.scheduler is not None:
            kind = getattr(require("diffusers", "diffusers"), self.scheduler, None)
        if kind is None:
            raise ConfigError(f"diffusers has no scheduler {self.scheduler!r} (recipe {self.name}).")
        return kind.from_config(pipe.scheduler.config, **self.scheduler_options)


_SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("sd-turbo", model="stabilityai/sd-turbo", note="One step from timestep 999, 512 pixels."),
        Recipe("sdxl-turbo", model="stabilityai/sdxl-turbo", note="One step from timestep 999, 512 pixels."),
        Recipe(
            "dmd2",
            timesteps=(399,),
            scheduler="LCMScheduler",
            model=_SDXL,
            unet=("tianweiy/DMD2", "dmd2_sdxl_1step_unet_fp16.bin"),
            note="The model of LinEAS: one step from timestep 399, 1024 pixels.",
        ),
        Recipe(
            "sdxl-lightning",
            scheduler="EulerDiscreteScheduler",
            scheduler_options={"timestep_spacing": "trailing", "prediction_type": "sample"},
            model=_SDXL,
            unet=("ByteDance/SDXL-Lightning", "sdxl_lightning_1step_unet_x0.safetensors"),
            note="One step to the image itself, 1024 pixels; its authors call it experimental.",
        ),
        Recipe(
            "hyper-sdxl",
            timesteps=(800,),
            scheduler="LCMScheduler",
            model=_SDXL,
            unet=("ByteDance/Hyper-SD", "Hyper-SDXL-1step-Unet.safetensors"),
            note="One step from timestep 800, 1024 pixels.",
        ),
        Recipe("scenes", note="One step of the pipeline's own scheduler, as the bundled model takes it."),
    )
}
_MARKS = {
    "sd-turbo": "sd-turbo",
    "sdxl-turbo": "sdxl-turbo",
    "dmd2": "dmd2",
    "lightning": "sdxl-lightning",
    "hyper": "hyper-sdxl",
}


def named_recipe(name: str) -> Recipe:
    """The recipe of a name: one of `RECIPES`, "multistep:8" or, with guidance, "multistep:30:7.5".

    "multistep:n" is n steps of the pipeline's own scheduler. Raises `ConfigError` for other names.
    """
    if name in RECIPES:
        return RECIPES[name]
    kind, *numbers = name.split(":")
    if kind == "multistep" and len(numbers) in (1, 2):
        try:
            guidance = float(numbers[1]) if len(numbers) == 2 else 1.0
            return Recipe(name, steps=int(numbers[0]), guidance=guidance)
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
    known = [*RECIPES, "multistep:<steps>", "multistep:<steps>:<guidance>"]
    near = get_close_matches(name, RECIPES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"Unknown recipe {name!r}, expected one of {', '.join(known)}.{hint}")


def recipe_for(pipe: Any, recipe: str | Recipe | None = None) -> Recipe:
    """The recipe of a pipeline: the one given, by name or as it is, else a guess from its name.

    A pipeline whose scheduler predicts the image itself takes one step, FLUX.1 schnell four. Any other is run
    for four steps of its own scheduler, with a warning unless it is known to be made for few steps.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe is not None:
        return named_recipe(recipe)
    name = model_name(pipe).lower()
    for mark, known in _MARKS.items():
        if mark in name:
            return RECIPES[known]
    scheduler = getattr(pipe, "scheduler", None)
    if getattr(getattr(scheduler, "config", None), "prediction_type", None) == "sample":
        return RECIPES["scenes"]
    guess = named_recipe(f"multistep:{FALLBACK_STEPS}")
    transformer = getattr(getattr(pipe, "transformer", None), "config", None)
    if getattr(transformer, "guidance_embeds", False):
        return replace(guess, guidance=3.5)  # distilled guidance: a number that the model takes as an input
    if type(scheduler).__name__ not in ("LCMScheduler", "TCDScheduler") and "schnell" not in name:
        warnings.warn(
            f"{name or type(pipe).__name__} is not known to draw in few steps; it is run with the recipe "
            f'"{guess.name}". Name another one, such as recipe="multistep:30:7.5", if it needs it.',
            stacklevel=2,
        )
    return guess


def model_name(pipe: Any) -> str:
    """What a pipeline was loaded from, "" when it was not loaded."""
    config = getattr(pipe, "config", None)
    return str((config.get("_name_or_path") if isinstance(config, Mapping) else None) or "")
