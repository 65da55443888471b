"""Train the bundled AutoencoderTiny: 128 × 128 images to 4 × 16 × 16 latents of unit variance; resumes.

Encoder and decoder grow out of a narrower pair and stay near its latents, so that a UNet which was trained on
those has little to learn anew.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from lineas.scenes.bundled import PIPELINE
from tools.scenes_model.data import HELD_OUT_SEED, pixels, read_shard
from tools.scenes_model.optimiser import Optimisers, mixed, ramp
from tools.scenes_model.perception import ClipFeatures, contour_error, slopes
from tools.scenes_model.tapered import Tapered, grown, stock

EVERY = 25
"""Steps between two lines of the log."""
BATCH, WINDOW, EDGE = 16, 88, 8
"""Images of a step, side of the window that each is trained on, pixels at its cut edges that do not count."""
LATENT_NOISE = 0.1
"""The decoder learns on latents with up to so much noise, so that the UNet's small errors stay invisible."""
CONTOURS, FEATURES, NEAR, NORMAL = 0.1, 15.0, 0.01, 0.02
"""Weights of the faint contours, the open_clip features, the old latents and the unit variance."""


def examples(shards: Path, seed: int) -> Iterator[tuple[Tensor, int, int]]:
    """Images [b, 3, 128, 128] and the corner (y, x) of a window; most windows stand where objects do.

    Images with a style, a time or a weather, whose contours are faint, come more often than the others.
    """
    rng = np.random.default_rng(seed)
    while True:
        paths = [p for p in sorted(shards.glob("0??????.npz")) if int(p.stem) < HELD_OUT_SEED]
        images, _, _, scenes = read_shard(paths[rng.integers(len(paths))])
        odds = np.array([1.0 + sum(map(bool, (s.style, s.time, s.weather))) for s in scenes])
        for _ in range(len(images) // BATCH):
            index = rng.choice(len(images), BATCH, replace=False, p=odds / odds.sum())
            y = 8 * int(rng.choice([0, 5, 5, 5]))
            x = 8 * int(rng.choice([0, 1, 2, 3, 4, 5]))
            yield pixels(images[index]).contiguous(memory_format=torch.channels_last), y, x


def counted(y: int, x: int) -> tuple[slice, ...]:
    """The part of a window that is not near a cut edge, as [:, :, rows, columns]."""
    top, left = EDGE * (y > 0), EDGE * (x > 0)
    bottom, right = WINDOW - EDGE * (y + WINDOW < 128), WINDOW - EDGE * (x + WINDOW < 128)
    return slice(None), slice(None), slice(top, bottom), slice(left, right)


def reproduction(output: Tensor, image: Tensor, y: int, x: int, features: ClipFeatures) -> dict[str, Tensor]:
    """How far a decoded window [b, 3, 88, 88] is from its place in the images, in weighted parts."""
    inside = counted(y, x)
    rows, columns = (slice(a + part.start, a + part.stop) for a, part in ((y, inside[2]), (x, inside[3])))
    output, target = output[inside], image[:, :, rows, columns]
    difference = output - target
    whole = image.clone()
    whole[:, :, rows, columns] = output
    return {
        "pixels": difference.abs().mean() + 2 * difference.square().mean(),
        "slopes": 0.5 * slopes(difference).abs().mean(),
        "contours": CONTOURS * contour_error(output, target).mean(),
        "features": FEATURES * features.distance(whole, image),
    }


def loss(
    model: Tapered, old: nn.Module | None, features: ClipFeatures, image: Tensor, y: int, x: int
) -> dict[str, Tensor]:
    """The weighted parts of the loss on one window; their sum is to be small."""
    window = image[:, :, y : y + WINDOW, x : x + WINDOW].contiguous(memory_format=torch.channels_last)
    latent = model.encode(window)
    noise = LATENT_NOISE * torch.rand(len(latent), 1, 1, 1) * torch.randn_like(latent)
    parts = reproduction(model.decode(latent + noise), image, y, x, features)
    mean, variance = latent.mean(dim=(0, 2, 3)), latent.var(dim=(0, 2, 3))
    parts["normal"] = NORMAL * (mean.square() + (variance - 1).square()).mean()
    if old is not None:
        with torch.no_grad():
            before = old(window * 2 - 1)
        parts["near"] = NEAR * (latent - before).square().mean()
    return parts


def load(folder: Path) -> Tapered:
    """The autoencoder that was trained into ``folder``."""
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    model = Tapered(latents=weights["decoder.layers.0.weight"].shape[1])
    model.load_state_dict(weights)
    return model.to(memory_format=torch.channels_last)


@torch.no_grad()
def error(model: Tapered, image: Tensor) -> float:
    return (model.decode(model.encode(image)) - image).square().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="of processor time")
    parser.add_argument("--muon-lr", type=float, default=0.001)
    parser.add_argument("--adam-lr", type=float, default=3e-4)
    parser.add_argument(
        "--start", type=Path, default=PIPELINE / "vae", help="an autoencoder folder to grow and stay near"
    )
    parser.add_argument("--go-on", type=Path, help="an output folder whose weights to begin with instead")
    parser.add_argument("--latents", type=int, default=4, help="channels of a latent")
    parser.add_argument("--fresh", action="store_true", help="start from random weights instead")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    model, old = Tapered(latents=arguments.latents), None
    if not arguments.fresh:
        before = AutoencoderTiny.from_pretrained(arguments.start).float()
        model = grown(before, model)
        if arguments.latents == before.config.latent_channels:
            old = before.encoder.to(memory_format=torch.channels_last).requires_grad_(False)
    if arguments.go_on:
        model.load_state_dict(torch.load(arguments.go_on / "checkpoint.pt", weights_only=True)["model"])
    train(model.to(memory_format=torch.channels_last), old, arguments)


def train(model: Tapered, old: nn.Module | None, arguments: argparse.Namespace) -> None:
    optimisers = Optimisers(model, arguments.muon_lr, arguments.adam_lr)
    checkpoint, step, spent = arguments.output / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimisers.load_state_dict(state["optimisers"])
        step, spent = state["step"], state["spent"]
    held_out = pixels(read_shard(arguments.shards / f"{HELD_OUT_SEED:07d}.npz")[0][:64])
    features, stream = ClipFeatures(), examples(arguments.shards, seed=step)
    start, sums = time.process_time() - spent, {}

    def save() -> None:
        state = {"model": model.state_dict(), "optimisers": optimisers.state_dict()}
        state |= {"step": step, "spent": time.process_time() - start}
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").rename(checkpoint)
        stock(model).save_pretrained(arguments.output)
        print(f"held-out mean square error {error(model, held_out):.5f}", flush=True)

    while (progress := (time.process_time() - start) / (60 * arguments.minutes)) < 1:
        with mixed():
            parts = loss(model, old, features, *next(stream))
        sum(parts.values()).backward()
        optimisers.step(ramp(progress))
        sums = {name: sums.get(name, 0.0) + value.item() for name, value in parts.items()}
        step += 1
        if step % EVERY == 0:
            means = "  ".join(f"{name} {value / EVERY:.4f}" for name, value in sums.items())
            print(f"{time.process_time() - start:.0f} s  step {step}  {means}", flush=True)
            sums = {}
        if step % 250 == 0:
            save()
    save()


if __name__ == "__main__":
    main()
