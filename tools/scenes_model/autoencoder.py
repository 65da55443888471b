"""Train the bundled AutoencoderTiny: 128 × 128 images to 4 × 16 × 16 latents of unit variance."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from tools.scenes_model.data import HELD_OUT_SEED, pixels, read_shard
from tools.scenes_model.loop import train_for
from tools.scenes_model.optimiser import Optimisers

BATCH, CROP = 24, 64
LATENT_NOISE = 0.1
"""The decoder learns on noisy latents, so that the UNet's small errors stay invisible."""


def build(channels: int = 32) -> AutoencoderTiny:
    """No blocks at full resolution, where they cost most and a linear layer is enough."""
    return AutoencoderTiny(
        encoder_block_out_channels=(channels,) * 4,
        decoder_block_out_channels=(channels,) * 4,
        num_encoder_blocks=(0, 1, 2, 2),
        num_decoder_blocks=(3, 3, 1, 0),
        latent_magnitude=3,
        scaling_factor=1.0,
    )


@torch.no_grad()
def widened(narrow: AutoencoderTiny, wide: AutoencoderTiny) -> AutoencoderTiny:
    """``wide`` computing what ``narrow`` does, with fresh channels beside it."""
    source = dict(narrow.named_parameters())
    for name, weight in wide.named_parameters():
        old = source[name]
        if weight.ndim == 4:
            weight[: old.shape[0]].zero_()
            weight[: old.shape[0], : old.shape[1]] = old
        else:
            weight[: old.shape[0]] = old
    return wide


def crops(shards: Path, seed: int) -> Iterator[Tensor]:
    """[b, 3, 64, 64] windows on the latent grid; most of them where the objects stand."""
    rng = np.random.default_rng(seed)
    paths = sorted(path for path in shards.glob("0??????.npz"))
    while True:
        images = read_shard(paths[rng.integers(len(paths))])[0]
        for index in np.array_split(rng.permutation(len(images)), len(images) // BATCH):
            y = 8 * int(rng.choice([0, 2, 4, 6, 7, 7, 8, 8]))
            x = 8 * int(rng.integers(0, 9))
            window = images[np.sort(index), y : y + CROP, x : x + CROP]
            yield pixels(window).contiguous(memory_format=torch.channels_last)


def loss(model: AutoencoderTiny, image: Tensor, decoder_only: bool = False) -> Tensor:
    """Reconstruction (absolute error, also of the slopes) plus a pull of the latents to unit variance."""
    with torch.set_grad_enabled(not decoder_only):
        latent = model.encoder(image * 2 - 1)
    output = (model.decoder(latent + LATENT_NOISE * torch.randn_like(latent)) + 1) / 2
    difference = output - image
    slopes = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
    mean, variance = latent.mean(dim=(0, 2, 3)), latent.var(dim=(0, 2, 3))
    normal = mean.square() + (variance - 1).square()
    return difference.abs().mean() + 2 * difference.square().mean() + 0.5 * slopes + 0.02 * normal.mean()


def losses(model: AutoencoderTiny, seed: int, shards: Path, decoder_only: bool) -> Iterator[Tensor]:
    for image in crops(shards, seed):
        yield loss(model, image, decoder_only)


@torch.no_grad()
def error(model: AutoencoderTiny, image: Tensor) -> float:
    return (
        (model.decode(model.encode(image * 2 - 1).latents).sample / 2 + 0.5).sub(image).square().mean().item()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--muon-lr", type=float, default=0.005)
    parser.add_argument("--adam-lr", type=float, default=1e-3)
    parser.add_argument(
        "--start", type=Path, help="an autoencoder folder to go on from, narrower ones are widened"
    )
    parser.add_argument("--decoder-only", action="store_true", help="leave the latents as they are")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    model = build().to(memory_format=torch.channels_last)
    if arguments.start:
        before = AutoencoderTiny.from_pretrained(arguments.start)
        same = before.config.block_out_channels == model.config.block_out_channels
        model = before.to(memory_format=torch.channels_last) if same else widened(before, model)
    model.encoder.requires_grad_(not arguments.decoder_only)
    optimisers = Optimisers(model, arguments.muon_lr, arguments.adam_lr)
    stream = partial(losses, shards=arguments.shards, decoder_only=arguments.decoder_only)
    held_out = pixels(read_shard(arguments.shards / f"{HELD_OUT_SEED:07d}.npz")[0][:64])

    def save() -> None:
        model.save_pretrained(arguments.output)
        print(f"held-out mean square error {error(model, held_out):.5f}", flush=True)

    train_for(arguments.minutes, model, build(), stream, optimisers, save)


if __name__ == "__main__":
    main()
