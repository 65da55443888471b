"""Image models of today's sizes with random weights, as problems: the cost of a step is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lineas.adapters.images.sites import diffusion_sites
from lineas.fitting.problem import Group, Problem

Inputs = Callable[[torch.Generator], dict[str, Tensor]]
"""What the model takes for one prompt, drawn afresh."""


@dataclass(frozen=True)
class Size:
    """How large a model and its images are: latent height and width, and what its class is made with."""

    latent: int
    options: dict[str, Any]


UNETS = {
    "sdxl": Size(
        32,
        {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
            "use_linear_projection": True,
        },
    ),
    "tiny": Size(
        8,
        {
            "block_out_channels": (8, 16),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": (2, 4),
            "norm_num_groups": 4,
            "cross_attention_dim": 2048,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
    ),
}
TRANSFORMERS = {
    "z-image": Size(32, {}),
    "tiny": Size(
        8,
        {
            "dim": 16,
            "n_refiner_layers": 1,
            "n_heads": 2,
            "n_kv_heads": 2,
            "axes_dims": [2, 2, 4],
            "axes_lens": [64, 16, 16],
        },
    ),
}


class RandomProblem(Problem):
    """A model with random weights on random inputs, the target's with another mean; all norms are sites."""

    default_sites = "norms"

    def __init__(
        self, name: str, model: nn.Module, one: Inputs, call: Callable[..., Any], prompts: int
    ) -> None:
        self.one, self.call = one, call
        components = {name: model}
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        sizes: dict[Group, int] = {"source": prompts, "target": prompts}
        super().__init__(components, diffusion_sites(components, self.default_sites), sizes)

    def run(self, group: Group, indices: Sequence[int]) -> None:
        """Forward these prompts, each from its own random numbers."""
        drawn = [self.one(torch.Generator().manual_seed(index)) for index in indices]
        moved = 0.3 if group == "target" else 0.0
        self.call(
            {
                name: [(each[name] + moved * (name == "text")).to(self.device, self.dtype) for each in drawn]
                for name in drawn[0]
            }
        )


def unet_problem(
    size: str, prompts: int, dtype: torch.dtype, device: str, layers: int = 0, latent: int = 0
) -> RandomProblem:
    """A UNet of SDXL's shape (2.57 G parameters), or a tiny one with the same inputs.

    layers: transformer layers where the image is smallest, 0 for as many as SDXL has, 10.
    """
    from diffusers import UNet2DConditionModel

    chosen = UNETS[size]
    side = latent or chosen.latent
    options = dict(chosen.options)
    if layers:
        depths = options.get("transformer_layers_per_block", (1, 1))
        options["transformer_layers_per_block"] = (*depths[:-1], layers)
    with _made_on(device, dtype):
        unet = UNet2DConditionModel(sample_size=side, in_channels=4, out_channels=4, **options)

    def one(generator: torch.Generator) -> dict[str, Tensor]:
        return {
            "sample": torch.randn(4, side, side, generator=generator),
            "text": torch.randn(77, 2048, generator=generator),
            "pooled": torch.randn(1280, generator=generator),
        }

    def call(inputs: dict[str, list[Tensor]]) -> None:
        sample = torch.stack(inputs["sample"])
        times = torch.full((len(sample), 6), 1024.0).to(sample)
        added = {"text_embeds": torch.stack(inputs["pooled"]), "time_ids": times}
        unet(sample, 999, torch.stack(inputs["text"]), added_cond_kwargs=added)

    return RandomProblem("unet", unet, one, call, prompts)


def transformer_problem(
    size: str, prompts: int, dtype: torch.dtype, device: str, layers: int = 0, latent: int = 0
) -> RandomProblem:
    """A stack of Z-Image's blocks: 30 of them (0 is 30 too) are 6 G parameters, each further one 0.18 G."""
    from diffusers import ZImageTransformer2DModel

    chosen = TRANSFORMERS[size]
    side = latent or chosen.latent
    with _made_on(device, dtype):
        transformer = ZImageTransformer2DModel(n_layers=layers or 30, **chosen.options)

    def one(generator: torch.Generator) -> dict[str, Tensor]:
        return {
            "sample": torch.randn(16, 1, side, side, generator=generator),
            "text": torch.randn(32, transformer.config.cap_feat_dim, generator=generator),
        }

    def call(inputs: dict[str, list[Tensor]]) -> None:
        noise = inputs["sample"]
        transformer(noise, torch.full((len(noise),), 0.5).to(noise[0]), inputs["text"])

    return RandomProblem("transformer", transformer, one, call, prompts)


@contextmanager
def _made_on(device: str, dtype: torch.dtype) -> Any:
    """Models come with weights of this dtype on this device, never larger ones first."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)
