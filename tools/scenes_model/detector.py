"""Train the concept detector on rendered images, and write down how often it is right on held-out ones."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from lineas.scenes.detector import MANY, ONE, SIZES, Detector
from lineas.scenes.grammar import COLOURLESS_STYLES, Scene
from tools.scenes_model.data import HELD_OUT_SEED, pixels, read_shard
from tools.scenes_model.optimiser import Optimisers, ramp

BATCH = 64


def labels(scenes: list[Scene]) -> dict[str, Tensor]:
    """Targets per kind: [n, names] 0 or 1 for kinds of many, [n] the option for kinds of one."""
    concepts = [scene.concepts() for scene in scenes]
    out = {
        kind: torch.tensor([[float((kind, name) in c) for name in names] for c in concepts])
        for kind, names in MANY.items()
    }
    for kind, names in ONE.items():
        chosen = [getattr(scene, kind) for scene in scenes]
        out[kind] = torch.tensor([names.index(name) if name else len(names) for name in chosen])
    out["colours visible"] = torch.tensor([float(scene.style not in COLOURLESS_STYLES) for scene in scenes])
    return out


def loss(logits: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
    colour = F.binary_cross_entropy_with_logits(logits["colour"], target["colour"], reduction="none").sum(1)
    total = (colour * target["colours visible"]).mean()
    total = total + 24 * F.binary_cross_entropy_with_logits(logits["object"], target["object"])
    return total + sum(F.cross_entropy(logits[kind], target[kind]) for kind in ONE)


def disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur and grain of random strength, so that softly drawn images are read as well as sharp ones."""
    blur = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    share = torch.rand(len(images), 1, 1, 1, generator=generator)
    grain = 0.06 * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    return (images.lerp(blur, share) + grain * noise).clamp(0, 1)


@torch.no_grad()
def accuracy(model: Detector, images: np.ndarray, scenes: list[Scene]) -> dict[str, float]:
    """Share of images in which everything of a kind is right, per kind and in all."""
    found = model.eval().found(list(images))
    model.train()
    visible = [scene.visible() for scene in scenes]
    answers = []
    out = {}
    for kind in SIZES:
        rows = [
            (f, v)
            for f, v, s in zip(found, visible, scenes, strict=True)
            if kind != "colour" or s.style not in COLOURLESS_STYLES
        ]
        right = [{p for p in f if p[0] == kind} == {p for p in v if p[0] == kind} for f, v in rows]
        out[kind] = float(np.mean(right))
        answers += right
    return {**out, "all answers": float(np.mean(answers))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--start", type=Path, help="a detector.safetensors to go on from")
    parser.add_argument("--muon-lr", type=float, default=0.01)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    model = Detector.load(arguments.start).train() if arguments.start else Detector()
    model = model.to(memory_format=torch.channels_last)
    optimisers = Optimisers(
        model, muon_lr=arguments.muon_lr, adam_lr=arguments.muon_lr / 5, outer=("heads", "body.0")
    )
    held_out, _, _, held_out_scenes = read_shard(arguments.shards / f"{HELD_OUT_SEED:07d}.npz")
    generator, start, number, seen = torch.Generator().manual_seed(0), time.time(), 0, 0
    paths = [p for p in sorted(arguments.shards.glob("???????.npz")) if int(p.stem) < HELD_OUT_SEED]
    while (progress := (time.time() - start) / (60 * arguments.minutes)) < 1:
        images, _, _, scenes = read_shard(paths[number % len(paths)])
        target = labels(scenes)
        number += 1
        for index in torch.randperm(len(images), generator=generator).split(BATCH):
            progress = (time.time() - start) / (60 * arguments.minutes)
            if progress >= 1:
                break
            batch = disturbed(pixels(images[index.numpy()]), generator).contiguous(
                memory_format=torch.channels_last
            )
            value = loss(model(batch), {kind: rows[index] for kind, rows in target.items()})
            value.backward()
            optimisers.step(ramp(progress, flat=0.4))
            seen += len(index)
        print(
            f"{time.time() - start:.0f} s  {seen} images",
            accuracy(model, held_out[:256], held_out_scenes[:256]),
            flush=True,
        )
    model.eval()
    arguments.output.mkdir(parents=True, exist_ok=True)
    state = {n: t.half().contiguous() for n, t in model.state_dict().items() if t.is_floating_point()}
    save_file(state, arguments.output / "detector.safetensors")
    final = accuracy(Detector.load(arguments.output / "detector.safetensors"), held_out, held_out_scenes)
    (arguments.output / "detector.json").write_text(
        json.dumps({"held-out renders": len(held_out), **final}, indent=1) + "\n"
    )
    print(final)


if __name__ == "__main__":
    main()
