"""How often the detector finds all objects, place and style of held-out prompts, by the number of steps."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from lineas.scenes.detector import Detector, Found
from lineas.scenes.grammar import parse, prompt, random_scene
from tools.scenes_transformer.model import LATENTS
from tools.scenes_transformer.package import load
from tools.scenes_transformer.tokenizer import build_tokenizer, token_ids

NAMED = ("object", "place", "style")


def share(found: list[Found], prompts: list[str]) -> float:
    """Images in which all objects, the place and the style of the prompt are found."""
    wanted = ([pair for pair in parse(text).visible() if pair[0] in NAMED] for text in prompts)
    return float(np.mean([all(pair in f for pair in pairs) for f, pairs in zip(found, wanted, strict=True)]))


@torch.no_grad()
def images(autoencoder: AutoencoderTiny, latents: Tensor) -> list[np.ndarray]:
    """[n, 16, 16, 16] -> n images [128, 128, 3] uint8."""
    made = torch.cat([autoencoder.decode(part).sample for part in latents.split(32)])
    return list(((made / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path, help="output folder of flow.py")
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--seed", type=int, default=900_001)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(arguments.seed)
    prompts = [prompt(random_scene(rng), rng) for _ in range(arguments.prompts)]
    model, autoencoder = load(arguments.trained), AutoencoderTiny.from_pretrained(arguments.autoencoder)
    tokens, mask = map(torch.tensor, token_ids(build_tokenizer(), prompts))
    start = torch.randn(
        len(prompts), LATENTS, 16, 16, generator=torch.Generator().manual_seed(arguments.seed)
    )
    for steps in (1, 2, 4, 8):
        parts = zip(tokens.split(32), mask.split(32), start.split(32), strict=True)
        latents = torch.cat([model.draw(*part, steps) for part in parts])
        found = Detector.load().found(images(autoencoder, latents))
        print(f"{steps} steps: {share(found, prompts):.1%} of {len(prompts)}", flush=True)


if __name__ == "__main__":
    main()
