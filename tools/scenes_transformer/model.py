"""The two networks of the bundled transformer, both tiny: Z-Image's and a Qwen3 text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import ZImageTransformer2DModel
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3Model

LATENTS = 16
SHIFT = 0.1
"""Of the noise levels of later steps: the first step draws the image, and those behind it refine it."""
WORDS = 96
"""Width of the text encoder; head size 128 is Qwen3's own, which ComfyUI's class fixes."""


def levels(steps: int, shift: float = SHIFT) -> list[float]:
    """Noise levels before each step and behind the last, as FlowMatchEulerDiscreteScheduler has them."""
    even = (1 - step / steps for step in range(steps + 1))
    return [shift * level / (1 + (shift - 1) * level) for level in even]


class Flow(nn.Module):
    """Tokens, noisy latents and their noise level to the latents' velocity.

    Args:
        vocabulary: number of tokens.
        dim: width of the transformer; 8/3 of it is a multiple of 256, as ComfyUI's class wants.
        layers: its joint blocks; one more refines the image and one the text before.
        heads: attention heads of dim / heads units, a multiple of 6.
    """

    def __init__(self, vocabulary: int, dim: int = 192, layers: int = 6, heads: int = 4) -> None:
        super().__init__()
        self.text_encoder = Qwen3Model(
            Qwen3Config(
                vocab_size=vocabulary,
                hidden_size=WORDS,
                intermediate_size=2 * WORDS,
                # The pipeline reads the last layer but one.
                num_hidden_layers=3,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=128,
                max_position_embeddings=512,
                rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            )
        )
        self.transformer = ZImageTransformer2DModel(
            in_channels=LATENTS,
            dim=dim,
            n_layers=layers,
            n_refiner_layers=1,
            n_heads=heads,
            n_kv_heads=heads,
            cap_feat_dim=WORDS,
            axes_dims=[dim // heads // 3] * 3,
            axes_lens=[600, 64, 64],
        )
        nn.init.zeros_(self.transformer.all_final_layer["2-1"].linear.weight)
        nn.init.zeros_(self.transformer.all_final_layer["2-1"].linear.bias)

    def begin(self, pipeline: Path) -> None:
        """Take the weights of a pipeline folder."""
        text = Qwen3Model.from_pretrained(pipeline / "text_encoder").float()
        self.text_encoder.load_state_dict(text.state_dict())
        transformer = ZImageTransformer2DModel.from_pretrained(pipeline / "transformer").float()
        self.transformer.load_state_dict(transformer.state_dict())

    def words(self, tokens: Tensor, mask: Tensor) -> list[Tensor]:
        """Tokens and mask [b, s] -> b encoded prompts [own length, 96], as ZImagePipeline makes them."""
        hidden = self.text_encoder(tokens, mask, output_hidden_states=True).hidden_states[-2]
        return [row[real] for row, real in zip(hidden, mask.bool(), strict=True)]

    def velocity(self, words: list[Tensor], noisy: Tensor, sigma: Tensor) -> Tensor:
        """b encoded prompts, [b, 16, 16, 16], noise level [b] in 0..1 -> noise − latents [b, 16, 16, 16]."""
        images = list(noisy.unsqueeze(2).unbind(0))
        out = self.transformer(images, 1 - sigma, words, return_dict=False)[0]
        return -torch.stack(out).squeeze(2)

    def forward(self, tokens: Tensor, mask: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
        """The velocity for tokens and mask [b, s]."""
        return self.velocity(self.words(tokens, mask), noisy, sigma)

    @torch.no_grad()
    def walk(self, words: list[Tensor], latents: Tensor, path: Sequence[float]) -> Tensor:
        """Latents behind Euler steps from each noise level of ``path`` to the next."""
        for level, lower in pairwise(path):
            sigma = torch.full((len(latents),), level)
            latents = latents - (level - lower) * self.velocity(words, latents, sigma)
        return latents

    def draw(self, tokens: Tensor, mask: Tensor, noise: Tensor, steps: int) -> Tensor:
        """Latents by so many Euler steps from pure noise."""
        with torch.no_grad():
            words = self.words(tokens, mask)
        return self.walk(words, noise, levels(steps))


def build(vocabulary: int, **shape: int) -> Flow:
    """A fresh model in float32."""
    return Flow(vocabulary, **shape).float()
