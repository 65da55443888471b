"""Polish the decoder on the UNet's own latents: it learns to draw sharply from slightly soft ones."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.scenes_model.autoencoder import WINDOW, load, reproduction
from tools.scenes_model.data import HELD_OUT_SEED, noise_for, pixels, read_shard
from tools.scenes_model.denoiser import Denoiser
from tools.scenes_model.loop import train_for
from tools.scenes_model.optimiser import Optimisers
from tools.scenes_model.perception import ClipFeatures
from tools.scenes_model.tapered import Tapered, stock
from tools.scenes_model.text import build_tokenizer

BATCH = 12
IMAGES, STEPS = 256, 60
"""Images whose own latents are made at a time, and the steps they serve."""


def load_denoiser(folder: Path) -> Denoiser:
    """The trained text encoder and UNet, frozen."""
    tokenizer = build_tokenizer(folder / "tokenizer")
    denoiser = Denoiser(len(tokenizer), tokenizer.eos_token_id).to(memory_format=torch.channels_last)
    denoiser.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["model"])
    return denoiser.eval().requires_grad_(False)


def losses(model: Tapered, seed: int, shards: Path, denoiser: Path, own_share: float) -> Iterator[Tensor]:
    """Endless losses on windows of latents that the UNet made, or that the encoder made, with grain."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    paths = [p for p in sorted(shards.glob("0??????.latents.npz")) if int(p.name[:7]) < HELD_OUT_SEED]
    draw, features = load_denoiser(denoiser), ClipFeatures()
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
            yield window_loss(model, latent, pixels(images[pick[index.numpy()]]), rng, features)


def window_loss(
    model: Tapered, latent: Tensor, image: Tensor, rng: np.random.Generator, features: ClipFeatures
) -> Tensor:
    """The autoencoder's own loss over one window that all images of the batch share."""
    y, x, cells = int(rng.choice([0, 5, 5, 5])), int(rng.integers(0, 6)), WINDOW // 8
    window = latent[:, :, y : y + cells, x : x + cells].contiguous(memory_format=torch.channels_last)
    return sum(reproduction(model.decode(window), image, 8 * y, 8 * x, features).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("denoiser", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--muon-lr", type=float, default=0.005)
    parser.add_argument("--helper", action="store_true", help="a second process that uses another core")
    parser.add_argument("--own-share", type=float, default=0.75, help="share of latents that the UNet made")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    model = load(arguments.autoencoder)
    model.encoder.requires_grad_(False)
    optimisers = Optimisers(model, arguments.muon_lr, arguments.muon_lr / 5)
    stream = partial(
        losses, shards=arguments.shards, denoiser=arguments.denoiser, own_share=arguments.own_share
    )
    spare = load(arguments.autoencoder) if arguments.helper else None

    def save() -> None:
        stock(model).save_pretrained(arguments.output)
        torch.save({"model": model.state_dict()}, arguments.output / "checkpoint.pt")

    train_for(arguments.minutes, model, spare, stream, optimisers, save, every=50)


if __name__ == "__main__":
    main()
