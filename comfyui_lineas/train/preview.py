"""What a training shows while it runs: two source prompts as steered so far, or the cost."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import comfy.model_management as memory
import torch
from PIL import Image
from torch import Tensor

from lineas.modules.recorder import Recorder
from lineas.pictures.charts import curve
from lineas.steering.site import Site
from lineas.steering.steering import Steering

from ..report import picture_of
from .problem import ComfyProblem

SHOWN = (0, 1)


class Preview:
    """Pictures of a training. vae: loaded together with the model, or None for curves of the cost."""

    def __init__(self, problem: ComfyProblem, vae: Any) -> None:
        self.problem, self.vae = problem, vae

    def __call__(self, steering: Steering, costs: Sequence[float]) -> Image.Image:
        if self.vae is not None:
            try:
                return self._drawn(steering)
            except memory.InterruptProcessingException:
                raise
            except Exception as error:  # a preview must never end a training
                logging.warning("LinEAS: the preview shows the cost from now on (%s).", error)
                self.vae = None
        return curve(costs, "cost over steps", (512, 256))

    @torch.no_grad()
    def _drawn(self, steering: Steering) -> Image.Image:
        maps = steering.to(self.problem.denoiser.patcher.load_device).maps

        def steered(site: Site, z: Tensor) -> Tensor:
            return maps[site](z, 1.0, site.axis)

        with Recorder(self.problem.components, maps, steered) as recorder:
            recorder.recording = False
            latents = torch.cat([self.problem.draw("source", [index]) for index in SHOWN])
        images = self._decoded(self.problem.denoiser.latents_out(latents))
        return picture_of(torch.cat(list(images), dim=1))

    def _decoded(self, latents: Tensor) -> Tensor:
        """[b, h, w, 3]; not by `VAE.decode`, which may move the model out of memory."""
        vae = self.vae
        decoded = vae.first_stage_model.decode(latents.to(vae.device, vae.vae_dtype)).float()
        decoded = decoded[:, :, 0] if decoded.ndim == 5 else decoded  # the one frame of a video
        return vae.process_output(decoded).movedim(1, -1)
