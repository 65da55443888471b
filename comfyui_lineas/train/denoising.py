"""One denoising step of a MODEL, called the way the samplers call it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from comfy.patcher_extension import copy_nested_dicts
from torch import Tensor

from .conditioning import Encoded


class Denoiser:
    """From noise to an image in one step, through everything that is on a loaded MODEL.

    patcher: loaded. sigma: [1] the noise level of the step. width, height: in pixels.
    """

    def __init__(self, patcher: Any, sigma: Tensor, width: int, height: int) -> None:
        self.patcher, self.model = patcher, patcher.model
        with torch.inference_mode(False):
            self.sigma = sigma.detach().clone().to(patcher.load_device)
        self.width, self.height = width, height
        latents = self.model.latent_format
        ratio = getattr(latents, "spacial_downscale_ratio", 8)
        # Models of videos, and those that share their latents, draw an image as a video of one frame.
        frames = [1] * (getattr(latents, "latent_dimensions", 2) - 2)
        self.shape = (latents.latent_channels, *frames, height // ratio, width // ratio)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """[b, c, h, w] or [b, c, 1, h, w] noise, as the stock samplers make it for each seed by itself."""
        each = [torch.randn(1, *self.shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return torch.cat(each).to(self.patcher.load_device)

    def __call__(self, conditions: Sequence[Encoded], seeds: Sequence[int]) -> Tensor:
        """[b, c, h, w] or [b, c, 1, h, w] the latents of these prompts, each from the noise of its seed."""
        noise = self.noise(seeds)
        sampling, empty = self.model.model_sampling, torch.zeros_like(noise)
        is_start = float(self.sigma) > float(sampling.sigma_max) * (1 - 1e-5)
        x = sampling.noise_scaling(self.sigma, noise, empty, is_start)
        each = [self._told(one, noise[i : i + 1], empty[i : i + 1]) for i, one in enumerate(conditions)]
        # As the samplers join the positive and the negative prompt.
        given = {name: cond.concat([other[name] for other in each[1:]]) for name, cond in each[0].items()}
        options = self._options(len(seeds))
        return self.model.apply_model(x, self.sigma.expand(len(seeds)), transformer_options=options, **given)

    def _told(self, condition: Encoded, noise: Tensor, empty: Tensor) -> dict[str, Any]:
        """What the model is told of one prompt, in ComfyUI's own form, which knows how to be joined."""
        (cross, extras), device = condition, self.patcher.load_device
        sizes = {"width": self.width, "height": self.height}
        images = {"noise": noise, "latent_image": empty, "denoise_mask": None}
        given = {"device": device, "prompt_type": "positive", **sizes, **images, **extras}
        conds = self.model.extra_conds(cross_attn=cross.to(device), **given)
        return {
            name: cond.process_cond(batch_size=1, device=device, area=None) for name, cond in conds.items()
        }

    def latents_out(self, latents: Tensor) -> Tensor:
        """Latents as the VAE takes them."""
        return self.model.process_latent_out(latents.float())

    def _options(self, count: int) -> dict[str, Any]:
        """What patches and wrappers of the MODEL are told, as in sampling with the positive prompt alone."""
        options = copy_nested_dicts(self.patcher.model_options["transformer_options"])
        wrappers = options.setdefault("wrappers", {})
        for kind, by_key in self.patcher.wrappers.items():
            for key, each in by_key.items():
                wrappers.setdefault(kind, {}).setdefault(key, []).extend(each)
        sigmas = torch.cat([self.sigma, self.sigma.new_zeros(1)])
        return {**options, "cond_or_uncond": [0], "sigmas": self.sigma, "sample_sigmas": sigmas}
