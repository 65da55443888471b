"""Encode rendered shards once: latents, uniform numbers, tokens and where objects stand."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen2Tokenizer

from tools.scenes_model.autoencoder import load
from tools.scenes_model.data import HELD_OUT_SEED, noise_for, pixels, read_shard
from tools.scenes_model.denoiser import occupied_cells
from tools.scenes_model.optimiser import mixed
from tools.scenes_model.tapered import Tapered
from tools.scenes_transformer.model import LATENTS
from tools.scenes_transformer.tokenizer import build_tokenizer, token_ids

KEYS = ("latents", "u", "tokens", "mask", "occupied")


def encode(shard: Path, autoencoder: Tapered, tokenizer: Qwen2Tokenizer, folder: Path) -> Path:
    """Write one shard's arrays into ``folder`` unless they are there."""
    path = folder / shard.name
    if path.exists():
        return path
    images, u, prompts, scenes = read_shard(shard)
    with torch.no_grad(), mixed():
        parts = [autoencoder.encode(pixels(part)) for part in np.array_split(images, 128)]
    tokens, mask = token_ids(tokenizer, prompts)
    cells = [occupied_cells(len(scene.objects), row) for scene, row in zip(scenes, u, strict=True)]
    np.savez(
        path.with_suffix(".part.npz"),
        latents=torch.cat(parts).half().numpy(),
        u=u,
        tokens=np.array(tokens, dtype=np.int16),
        mask=np.array(mask, dtype=bool),
        occupied=np.stack(cells),
    )
    path.with_suffix(".part.npz").rename(path)
    return path


def read(path: Path) -> dict[str, Tensor]:
    """Latents [n, 16, 16, 16], u [n, 12], tokens and mask [n, 32], occupied [n, 16, 16]."""
    with np.load(path) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in KEYS}


def noise(u: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise [n, 16, 16, 16] whose first four channels hold the uniform numbers u [n, 12]."""
    first = noise_for(u, generator)
    rest = torch.randn(len(u), LATENTS - 4, *first.shape[2:], generator=generator)
    return torch.cat([first, rest], dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    autoencoder = load(arguments.autoencoder)
    tokenizer = build_tokenizer()
    # The held-out shard comes first: training begins while the others are encoded.
    paths = sorted(arguments.shards.glob("???????.npz"))
    for shard in sorted(paths, key=lambda path: int(path.stem) < HELD_OUT_SEED):
        print(encode(shard, autoencoder, tokenizer, arguments.output), flush=True)


if __name__ == "__main__":
    main()
