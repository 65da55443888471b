"""Train the small open_clip model of the domain: images and prompts in one space."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from tools.scenes_model.data import HELD_OUT_SEED, pixels, read_shard
from tools.scenes_model.optimiser import Optimisers, ramp
from tools.scenes_model.text import LENGTH, build_tokenizer

BATCH = 128
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def config(vocabulary: int, tokenizer: Path) -> dict:
    """An open_clip configuration; the tokenizer is found beside the weights."""
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": 64,
            "layers": 3,
            "width": 96,
            "head_width": 24,
            "patch_size": 8,
            "mlp_ratio": 3.0,
        },
        "text_cfg": {
            "context_length": LENGTH,
            "vocab_size": vocabulary,
            "width": 96,
            "heads": 4,
            "layers": 2,
            "mlp_ratio": 3.0,
            "hf_tokenizer_name": str(tokenizer),
            "tokenizer_kwargs": {"clean": "lower"},
        },
    }


def images_for(model_size: int, images: np.ndarray) -> torch.Tensor:
    small = F.interpolate(pixels(images), (model_size, model_size), mode="bicubic", antialias=True).clamp(
        0, 1
    )
    return (small - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@torch.no_grad()
def accuracy(model: open_clip.CLIP, images: np.ndarray, tokens: torch.Tensor, among: int = 64) -> float:
    """How often the right prompt is the nearest of 64."""
    model.eval()
    right = []
    for part in range(0, len(images) - among + 1, among):
        picture = model.encode_image(images_for(64, images[part : part + among]), normalize=True)
        text = model.encode_text(tokens[part : part + among], normalize=True)
        right.append(((picture @ text.T).argmax(1) == torch.arange(among)).float().mean().item())
    model.train()
    return float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=26.0)
    parser.add_argument("--start", type=Path, help="an open_clip_model.safetensors to go on from")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    tokenizer = build_tokenizer(arguments.output)
    tokenizer.save_pretrained(arguments.output)
    settings = config(len(tokenizer), arguments.output)
    model = open_clip.CLIP(settings["embed_dim"], settings["vision_cfg"], settings["text_cfg"])
    if arguments.start:
        model.load_state_dict({name: t.float() for name, t in load_file(arguments.start).items()})
    optimisers = Optimisers(model, muon_lr=0.01, adam_lr=2e-3, outer=("conv1", "proj", "positional"))

    def encode(prompts: list[str]) -> torch.Tensor:
        return tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids

    held_out, _, held_out_prompts, _ = read_shard(arguments.shards / f"{HELD_OUT_SEED:07d}.npz")
    held_out_tokens = encode(held_out_prompts)
    generator, start, number, seen = torch.Generator().manual_seed(0), time.time(), 0, 0
    paths = [path for path in sorted(arguments.shards.glob("0??????.npz")) if int(path.stem) < HELD_OUT_SEED]
    while (progress := (time.time() - start) / (60 * arguments.minutes)) < 1:
        images, _, prompts, _ = read_shard(paths[number % len(paths)])
        tokens = encode(prompts)
        number += 1
        for index in torch.randperm(len(images), generator=generator).split(BATCH):
            progress = (time.time() - start) / (60 * arguments.minutes)
            if progress >= 1:
                break
            picture, text, scale = model(images_for(64, images[index.numpy()]), tokens[index])
            logits = scale.clamp(max=100) * picture @ text.T
            target = torch.arange(len(index))
            ((F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2).backward()
            optimisers.step(ramp(progress, flat=0.4))
            seen += len(index)
        print(
            f"{time.time() - start:.0f} s  {seen}",
            f"{accuracy(model, held_out[:512], held_out_tokens[:512]):.3f}",
            flush=True,
        )
    save_file(
        {n: t.half().contiguous() for n, t in model.state_dict().items()},
        arguments.output / "open_clip_model.safetensors",
    )
    settings["text_cfg"]["hf_tokenizer_name"] = "."
    written = {
        "model_cfg": settings,
        "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic"},
    }
    (arguments.output / "open_clip_config.json").write_text(json.dumps(written, indent=1) + "\n")
    figures = {
        "held-out renders": len(held_out),
        "nearest prompt of 64": accuracy(model, held_out, held_out_tokens),
    }
    (arguments.output / "accuracy.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(figures)


if __name__ == "__main__":
    main()
