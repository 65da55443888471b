"""What a step of training, and a steered model, cost beside the bare model: ratios of one run on one machine.

    python -m benchmarks.speed                                     # the bundled model
    python -m benchmarks.speed --model unet --prompts 2            # an SDXL-size UNet with random weights
    python -m benchmarks.speed --model transformer --layers 4      # blocks of Z-Image's size
    python -m benchmarks.speed --gpu                               # all of it: 78 GB and 10 minutes of a GPU
    python -m benchmarks.speed --gpu --size tiny                   # the same in a minute of a CPU, to try it

Bare is the same model on the same prompts, forward and backward from the first site to the last, without any
of the library's work. On a CPU times are those of the process, with one thread unless told otherwise. Results
are added to speed.json, and speed.md is made of all that is there.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.random_models import transformer_problem, unet_problem
from benchmarks.report import machine, table
from benchmarks.turns import in_turns, now
from lineas.adapters.problems import problem_for
from lineas.apply.fusing import fuse
from lineas.apply.hooks import steer
from lineas.fitting.problem import Problem
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer
from lineas.modules.names import resolve
from lineas.modules.recorder import AllRecorded
from lineas.scenes.bundled import load_pipeline
from lineas.scenes.concepts import concept_sets
from lineas.steering.steering import Steering

STEPS: dict[str, dict[str, Any]] = {
    "affine": {},
    "gated": {"map": "gated"},
    "two micro-batches": {"parts": 2},
    "two micro-batches, no memory to spare": {"parts": 2, "keep": False},
    "recomputed": {"checkpointing": True},
}
MEMORY: dict[str, dict[str, Any]] = {
    "2 prompts": {"prompts": 2},
    "2 prompts, recomputed": {"prompts": 2, "checkpointing": True},
    "32 prompts": {"prompts": 32},
    "32 prompts, recomputed": {"prompts": 32, "checkpointing": True},
    "32 prompts, 4 at a time": {"prompts": 32, "micro_batch": 4, "keep": False},
    "32 prompts, 4 at a time, recomputed": {"prompts": 32, "micro_batch": 4, "checkpointing": True},
}


def trainer(problem: Problem, parts: int = 1, keep: bool = True, **options: Any) -> Trainer:
    """A training of so many micro-batches, which keep their graphs or not."""
    size = -(-problem.sizes["source"] // parts)
    made = {"preserve_weight": 0.0, "steps": 10_000, "micro_batch": size, **options}
    trainer = Trainer(problem, TrainConfig.preset("fast", **made))
    trainer.batches.graphs.wanted &= keep
    return trainer


def bare_step(problem: Problem) -> None:
    """Forward and backward of all source prompts between the first and the last site."""
    first, last = (resolve(problem.components, site) for site in (problem.sites[0], problem.sites[-1]))
    ends: list[Tensor] = []

    def begin(module: Any, args: Any, output: Tensor) -> Tensor:
        return output.detach().requires_grad_()

    def end(module: Any, args: Any, output: Tensor) -> None:
        ends.append(output)
        raise AllRecorded

    handles = [first.register_forward_hook(begin), last.register_forward_hook(end)]
    try:
        with problem.frozen(), torch.enable_grad():
            with suppress(AllRecorded):
                problem.run("source", range(problem.sizes["source"]))
            ends[0].float().square().mean().backward()
    finally:
        for handle in handles:
            handle.remove()


def training(problem: Problem, names: list[str], rounds: int) -> tuple[dict[str, Any], Steering]:
    """Each kind of step against the bare one, and a steering that came of it."""
    trainers = {name: trainer(problem, **STEPS[name]) for name in names}
    cases: dict[str, Callable[[], Any]] = {"bare": lambda: bare_step(problem)}
    for name, each in trainers.items():
        cases[name] = lambda step=each.step: step() and None
    timings = in_turns(cases, rounds)
    ratios = {name: each.over(timings["bare"]) for name, each in timings.items()}
    return ratios, trainers[names[0]].steering()


def applied(problem: Problem, steering: Steering, rounds: int) -> dict[str, Any]:
    """A steered forward pass against a bare one; what changing the strength costs; the same compiled."""

    @torch.no_grad()
    def run() -> float:
        start = now()
        problem.run("target", range(problem.sizes["target"]))
        return now() - start

    def under(make: Callable[..., Any], change: bool = False) -> Callable[[], float]:
        def steered() -> float:
            with make(problem.components, steering) as handle:
                if not change:
                    return run()
                start = now()
                handle.set_strength(0.5)
                return now() - start

        return steered

    cases = {"bare pass": run, "hooked": under(steer), "fused": under(fuse)}
    cases |= {"strength, hooked": under(steer, True), "strength, fused": under(fuse, True)}
    timings = in_turns(cases, rounds)
    return {name: each.over(timings["bare pass"]) for name, each in timings.items()}


def compiled(problem: Problem, steering: Steering, rounds: int) -> dict[str, Any]:
    """The denoiser as torch.compile makes it, against itself before: a fused pass, and a step of a fit."""

    @torch.no_grad()
    def run() -> None:
        problem.run("target", range(problem.sizes["target"]))

    step = trainer(problem).step
    cases: dict[str, Callable[[], Any]] = {"a pass": run, "a step": lambda: step() and None}
    eager = in_turns(cases, rounds)
    for name, component in problem.components.items():
        if name.startswith(("unet", "transformer")):
            component.compile()
    handle = fuse(problem.components, steering)
    after = in_turns(cases, rounds)
    handle.remove()
    return {f"{name}, compiled": after[name].over(eager[name]) for name in cases}


def memory_of(problem: Problem, keep: bool = True, **options: Any) -> dict[str, float]:
    """Peak memory of this process and seconds of its second step."""
    made = {"preserve_weight": 0.0, "steps": 10_000, **options}
    fit = Trainer(problem, TrainConfig.preset("fast", **made))
    fit.batches.graphs.wanted &= keep
    fit.step()
    start = now()
    fit.step()
    spent = now() - start
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (
            20 if sys.platform == "darwin" else 10
        )
    return {"MiB": round(peak), "seconds": round(spent, 3)}


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every case of `MEMORY` in a process of its own; one that fails, as for want of memory, is left out."""
    results = {}
    for name in MEMORY:
        names = ("model", "size", "layers", "latent", "threads", "dtype")
        options = [f"--{option}={getattr(arguments, option)}" for option in names]
        command = [sys.executable, "-m", "benchmarks.speed", *options, "--memory-of", name]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        else:
            results[name] = json.loads(done.stdout.splitlines()[-1])
    return results


