"""Polish transformer and autoencoder as one, on the images that come out; resumes.

As for the UNet (:mod:`tools.scenes_model.together`), on what a single step draws and on what later steps make
of the states that the model's own steps reach.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lineas.scenes.bundled import FOLDERS
from tools.scenes_model.together import Whole, own_autoencoder, parsed, train
from tools.scenes_transformer.flow import OUTER, STEPS
from tools.scenes_transformer.latents import noise
from tools.scenes_transformer.model import build, levels
from tools.scenes_transformer.package import load
from tools.scenes_transformer.tokenizer import build_tokenizer, token_ids

PIPELINE = FOLDERS["scenes-transformer"]


class WholeFlow(Whole):
    """The same with the transformer."""

    outer = OUTER

    def drawn(self, prompts: list[str], u: Tensor, generator: torch.Generator) -> Tensor:
        """Where the velocity leads: half from pure noise, half from a later step."""
        tokens, mask = map(torch.tensor, token_ids(self.tokenizer, prompts))
        words, start, half = self.denoiser.words(tokens, mask), noise(u, generator), len(prompts) // 2
        steps = STEPS[int(torch.randint(len(STEPS), (), generator=generator))]
        path = levels(steps)[: 2 + int(torch.randint(steps - 1, (), generator=generator))]
        state = torch.cat([self.denoiser.walk(words[:half], start[:half], path), start[half:]])
        sigma = torch.cat([torch.full((half,), path[-1]), torch.ones(len(start) - half)])
        return state - sigma.view(-1, 1, 1, 1) * self.denoiser.velocity(words, state, sigma)


def begin(trained: Path | None, tapered: Path | None) -> WholeFlow:
    """What the two stages before trained; without one of them, the bundled pipeline's own part."""
    tokenizer = build_tokenizer()
    if trained:
        model = load(trained)
    else:
        model = build(len(tokenizer))
        model.begin(PIPELINE)
    return WholeFlow(model, own_autoencoder(tapered, PIPELINE), tokenizer)


def main() -> None:
    arguments = parsed(__doc__)
    train(begin(arguments.denoiser, arguments.autoencoder), arguments)


if __name__ == "__main__":
    main()
