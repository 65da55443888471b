"""Polish the decoder on the UNet's own latents: it learns to draw sharply from slightly soft ones."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from tools.scenes_model.autoencoder import build
from tools.scenes_model.data import HELD_OUT_SEED, noise_for, pixels, read_shard
from tools.scenes_model.denoiser import Denoiser
from tools.scenes_model.loop import train_for
from tools.scenes_model.optimiser import Optimisers
from tools.scenes_model.text import build_tokenizer

BATCH = 20
HEIGHT, WIDTH = 12, 10
"""Cells of the window that one step decodes; most objects stand whole in it."""
MARGIN = 2
"""Cells at a cut edge that are decoded but not compared: the decoder misses their neighbours."""
IMAGES, STEPS = 256, 60
"""Images whose own latents are made at a time, and the steps they serve."""


def load_denoiser(folder: Path) -> Denoiser:
    """The trained text encoder and UNet, frozen."""
    tokenizer = build_tokenizer(folder / "tokenizer")
    denoiser = Denoiser(len(tokenizer), tokenizer.eos_token_id).to(memory_format=torch.channels_last)
    denoiser.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["model"])
    return denoiser.eval().requires_grad_(False)


def losses(
    model: AutoencoderTiny, seed: int, shards: Path, denoiser: Path, own_share: float
) -> Iterator[Tensor]:
    """Endless losses on windows of latents that the UNet made, or that the encoder made, with grain."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    paths = [p for p in sorted(shards.glob("0??????.latents.npz")) if int(p.name[:7]) < HELD_OUT_SEED]
    draw = load_denoiser(denoiser)
    while True:
        path = paths[rng.integers(len(paths))]
        images, u, _, _ = read_shard(path.with_name(path.name.replace(".latents", "")))
        pick = rng.permutation(len(images))[:IMAGES]
        with np.load(path) as cache:
            encoded = torch.from_numpy(cache["latents"][pick]).float()
            tokens = torch.from_numpy(cache["tokens"][pick]).long()
        noise = noise_for(torch.from_numpy(u[pick]), generator)
        with torch.no_grad():
            own = torch.cat([draw(*part) for part in zip(tokens.split(32), noise.split(32), strict=True)])
        for _ in range(STEPS):
            index = torch.from_numpy(rng.choice(IMAGES, BATCH, replace=False))
            grain = 0.1 * torch.randn(encoded[index].shape, generator=generator)
            chosen = torch.rand(BATCH, 1, 1, 1, generator=generator) < own_share
            latent = torch.where(chosen, own[index], encoded[index] + grain)
            yield window_loss(model, latent, images[pick[index.numpy()]], rng)


def window_loss(
    model: AutoencoderTiny, latent: Tensor, images: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """Absolute error, also of the slopes, over one window that all images of the batch share."""
    y, x = int(rng.choice([0, 4, 4, 4])), int(rng.integers(0, 17 - WIDTH))
    window = latent[:, :, y : y + HEIGHT, x : x + WIDTH].contiguous(memory_format=torch.channels_last)
    target = pixels(images[:, 8 * y : 8 * (y + HEIGHT), 8 * x : 8 * (x + WIDTH)])
    difference = (model.decoder(window) + 1) / 2 - target
    top, bottom = MARGIN * (y > 0), HEIGHT - MARGIN * (y + HEIGHT < 16)
    left, right = MARGIN * (x > 0), WIDTH - MARGIN * (x + WIDTH < 16)
    difference = difference[:, :, 8 * top : 8 * bottom, 8 * left : 8 * right]
    slopes = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
    return difference.abs().mean() + 0.5 * slopes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("denoiser", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--muon-lr", type=float, default=0.005)
    parser.add_argument("--own-share", type=float, default=0.75, help="share of latents that the UNet made")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    model = AutoencoderTiny.from_pretrained(arguments.autoencoder).to(memory_format=torch.channels_last)
    model.encoder.requires_grad_(False)
    optimisers = Optimisers(model, arguments.muon_lr, arguments.muon_lr / 5)
    stream = partial(
        losses, shards=arguments.shards, denoiser=arguments.denoiser, own_share=arguments.own_share
    )
    save = partial(model.save_pretrained, arguments.output)
    train_for(arguments.minutes, model, build(), stream, optimisers, save, every=50)


if __name__ == "__main__":
    main()
