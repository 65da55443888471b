"""Polish UNet and autoencoder as one, on the images that come out; resumes.

The UNet knows from the prompt what it draws. Taught by the image instead of by the encoder's latents alone,
it tells the decoder what the encoder could only blur. Part of every batch goes through the encoder, so that
images still encode and decode.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from transformers import CLIPTokenizer, PreTrainedTokenizerBase

from lineas.scenes.bundled import PIPELINE
from tools.scenes_model import autoencoder
from tools.scenes_model.autoencoder import LATENT_NOISE, WINDOW, reproduction
from tools.scenes_model.data import HELD_OUT_SEED, noise_for, pixels, read_shard
from tools.scenes_model.denoiser import Denoiser, occupied_cells, regression
from tools.scenes_model.optimiser import Optimisers, mixed, ramp
from tools.scenes_model.perception import ClipFeatures
from tools.scenes_model.tapered import Tapered, grown, stock
from tools.scenes_model.text import build_tokenizer

DRAWN, ENCODED = 24, 8
"""Images of a batch that the UNet draws, and images that only pass through the autoencoder."""
LATENTS, NORMAL = 0.2, 0.02
"""Weights of the UNet's distance from the encoder's latents, and of their unit variance."""
EVERY, SAVE_EVERY = 25, 100


class Batch(NamedTuple):
    """Images [b, 3, 128, 128], u [b, 12], b prompts, occupied cells [b, 16, 16], window corner."""

    image: Tensor
    u: Tensor
    prompts: list[str]
    occupied: Tensor
    y: int
    x: int


class Whole(nn.Module):
    """Denoiser and autoencoder in one, for one optimiser."""

    outer: tuple[str, ...] = ("unet.conv_in", "unet.conv_out")
    """Layers that Adam trains."""

    def __init__(self, denoiser: nn.Module, autoencoder: Tapered, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.denoiser, self.autoencoder, self.tokenizer = denoiser, autoencoder, tokenizer

    def drawn(self, prompts: list[str], u: Tensor, generator: torch.Generator) -> Tensor:
        """Latents [b, channels, 16, 16] of b prompts, from noise that holds the uniform numbers u [b, 12]."""
        tokens = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return self.denoiser(tokens, noise_for(u, generator))


def batches(shards: Path, seed: int) -> Iterator[Batch]:
    """Endless batches; images with a style, a time or a weather come more often than the others."""
    rng, size = np.random.default_rng(seed), DRAWN + ENCODED
    paths = [p for p in sorted(shards.glob("0??????.npz")) if int(p.stem) < HELD_OUT_SEED]
    while True:
        images, u, prompts, scenes = read_shard(paths[rng.integers(len(paths))])
        odds = np.array([1.0 + sum(map(bool, (s.style, s.time, s.weather))) for s in scenes])
        for _ in range(len(images) // size):
            pick = rng.choice(len(images), size, replace=False, p=odds / odds.sum())
            cells = np.stack([occupied_cells(len(scenes[i].objects), u[i]) for i in pick])
            image = pixels(images[pick]).contiguous(memory_format=torch.channels_last)
            y, x = 8 * int(rng.choice([0, 5, 5, 5])), 8 * int(rng.integers(0, 6))
            texts = [prompts[i] for i in pick]
            yield Batch(image, torch.from_numpy(u[pick]), texts, torch.from_numpy(cells), y, x)


def loss(model: Whole, features: ClipFeatures, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """The weighted parts of the loss; the decoded window is one for drawn and encoded images."""
    image, y, x, cells = batch.image, batch.y, batch.x, WINDOW // 8
    with torch.no_grad():
        wanted = model.autoencoder.encode(image[:DRAWN])
    drawn = model.drawn(batch.prompts[:DRAWN], batch.u[:DRAWN], generator)
    window = image[DRAWN:, :, y : y + WINDOW, x : x + WINDOW].contiguous(memory_format=torch.channels_last)
    encoded = model.autoencoder.encode(window)
    grain = LATENT_NOISE * torch.rand(ENCODED, 1, 1, 1, generator=generator)
    noisy = encoded + grain * torch.randn(encoded.shape, generator=generator)
    part = drawn[:, :, y // 8 : y // 8 + cells, x // 8 : x // 8 + cells]
    latent = torch.cat([part, noisy]).contiguous(memory_format=torch.channels_last)
    parts = reproduction(model.autoencoder.decode(latent), image, y, x, features)
    mean, variance = encoded.mean(dim=(0, 2, 3)), encoded.var(dim=(0, 2, 3))
    parts["normal"] = NORMAL * (mean.square() + (variance - 1).square()).mean()
    parts["latents"] = LATENTS * regression(drawn, wanted, batch.occupied[:DRAWN])
    return parts


def begin(trained: Path | None, tapered: Path | None, tokenizer: CLIPTokenizer) -> Whole:
    """What the two stages before trained; without one of them, the bundled pipeline's own part."""
    denoiser = Denoiser(len(tokenizer), tokenizer.eos_token_id)
    if trained:
        denoiser.load_state_dict(torch.load(trained / "checkpoint.pt", weights_only=True)["model"])
    else:
        denoiser.begin(PIPELINE)
    return Whole(denoiser, own_autoencoder(tapered, PIPELINE), tokenizer)


