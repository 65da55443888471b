"""Images of prompts under steerings, from the same noise at every strength."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image

from lineas.apply.hooks import steer
from lineas.errors import MismatchError
from lineas.steering.steering import Steering


class Drawer:
    """Draws n prompts with a pipeline: a callable (prompts, strength) -> n images.

    Prompt i starts from the noise of seed + i, whatever the strength and the batch size, so images differ by
    the steering alone. Several steerings act one after the other, each at its weight times the strength.

    pipe: a diffusers pipeline, or anything called alike that has its `components`.
    steerings: none draws unsteered images.
    weights: λ of each steering at strength 1; None is 1 for all.
    recipe: how the pipeline is called; None finds the pipeline's own, see `lineas.adapters.recipes`.
    seed: of the first prompt's noise.
    batch: prompts that are drawn at once.
    on_images: called with the number of images done after each batch. schedule: over the steps, see `steer`.
    """

    def __init__(
        self,
        pipe: Any,
        steerings: Sequence[Steering] = (),
        weights: Sequence[float] | None = None,
        *,
        recipe: Any = None,
        seed: int = 0,
        batch: int = 8,
        on_images: Callable[[int], object] | None = None,
        schedule: str | None = None,
    ) -> None:
        from lineas.adapters.images.recipes import recipe_for

        found = recipe_for(pipe, recipe)
        # A shallow copy shares the models and has a scheduler of its own.
        self.pipe, self.steerings = copy.copy(pipe), list(steerings)
        self.recipe = found
        self.weights = list(weights) if weights is not None else [1.0] * len(self.steerings)
        if len(self.weights) != len(self.steerings):
            raise MismatchError(
                f"Got {len(self.weights)} weights for {len(self.steerings)} steerings, expected one for each."
            )
        if hasattr(pipe, "scheduler"):
            self.pipe.scheduler = found.scheduler_for(pipe)
        self.seed, self.batch, self.on_images, self.schedule = seed, max(1, batch), on_images, schedule

    def __call__(
        self, prompts: Sequence[str], strength: float = 1.0, seeds: Sequence[int] | None = None
    ) -> list[Image.Image]:
        """n images; `seeds`, one per prompt, replace seed + i."""
        chosen = list(seeds) if seeds is not None else [self.seed + i for i in range(len(prompts))]
        if len(chosen) != len(prompts):
            raise MismatchError(f"Got {len(chosen)} seeds for {len(prompts)} prompts, expected one for each.")
        images: list[Image.Image] = []
        strengths = [strength * weight for weight in self.weights]
        with steer(self.pipe, self.steerings, strengths, schedule=self.schedule):
            for start in range(0, len(prompts), self.batch):
                part = slice(start, start + self.batch)
                images += self._drawn(list(prompts[part]), chosen[part])
        return images

    def _drawn(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        # Generators of the CPU: the same noise on every device.
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        from lineas.adapters.images.calling import call_arguments

        options = call_arguments(self.pipe, self.recipe, len(prompts))
        with torch.no_grad():
            made = self.pipe(prompt=prompts, generator=noise, output_type="pil", **options)
        images = _first_images(made)
        if self.on_images is not None:
            self.on_images(len(images))
        return images


def _first_images(made: Any) -> list[Image.Image]:
    """What a pipeline returned, whatever it calls it: images, and of videos their first frames."""
    found = getattr(made, "images", None)
    found = next(iter(made.values())) if found is None else found
    return [each[0] if isinstance(each, list) else each for each in found]
