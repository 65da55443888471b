"""A recipe: how a text-to-image pipeline is called, for training and for drawing alike."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lineas.errors import ConfigError, require


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
