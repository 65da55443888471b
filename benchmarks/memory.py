"""What a fit is said to need in memory, and what it then takes: python -m benchmarks.memory

A UNet of random weights is fitted for one step, each case in a process of its own. On a GPU what counts is
the most that torch had allocated; on a CPU the most of the process's resident memory in the step, above
that before it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import warnings
from pathlib import Path
from typing import Any

from benchmarks.results import Results

CASES = [(prompts, recomputes) for prompts in (1, 2, 4) for recomputes in (False, True)]
WORDS = "red blue old new wide dark calm tall".split()
SOURCE, TARGET = ([f"a {word} house {end}" for word in WORDS] for end in ("at night", "by day"))


def pipeline(width: int, pixels: int, device: str) -> Any:
    """A pipeline of Stable Diffusion's form whose UNet is so wide, for images of so many pixels a side."""
    import torch

    from lineas import load_pipeline

    pipe = load_pipeline("scenes", device="cpu", dtype=torch.float32)
    config = {
        **pipe.unet.config,
        "block_out_channels": (width, 2 * width, 2 * width),
        "sample_size": pixels // 8,
    }
    torch.manual_seed(0)
    pipe.unet = type(pipe.unet).from_config(config)
    return pipe.to(device)


def said(width: int, pixels: int, device: str) -> Any:
    """What `lineas train --plan` says of it."""
    from lineas.adapters.images.plan import memory_of
    from lineas.adapters.images.recipes import Recipe

    recipe = Recipe("one", height=pixels, width=pixels)
    return memory_of(pipeline(width, pixels, device), SOURCE, TARGET, recipe=recipe)


def taken(width: int, pixels: int, device: str, prompts: int, recomputes: bool) -> int:
    """Bytes at the peak of a step; on a CPU without the weights, which were there before."""
    import torch

    from lineas.adapters.images.problem import DiffusionProblem
    from lineas.adapters.images.recipes import Recipe
    from lineas.methods.lineas.config import TrainConfig
    from lineas.methods.lineas.trainer import Trainer

    recipe, pipe = Recipe("one", height=pixels, width=pixels), pipeline(width, pixels, device)
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(problem, TrainConfig(micro_batch=prompts, checkpointing=recomputes))
    trainer.batches.graphs.wanted = False  # what is kept where memory is free is not what is needed
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        trainer.step()
        return torch.cuda.max_memory_allocated()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    trainer.step()
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def alone(work: Any, *arguments: Any) -> Any:
    """What a function gives in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("memory.jsonl"))
    parser.add_argument(
        "--width", type=int, default=64, help="Channels of the UNet's first level (default 64)."
    )
    parser.add_argument("--pixels", type=int, default=256, help="Of a side of the image (default 256).")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    results, size = Results(args.output), (args.width, args.pixels, args.device)
    needs = alone(said, *size)
    print(
        "| prompts at once | recomputing | said, MiB | taken, MiB | said / taken |\n|---:|---|---:|---:|---:|"
    )
    for prompts, recomputes in CASES:
        key = {"size": list(size), "prompts": prompts, "recomputes": recomputes}
        used = results.compute(key, lambda: alone(taken, *size, prompts, recomputes))  # noqa: B023
        used += 0 if args.device.startswith("cuda") else needs.weights
        each = needs.recomputed if recomputes else needs.prompt
        told = needs.weights + needs.maps + needs.rows + prompts * each
        row = (prompts, "yes" if recomputes else "no", f"{told / 2**20:.0f}", f"{used / 2**20:.0f}")
        print("|", " | ".join(map(str, row)), "|", f"{told / used:.2f}", "|", flush=True)


if __name__ == "__main__":
    main()
