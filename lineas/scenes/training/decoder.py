"""Polish the decoder on the UNet's own latents: it learns to draw sharply from slightly soft ones."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny

from lineas.scenes.training.data import HELD_OUT_SEED, noise_for, pixels, read_shard
from lineas.scenes.training.denoiser import Denoiser
from lineas.scenes.training.optimiser import Optimisers, ramp
from lineas.scenes.training.text import build_tokenizer

BATCH, CROP = 24, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("denoiser", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--muon-lr", type=float, default=0.003)
    parser.add_argument("--own-share", type=float, default=0.7, help="share of latents that the UNet made")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    tokenizer = build_tokenizer(arguments.denoiser / "tokenizer")
    denoiser = Denoiser(len(tokenizer), tokenizer.eos_token_id).to(memory_format=torch.channels_last).eval()
    denoiser.load_state_dict(torch.load(arguments.denoiser / "checkpoint.pt", weights_only=True)["model"])
    model = AutoencoderTiny.from_pretrained(arguments.autoencoder).to(memory_format=torch.channels_last)
    optimisers = Optimisers(model.decoder, arguments.muon_lr, arguments.muon_lr / 5)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    paths = [p for p in sorted(arguments.shards.glob("???????.npz")) if int(p.stem) < HELD_OUT_SEED]
    start, step, values = time.time(), 0, []
    while True:
        images, u, prompts, _ = read_shard(paths[rng.integers(len(paths))])
        for index in np.array_split(rng.permutation(len(images)), len(images) // BATCH)[:20]:
            progress = (time.time() - start) / (60 * arguments.minutes)
            if progress >= 1:
                model.save_pretrained(arguments.output)
                return
            target = pixels(images[index])
            with torch.no_grad():
                tokens = tokenizer(
                    [prompts[i] for i in index], padding="max_length", truncation=True, return_tensors="pt"
                )
                own = denoiser(tokens.input_ids, noise_for(torch.from_numpy(u[index]), generator))
                encoded = model.encoder(target * 2 - 1)
                chosen = torch.rand(len(index), 1, 1, 1, generator=generator) < arguments.own_share
                latent = torch.where(
                    chosen, own, encoded + 0.1 * torch.randn(encoded.shape, generator=generator)
                )
            # 64 × 64 pixels are compared; the decoder sees a margin of four cells around them.
            y, x = 8 * int(rng.choice([0, 4, 8, 8])), 8 * int(rng.integers(0, 9))
            top, left = max(0, y // 8 - 4), max(0, x // 8 - 4)
            window = latent[:, :, top : y // 8 + 12, left : x // 8 + 12]
            drawn = (model.decoder(window.contiguous(memory_format=torch.channels_last)) + 1) / 2
            drawn = drawn[:, :, y - 8 * top :, x - 8 * left :][:, :, :CROP, :CROP]
            difference = drawn - target[:, :, y : y + CROP, x : x + CROP]
            slopes = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
            value = difference.abs().mean() + 0.5 * slopes
            value.backward()
            optimisers.step(ramp(progress))
            values.append(value.item())
            step += 1
            if step % 50 == 0:
                print(f"{time.time() - start:.0f} s  step {step}  loss {np.mean(values):.4f}", flush=True)
                values = []


if __name__ == "__main__":
    main()