def made_problem(arguments: argparse.Namespace, prompts: int) -> Problem:
    """The problem of the chosen model; at tiny size on the CPU for a trial of the script."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.model == "bundled":
        sets = concept_sets("time", "night")
        pipe = load_pipeline().to(device)
        return problem_for(pipe, sets.source[:prompts], sets.target[:prompts], recipe="scenes")
    dtype = getattr(torch, arguments.dtype)
    shape = (arguments.layers, arguments.latent)
    if arguments.model == "unet":
        return unet_problem(arguments.size or "sdxl", prompts, dtype, device, *shape)
    return transformer_problem(arguments.size or "z-image", prompts, dtype, device, *shape)


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """All that was asked for of one model."""
    problem = made_problem(arguments, arguments.prompts)
    names = [name for name in STEPS if name in arguments.steps]
    steps, steering = training(problem, names, arguments.rounds)
    print(json.dumps(steps), file=sys.stderr)  # what comes after takes as long again
    results = {"training": steps, "applied": applied(problem, steering, arguments.rounds)}
    if arguments.compile:
        results["compiled"] = compiled(problem, steering, arguments.rounds)
    if arguments.memory:
        results["memory"] = memory(arguments)
    parameters = sum(weight.numel() for root in problem.components.values() for weight in root.parameters())
    dtype = next(weight.dtype for root in problem.components.values() for weight in root.parameters())
    results["model"] = {"parameters": parameters, "dtype": str(dtype), "sites": len(problem.sites)}
    results["model"] |= {"prompts": arguments.prompts, "rounds": arguments.rounds, "machine": machine()}
    results["model"] |= {"layers": arguments.layers, "latent": arguments.latent}
    return results


def page(results: dict[str, Any]) -> str:
    """speed.md of all models in speed.json."""
    text = "# What a step costs\n\nMade by `python -m benchmarks.speed`; times in seconds.\n"
    for name, each in results.items():
        about = each["model"]
        text += f"\n## {name}\n\n{about['parameters'] / 1e9:.2f} G parameters in {about['dtype']}, "
        text += (
            f"{about['sites']} sites, {about['prompts']} prompts at once; {about['machine']}; smallest of "
        )
        text += f"{about['rounds']} rounds in turns.\n"
        for part in ("training", "applied", "compiled", "memory"):
            if each.get(part):
                heads = list(next(iter(each[part].values())))
                cases = each[part].items()
                rows = [[case, *(f"{values[head]:g}" for head in heads)] for case, values in cases]
                text += f"\n{table([part, *heads], rows)}\n"
        text += f"\n100 steps of affine maps: {100 * each['training']['affine']['seconds']:.0f} s.\n"
    return text


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=["bundled", "unet", "transformer"], default="bundled")
    parser.add_argument("--size", default="", help="tiny, for a trial; the real one when not given")
    parser.add_argument("--layers", type=int, default=0, help="transformer layers, fewer than there are")
    parser.add_argument("--latent", type=int, default=0, help="height and width of latents")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--dtype", default="bfloat16", help="of random weights")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--compile", action="store_true", help="torch.compile of a pass and of a step")
    parser.add_argument("--memory", action="store_true", help="peak memory for 2 and for 32 prompts")
    parser.add_argument("--memory-of", choices=list(MEMORY), help=argparse.SUPPRESS)
    parser.add_argument("--gpu", action="store_true", help="all models, one after the other")
    parser.add_argument("--output", type=Path, default=Path("out/results"))
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        options = dict(MEMORY[arguments.memory_of])
        print(json.dumps(memory_of(made_problem(arguments, options.pop("prompts")), **options)))
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "speed.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for model in ["bundled", "unet", "transformer"] if arguments.gpu else [arguments.model]:
        arguments.model = model
        results[" ".join(filter(None, (model, arguments.size)))] = measured(arguments)
        path.write_text(json.dumps(results, indent=1) + "\n")
        (arguments.output / "speed.md").write_text(page(results))
        gc.collect()  # the next model needs the memory of this one
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    print(page(results))


if __name__ == "__main__":
    main()