def own_autoencoder(trained: Path | None, pipeline: Path) -> Tapered:
    """The autoencoder that was trained into a folder; without one, the pipeline's."""
    if trained:
        return autoencoder.load(trained)
    before = AutoencoderTiny.from_pretrained(pipeline / "vae").float()
    return grown(before, Tapered(latents=before.config.latent_channels))


def save(model: Whole, folder: Path, state: dict) -> None:
    """Write a checkpoint, and the folders that the other stages read."""
    whole = {"model": model.state_dict(), **state}
    halves = (("denoiser", model.denoiser), ("autoencoder", model.autoencoder))
    for name, part in halves:
        (folder / name).mkdir(exist_ok=True)
        torch.save({"model": part.state_dict()}, folder / name / "checkpoint.pt")
    stock(model.autoencoder).save_pretrained(folder / "autoencoder")
    torch.save(whole, folder / "checkpoint.part")
    (folder / "checkpoint.part").rename(folder / "checkpoint.pt")


def train(model: Whole, arguments: argparse.Namespace) -> None:
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    model = model.to(memory_format=torch.channels_last)
    optimisers = Optimisers(model, arguments.muon_lr, arguments.adam_lr, outer=model.outer)
    step, spent = 0, 0.0
    if (folder / "checkpoint.pt").exists():
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        model.load_state_dict(state["model"])
        optimisers.load_state_dict(state["optimisers"])
        step, spent = state["step"], state["spent"]
    features, generator = ClipFeatures(), torch.Generator().manual_seed(step)
    stream, sums, start = batches(arguments.shards, seed=step), {}, time.time() - spent

    def state() -> dict:
        return {"optimisers": optimisers.state_dict(), "step": step, "spent": time.time() - start}

    while (progress := (time.time() - start) / (60 * arguments.minutes)) < 1:
        with mixed():
            parts = loss(model, features, next(stream), generator)
        sum(parts.values()).backward()
        optimisers.step(ramp(progress, flat=0.4))
        sums = {name: sums.get(name, 0.0) + value.item() for name, value in parts.items()}
        step += 1
        if step % EVERY == 0:
            means = "  ".join(f"{name} {value / EVERY:.4f}" for name, value in sums.items())
            print(f"{time.time() - start:.0f} s  step {step}  {means}", flush=True)
            sums = {}
        if step % SAVE_EVERY == 0:
            save(model, folder, state())
    save(model, folder, state())


def parsed(description: str | None) -> argparse.Namespace:
    """The command line; sets threads and the random seed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("shards", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--denoiser", type=Path, help="its output folder, to go on from (default: bundled)")
    parser.add_argument("--autoencoder", type=Path, help="the same of the autoencoder")
    parser.add_argument("--muon-lr", type=float, default=0.0015)
    parser.add_argument("--adam-lr", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    return arguments


def main() -> None:
    arguments = parsed(__doc__)
    tokenizer = build_tokenizer(arguments.output / "denoiser" / "tokenizer")
    train(begin(arguments.denoiser, arguments.autoencoder, tokenizer), arguments)


if __name__ == "__main__":
    main()
