"""Train transformer and text encoder by flow matching from noise to the latent that it decides; resumes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tools.scenes_model.data import HELD_OUT_SEED
from tools.scenes_model.optimiser import Optimisers, mixed, ramp
from tools.scenes_transformer.latents import noise, read
from tools.scenes_transformer.model import Flow, build, levels
from tools.scenes_transformer.tokenizer import build_tokenizer

STEPS = (2, 4, 8)
"""Numbers of steps, of equal size, on whose paths the model is trained, beside the single one."""
LOWEST = 0.1
"""Noise level below which no path is cut: the last of eight steps begins at 0.125."""
OUTER = ("x_embedder", "final_layer", "cap_embedder", "t_embedder", "adaLN", "pad_token")
"""Layers that Adam trains: those at the edges and those that the noise level modulates."""
SAVE_EVERY = 250


def regression(velocity: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Squared for small errors, absolute for large ones, weighted by example and place."""
    return (F.smooth_l1_loss(velocity, wanted, beta=0.3, reduction="none") * weight).mean()


def batches(folder: Path, size: int, seed: int) -> Iterator[dict[str, Tensor]]:
    """Endless random examples; shards that are encoded meanwhile join in."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        paths = [p for p in sorted(folder.glob("???????.npz")) if int(p.stem) < HELD_OUT_SEED]
        shard = read(paths[int(torch.randint(len(paths), (), generator=generator))])
        for index in torch.randperm(len(shard["u"]), generator=generator).split(size):
            yield {name: values[index] for name, values in shard.items()}


def late(steps: int, generator: torch.Generator) -> int:
    """Number 1 to steps − 1 of a later step; the last ones, which decide what is drawn, come more often."""
    return int(torch.randint(1, steps, (2,), generator=generator).max())


def loss(model: Flow, batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """The velocity from pure noise, and from a state on the way.

    What is drawn is not quite the latent, and later steps see what earlier ones drew. So half of the states
    are those that the model's own steps reach; the others lie between the noise and a mixture of the latent
    and what one step draws. From all of them the velocity is to lead to the latent: each step corrects those
    before.
    """
    latents, start = batch["latents"].float(), noise(batch["u"], generator)
    places = 1 + 2 * batch["occupied"].unsqueeze(1)  # Cells where objects stand count thrice.
    words = model.words(batch["tokens"].long(), batch["mask"])
    pure = model.velocity(words, start, torch.ones(len(latents)))
    drawn, half = pure.detach(), len(latents) // 2
    steps = STEPS[int(torch.randint(len(STEPS), (), generator=generator))]
    path = levels(steps, shift=1.0)[1 : late(steps, generator) + 1]
    own = model.walk(words[:half], start[:half] - drawn[:half] / steps, path)
    part, level = torch.rand(2, len(latents) - half, 1, 1, 1, generator=generator)
    level = LOWEST + (1 - LOWEST) * level
    between = (start - drawn)[half:].lerp(latents[half:], part).lerp(start[half:], level)
    state = torch.cat([own, between])
    sigma = torch.cat([torch.full((half, 1, 1, 1), path[-1]), level])
    inside = model.velocity(words, state, sigma.flatten())
    return (
        regression(pure, start - latents, places)
        + regression(inside, (state - latents) / sigma, places * sigma)
    ) / 2


@torch.no_grad()
def errors(model: Flow, shard: dict[str, Tensor], count: int = 64) -> dict[int, float]:
    """Held-out mean square error of the latents that one and four steps draw."""
    part = {name: values[:count] for name, values in shard.items()}
    start = noise(part["u"], torch.Generator().manual_seed(5))
    drawn = {steps: model.draw(part["tokens"].long(), part["mask"], start, steps) for steps in (1, 4)}
    return {steps: F.mse_loss(latents, part["latents"].float()).item() for steps, latents in drawn.items()}


def train(arguments: argparse.Namespace) -> None:
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = build(len(build_tokenizer()))
    if arguments.start:
        model.begin(arguments.start)
    optimisers = Optimisers(model, arguments.muon_lr, arguments.adam_lr, outer=OUTER)
    checkpoint, step, spent = arguments.output / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimisers.load_state_dict(state["optimisers"])
        step, spent = state["step"], state["spent"]
    stream = batches(arguments.latents, arguments.batch, seed=step)
    generator = torch.Generator().manual_seed(step)
    held_out = read(arguments.latents / f"{HELD_OUT_SEED:07d}.npz")
    start, values = time.process_time() - spent, []

    def save() -> None:
        state = {"model": model.state_dict(), "optimisers": optimisers.state_dict()}
        state |= {"step": step, "spent": time.process_time() - start}
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").rename(checkpoint)
        print("held-out mean square error by steps", errors(model, held_out), flush=True)

    while (progress := (time.process_time() - start) / (60 * arguments.minutes)) < 1:
        with mixed():
            value = loss(model, next(stream), generator)
        value.backward()
        optimisers.step(ramp(progress, flat=0.4))
        values.append(value.item())
        step += 1
        if step % 50 == 0:
            print(f"{time.process_time() - start:.0f} s  step {step}  loss {np.mean(values):.4f}", flush=True)
            values = []
        if step % SAVE_EVERY == 0:
            save()
    save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("latents", type=Path, help="output folder of latents.py")
    parser.add_argument("output", type=Path)
    parser.add_argument("--start", type=Path, help="a pipeline folder whose weights to go on from")
    parser.add_argument("--minutes", type=float, default=480.0, help="of processor time")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--muon-lr", type=float, default=0.012)
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
