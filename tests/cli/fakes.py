"""A tiny image pipeline and its problem, in place of the models that the commands load."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from toys.models import toy_unet

from lineas.adapters.images.recipes import Recipe
from lineas.cli import models
from lineas.errors import HubError
from lineas.fitting.problem import Group, Problem
from lineas.modules.names import find_sites, module_tree

RECIPE = Recipe("toy")


def start(prompt: str, seed: int) -> Tensor:
    """[1, 4, 4, 4] what a prompt and a seed put into the network."""
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    if "night" in prompt:
        x[:, 0] -= 2
    return x


class FakePipe:
    """Called like a diffusers pipeline; its images are what the network makes of prompt and noise."""

    def __init__(self, seed: int = 0) -> None:
        self.components: dict[str, Any] = {"unet": toy_unet(seed), "tokenizer": None}
        self.calls: list[dict[str, Any]] = []

    def __call__(self, prompt: list[str], generator: list[torch.Generator], **options: Any) -> Any:
        self.calls.append({"prompt": prompt, **options})
        latents = [start(p, g.initial_seed()) for p, g in zip(prompt, generator, strict=True)]
        pixels = self.components["unet"](torch.cat(latents))[:, :3].sigmoid()
        arrays = (pixels.permute(0, 2, 3, 1).detach().numpy() * 255).astype(np.uint8)
        return SimpleNamespace(images=[Image.fromarray(array).resize((16, 16)) for array in arrays])


class FakeProblem(Problem):
    def __init__(self, pipe: Any, groups: dict[Group, Sequence[str]], sites: Any, seed: int) -> None:
        components = module_tree(pipe)
        found = find_sites(components, sites or "unet.*norm*")
        sizes = {group: len(prompts) for group, prompts in groups.items()}
        super().__init__(components, found, sizes, "toy", "hash")
        self.groups, self.seed = groups, seed

    def run(self, group: Group, indices: Sequence[int]) -> None:
        self.components["unet"](torch.cat([start(self.groups[group][i], self.seed + i) for i in indices]))


def problem_for(obj: Any, source: Any, target: Any, preserve: Any = None, *, sites: Any = None,
                recipe: Any = None, tokenizer: Any = None, seed: int = 0) -> Problem:  # fmt: skip
    return FakeProblem(obj, {"source": source, "target": target, "preserve": preserve or ()}, sites, seed)


def load_pipeline(name: str, recipe: Any = None, dtype: Any = None, device: Any = None) -> FakePipe:
    if name == "toy":
        return FakePipe()
    if name == "other-toy":
        pipe = FakePipe()
        pipe.components["unet"].conv_norm_out = torch.nn.GroupNorm(2, 6)
        return pipe
    raise HubError(f"Cannot load {name!r}: the hub cannot be reached. Check the connection.")


def install(monkeypatch: Any) -> None:
    """Put the fakes where the commands look for adapters."""
    monkeypatch.setattr("lineas.adapters.problems.problem_for", problem_for)
    monkeypatch.setattr("lineas.adapters.images.loading.load_pipeline", load_pipeline)
    monkeypatch.setattr("lineas.adapters.images.recipes.recipe_for", lambda pipe, recipe=None: RECIPE)
    monkeypatch.setattr(models, "find_task", lambda name: "image")
