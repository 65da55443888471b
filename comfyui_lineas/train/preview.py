"""What a training shows while it runs: two source prompts as steered so far, or the cost."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import comfy.model_management as memory
import torch
from PIL import Image
from PIL.ImageOps import contain
from torch import Tensor

from lineas.modules.recorder import Recorder
from lineas.pictures.charts import curve, stacked
from lineas.steering.site import Site
from lineas.steering.steering import Steering

from ..report import picture_of
from .problem import ComfyProblem

SHOWN = (0, 1)
SIZE = (512, 256)


class Preview:
    """Pictures of a training. vae: loaded together with the model, or None for curves of the cost.

    The last one stays on the node, as frontends prefer it to what the node shows afterwards: it has the curve
    of the cost too.
    """

    def __init__(self, problem: ComfyProblem, vae: Any) -> None:
        self.problem, self.vae = problem, vae

    def __call__(self, steering: Steering, costs: Sequence[float], is_last: bool = False) -> Image.Image:
        cost = curve(costs, "cost over steps", SIZE)
        if self.vae is not None:
            try:
                drawn = self._drawn(steering)
                return stacked([contain(drawn, SIZE), cost]) if is_last else drawn
            except memory.InterruptProcessingException:
                raise
            except Exception as error:  # a preview must never end a training
                logging.warning("LinEAS: the preview shows the cost from now on (%s).", error)
                self.vae = None
        return cost

    @torch.no_grad()
    def _drawn(self, steering: Steering) -> Image.Image:
        maps = steering.to(self.problem.denoiser.patcher.load_device).maps

        def drawn(index: int) -> Tensor:
            def steered(site: Site, z: Tensor) -> Tensor:
                return self.problem.steered(maps[site], site, z, "source", [index])

            with Recorder(self.problem.components, maps, steered) as recorder:
                recorder.recording = False
                return self.problem.draw("source", [index])

        latents = torch.cat([drawn(index) for index in SHOWN])
        images = self._decoded(self.problem.denoiser.latents_out(latents))
        return picture_of(torch.cat(list(images), dim=1))

    def _decoded(self, latents: Tensor) -> Tensor:
        """[b, h, w, 3]; not by `VAE.decode`, which may move the model out of memory."""
        vae = self.vae
        decoded = vae.first_stage_model.decode(latents.to(vae.device, vae.vae_dtype)).float()
        decoded = decoded[:, :, 0] if decoded.ndim == 5 else decoded  # the one frame of a video
        return vae.process_output(decoded).movedim(1, -1)
