"""The two presets side by side on the bundled model: the paper's cost per step and per second.

    python -m benchmarks.images.optimisation --output docs/results

Both presets see the same prompts and noise and no preserve prompts, as in the paper. The paper's learning
rate knows nothing of a model's scale, so it gets the best of a sweep, and no ratio is told of another one.
It writes optimisation.json and optimisation.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.report import machine
from lineas.adapters.problems import problem_for
from lineas.errors import NonFiniteError
from lineas.fitting.progress import Progress
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer
from lineas.scenes.bundled import load_pipeline
from lineas.scenes.concepts import concept_sets

CHECKED = (1, 10, 30, 50, 100, 200, 300, 500, 700, 1000)


def run(problem: Any, config: TrainConfig) -> dict[str, Any]:
    """Costs and seconds after each step; the cost that a step ends with is read off by the next one."""
    trainer, costs, seconds = Trainer(problem, config), [], []

    def note(progress: Progress) -> None:
        costs.append(progress.cost)
        seconds.append(progress.seconds)
        bar.update()

    with tqdm(total=config.steps) as bar:
        trainer.run(note)
    costs.append(trainer.evaluate().cost)
    return {"costs": costs, "seconds": [0.0, *seconds]}


def paper(problem: Any, steps: int, rates: list[float]) -> tuple[dict[str, Any], float, dict[float, str]]:
    """The preset paper at the rate that ends lowest, that rate, and how each of the sweep ended."""
    runs, ends = {}, {}
    for rate in rates:
        try:
            runs[rate] = run(problem, TrainConfig.preset("paper", steps=steps, learning_rate=rate))
            ends[rate] = f"{runs[rate]['costs'][-1]:.4g}"
        except NonFiniteError as error:
            ends[rate] = str(error).partition(". ")[0]
    best = min(runs, key=lambda rate: runs[rate]["costs"][-1])
    return runs[best], best, ends


def table(runs: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| steps | " + " | ".join(f"{name}: cost, seconds" for name in runs) + " |",
        "|---|" + "---|" * len(runs),
    ]
    longest = max(len(r["costs"]) for r in runs.values())
    for step in (s for s in (0, *CHECKED) if s < longest):
        cells = [
            f"{r['costs'][step]:.4g}, {r['seconds'][step]:.0f} s" if step < len(r["costs"]) else "–"
            for r in runs.values()
        ]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


def reached(fast: dict[str, Any], paper: dict[str, Any]) -> str:
    """The first step at which fast is at or below the last cost of paper."""
    goal = paper["costs"][-1]
    step = next((i for i, cost in enumerate(fast["costs"]) if cost <= goal), None)
    if step is None:
        return f"fast did not reach paper's last cost of {goal:.4g}; its own is {fast['costs'][-1]:.4g}."
    ratio = paper["seconds"][-1] / max(fast["seconds"][step], 1e-9)
    return (
        f"fast reaches paper's cost after {len(paper['costs']) - 1} steps ({goal:.4g}) at step {step}, "
        f"in {fast['seconds'][step]:.0f} s against {paper['seconds'][-1]:.0f} s: {ratio:.1f} times sooner."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concept", default="time:night")
    parser.add_argument("--paper-steps", type=int, default=100)
    parser.add_argument("--paper-rates", type=float, nargs="+", default=[0.0005, 0.001, 0.002, 0.004, 0.008])
    parser.add_argument("--prompts", type=int, default=32, help="of each set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fast-steps", type=int, default=TrainConfig.preset("fast").steps)
    parser.add_argument("--learning-rate", type=float, help="of fast; its default when not given")
    parser.add_argument("--output", type=Path, default=Path("out/results"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    sets = concept_sets(*arguments.concept.split(":"))
    torch.set_num_threads(arguments.threads)
    source, target = (each[: arguments.prompts] for each in (sets.source, sets.target))
    problem = problem_for(load_pipeline(), source, target, recipe="scenes")
    changes = {"learning_rate": arguments.learning_rate} if arguments.learning_rate else {}
    runs = {"fast": run(problem, TrainConfig.preset("fast", steps=arguments.fast_steps, **changes))}
    if arguments.paper_steps:
        runs["paper"], rate, ends = paper(problem, arguments.paper_steps, arguments.paper_rates)
    text = f"Removing {arguments.concept} with {len(source)} prompts a set; {machine()}.\n\n{table(runs)}\n"
    if "paper" in runs:
        text += f"\n{reached(runs['fast'], runs['paper'])}\n\n"
        text += f"paper at a rate of {rate:g}, the best of the sweep:\n\n"
        text += "".join(f"- {each:g}: {end}\n" for each, end in ends.items())
    (arguments.output / "optimisation.md").write_text(text)
    (arguments.output / "optimisation.json").write_text(json.dumps({"machine": machine(), **runs}) + "\n")
    print(text)


if __name__ == "__main__":
    main()
