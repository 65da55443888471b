"""Rendered shards on disk: images, the noise's uniform numbers and prompts, made once and read many times."""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lineas.scenes.grammar import Scene, parse, prompt, random_scene
from lineas.scenes.nuisance import COUNT, basis
from lineas.scenes.render import render

SHARD = 2048
HELD_OUT_SEED = 1_000_000
"""Shards from this number on are never trained on."""


def write_shard(folder: Path, number: int) -> Path:
    """Render one shard; its content depends on its number alone."""
    path = folder / f"{number:07d}.npz"
    if not path.exists():
        rng = np.random.default_rng(number)
        scenes = [random_scene(rng) for _ in range(SHARD)]
        u = rng.random((SHARD, COUNT))
        images = np.stack([render(scene, row) for scene, row in zip(scenes, u, strict=True)])
        prompts = [prompt(scene, rng) for scene in scenes]
        np.savez(path.with_suffix(".part.npz"), images=images, u=u, prompts=np.array(json.dumps(prompts)))
        path.with_suffix(".part.npz").rename(path)
    return path


def read_shard(path: Path) -> tuple[np.ndarray, np.ndarray, list[str], list[Scene]]:
    """Images [n, 128, 128, 3] uint8, u [n, 12], prompts and their scenes."""
    with np.load(path) as shard:
        prompts = json.loads(str(shard["prompts"]))
        return shard["images"], shard["u"], prompts, [parse(text) for text in prompts]


def noise_for(u: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise [n, 4, 16, 16] with the given uniform numbers u [n, 12], else fresh."""
    patterns = basis().float()
    noise = torch.randn(len(u), *patterns.shape[1:], generator=generator)
    wanted = torch.special.ndtri(u.double().clamp(1e-6, 1 - 1e-6)).float()
    missing = wanted - torch.einsum("bchw,kchw->bk", noise, patterns)
    return noise + torch.einsum("bk,kchw->bchw", missing, patterns)


def pixels(images: np.ndarray) -> Tensor:
    """[n, 3, h, w] float32 in 0..1 from [n, h, w, 3] uint8."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=int, default=32, help=f"training shards of {SHARD} images")
    parser.add_argument("--held-out", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    numbers = [*range(HELD_OUT_SEED, HELD_OUT_SEED + arguments.held_out), *range(arguments.shards)]
    with ProcessPoolExecutor(arguments.workers) as pool:
        work = [pool.submit(write_shard, arguments.folder, number) for number in numbers]
        for job in tqdm(work, desc="shards"):
            job.result()


if __name__ == "__main__":
    main()
