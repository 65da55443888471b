"""Load image pipelines, from the hub, a folder or the bundled weights, ready for their recipe."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lineas.adapters.devices import best_device
from lineas.adapters.images.recipes import RECIPES, Recipe, named_recipe
from lineas.architectures.recipe_table import ALIASES
from lineas.errors import HubError, require
from lineas.scenes import BUNDLED


def load_pipeline(
    name_or_path: str | Path,
    recipe: str | Recipe | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> Any:
    """A diffusers pipeline with the scheduler, and where the recipe names one the UNet, of its recipe.

    name_or_path: a folder, a name on the hub, the name of a recipe ("dmd2"), or a bundled model:
    "scenes", "scenes-transformer".
    recipe: how it will be called; None finds out. dtype: None is half precision on a CUDA device and float32
    elsewhere. device: None is the best there is of cuda, mps, xpu and cpu.

    Raises `HubError` when nothing is found or the hub cannot be reached, `ConfigError` for unknown recipes
    and `MissingExtraError` without diffusers.
    """
    name, device = str(name_or_path), torch.device(device or best_device())
    name = ALIASES.get(name, name)
    chosen = named_recipe(recipe) if isinstance(recipe, str) else recipe or RECIPES.get(name)
    if name in BUNDLED:
        from lineas.scenes.bundled import load_pipeline as bundled

        pipe = bundled(dtype, name)
    else:
        pipe = _from_hub_or_folder(name, chosen, dtype, device)
    if chosen is not None and (chosen.scheduler or chosen.scheduler_options):
        pipe.scheduler = chosen.scheduler_for(pipe)
    return pipe.to(device)


def _from_hub_or_folder(name: str, recipe: Recipe | None, dtype: Any, device: torch.device) -> Any:
    diffusers = require("diffusers", "diffusers")
    require("transformers", "diffusers")
    # A folder, or another model, brings its own UNet.
    own_weights = recipe is None or recipe.unet is None or name not in (recipe.name, recipe.model)
    name = model_named(name, recipe)
    with hub_failures_told(name):
        listed = diffusers.DiffusionPipeline.load_config(name)
        dtype = dtype or default_dtype(listed, device)
        given = {} if own_weights else {"unet": _unet(diffusers, name, recipe, dtype)}
        return _pipeline(diffusers, name, dtype, **given)


def model_named(name: str, recipe: Recipe | None) -> str:
    """The folder, or the name on the hub, that is loaded for a name; that of a recipe stands for a model."""
    return recipe.model if recipe is not None and recipe.model and name == recipe.name else name


@contextmanager
def hub_failures_told(name: str) -> Iterator[None]:
    """What the hub and its client raise, as a `HubError`."""
    try:
        yield
    except Exception as error:
        # The hub's client has raised errors of several families over time; all of them mean the same here.
        if not _is_of_the_hub(error):
            raise
        raise HubError(
            f"Cannot load {name!r}: it is no folder with a pipeline, and the hub has no such model or cannot "
            f"be reached ({str(error).strip().partition(chr(10))[0]}). Check the name and the connection, or "
            "give the folder of a downloaded model."
        ) from error


def _pipeline(diffusers: Any, name: str, dtype: torch.dtype, **given: Any) -> Any:
    with warnings.catch_warnings():
        # The new name of this argument is unknown to older releases.
        warnings.filterwarnings("ignore", message=".*torch_dtype.*is deprecated")
        return _from_pretrained(diffusers, name, dtype, **given)


def _from_pretrained(diffusers: Any, name: str, dtype: torch.dtype, **given: Any) -> Any:
    if dtype == torch.float16 and not Path(name).is_dir():
        try:  # half the download, where the authors offer it
            return diffusers.DiffusionPipeline.from_pretrained(
                name, torch_dtype=dtype, variant="fp16", **given
            )
        except (OSError, ValueError):
            pass
    return diffusers.DiffusionPipeline.from_pretrained(name, torch_dtype=dtype, **given)


def _unet(diffusers: Any, name: str, recipe: Recipe | None, dtype: torch.dtype) -> Any:
    """The UNet of a pipeline, with the weights that the recipe names."""
    assert recipe is not None and recipe.unet is not None
    hub, safetensors = require("huggingface_hub", "diffusers"), require("safetensors.torch", "diffusers")
    kind = diffusers.UNet2DConditionModel
    unet = kind.from_config(kind.load_config(name, subfolder="unet")).to(dtype)
    path = hub.hf_hub_download(*recipe.unet)
    is_safe = path.endswith(".safetensors")
    unet.load_state_dict(
        safetensors.load_file(path) if is_safe else torch.load(path, map_location="cpu", weights_only=True)
    )
    return unet


def default_dtype(listed: Any, device: torch.device) -> torch.dtype:
    """Of the weights on a device, for a pipeline whose configuration lists these parts."""
    if device.type != "cuda":
        return torch.float32
    # Transformers of the FLUX and SD3 kind, and T5, overflow in float16.
    return torch.float16 if "unet" in listed else torch.bfloat16


def _is_of_the_hub(error: Exception) -> bool:
    family = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or family in ("huggingface_hub", "requests", "httpx", "urllib3")
