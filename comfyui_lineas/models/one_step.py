"""Where a one-step model takes its single step, and how the noise is scaled there."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lineas.architectures.recipe_table import RECIPES

AUTOMATIC, OWN = "automatic", "own timestep"


@dataclass(frozen=True)
class Setting:
    """How one family of one-step models is run.

    timestep: of the step, 0..999; None is the one that the user gives. help: a sentence for people.
    x0: the model predicts the image itself. unit_noise: it sees noise of standard deviation 1.
    size: side of its images in pixels, 0 for the model's own.
    """

    timestep: int | None
    help: str
    x0: bool = False
    unit_noise: bool = False
    size: int = 0


def _setting(recipe: str, help: str) -> Setting:
    """A setting that does what the recipe of this name does in diffusers."""
    chosen = RECIPES[recipe]
    return Setting(
        chosen.timesteps[0] if chosen.timesteps else 999,
        help,
        x0=chosen.scheduler_options.get("prediction_type") == "sample",
        unit_noise=chosen.scheduler == "LCMScheduler",
    )


SETTINGS = {
    "turbo": _setting("sdxl-turbo", "SDXL-Turbo, SD-Turbo and the scenes model, from full noise"),
    "dmd2": _setting("dmd2", "DMD2 one-step SDXL, from timestep 399 with unit noise"),
    "lightning x0": _setting("sdxl-lightning", "SDXL-Lightning one-step, which predicts the image"),
    "hyper-sdxl": _setting("hyper-sdxl", "Hyper-SDXL one-step UNet, from timestep 800"),
    OWN: Setting(None, "the timestep below, with the model's own noise"),
}


class _ImageItself:
    """Model sampling of a model that predicts the image itself."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return model_output


class _UnitNoise:
    """Model sampling that starts from noise of standard deviation 1, as diffusers' LCMScheduler does."""

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        return noise * (1 + sigma.view(sigma.shape[:1] + (1,) * (noise.ndim - 1)) ** 2).sqrt() + latent_image


def one_step(model: Any, setting: str, timestep: int = 999) -> tuple[Any, Tensor]:
    """A clone of a MODEL that runs by a setting of `SETTINGS`, and the SIGMAS of its single step [2]."""
    chosen, patched = SETTINGS[setting], model.clone()
    sampling = patched.get_model_object("model_sampling")
    step = timestep if chosen.timestep is None else chosen.timestep
    mixins = [each for each, on in ((_ImageItself, chosen.x0), (_UnitNoise, chosen.unit_noise)) if on]
    changed = _changed(sampling, mixins)
    changed.lineas_timestep = step
    patched.add_object_patch("model_sampling", changed)
    return patched, torch.cat([sigma_at(sampling, step), torch.zeros(1)])


def prepared(model: Any, setting: str, timestep: int = 999) -> tuple[Any, Tensor]:
    """The same for training, where `AUTOMATIC` keeps what a One Step node before has set, else full noise."""
    if setting != AUTOMATIC:
        return one_step(model, setting, timestep)
    sampling = model.get_model_object("model_sampling")
    step = getattr(sampling, "lineas_timestep", 999)
    return model.clone(), torch.cat([sigma_at(sampling, step), torch.zeros(1)])


def sigma_at(sampling: Any, timestep: int) -> Tensor:
    """[1] the noise level at a timestep of 0..999; 999 is full noise for every model."""
    if timestep >= 999:
        sigma = sampling.sigma_max
    elif hasattr(sampling, "log_sigmas"):
        sigma = sampling.sigma(torch.tensor([float(timestep)]))
    else:
        sigma = sampling.percent_to_sigma(1 - timestep / 999)
    return torch.as_tensor(sigma, dtype=torch.float32).detach().reshape(1).to("cpu", copy=True)


def _changed(sampling: Any, mixins: list[type]) -> Any:
    """A copy of the sampling object that shares its tables, with methods of the mixins before its own."""
    changed = copy.copy(sampling)
    vars(changed)["_buffers"] = dict(sampling._buffers)
    if mixins:
        changed.__class__ = type("OneStepSampling", (*mixins, type(sampling)), {})
    return changed
