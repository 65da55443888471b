"""The two presets side by side on the bundled model: the paper's cost per step and per second.

    python -m benchmarks.images.optimisation --output docs/results

Both presets see the same prompts and noise and no preserve prompts, as in the paper. Where the paper's
learning rate, which knows nothing of a model's scale, diverges, a tenth of it is tried until one does not.
It writes optimisation.json and optimisation.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def paper(problem: Any, steps: int) -> tuple[dict[str, Any], float, list[str]]:
    """The preset paper at the largest tenth part of its rate that does not diverge; and what diverged."""
    config, diverged = TrainConfig.preset("paper", steps=steps), []
    while True:
        try:
            return run(problem, config), config.learning_rate, diverged
        except NonFiniteError as error:
            diverged.append(f"at a rate of {config.learning_rate:g}: {str(error).partition('. ')[0]}")
            config = replace(config, learning_rate=config.learning_rate / 10)


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
    parser.add_argument("--paper-steps", type=int, default=1000)
    parser.add_argument("--fast-steps", type=int, default=TrainConfig.preset("fast").steps)
    parser.add_argument("--learning-rate", type=float, help="of fast; its default when not given")
    parser.add_argument("--output", type=Path, default=Path("out/results"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    sets = concept_sets(*arguments.concept.split(":"))
    problem = problem_for(load_pipeline(), sets.source, sets.target, recipe="scenes")
    changes = {"learning_rate": arguments.learning_rate} if arguments.learning_rate else {}
    runs = {"fast": run(problem, TrainConfig.preset("fast", steps=arguments.fast_steps, **changes))}
    if arguments.paper_steps:
        runs["paper"], rate, diverged = paper(problem, arguments.paper_steps)
    text = f"Removing {arguments.concept}; {machine()}.\n\n{table(runs)}\n"
    if "paper" in runs:
        text += f"\n{reached(runs['fast'], runs['paper'])}\n\npaper at a rate of {rate:g}.\n"
        text += "".join(f"\npaper diverged {each}.\n" for each in diverged)
    (arguments.output / "optimisation.md").write_text(text)
    (arguments.output / "optimisation.json").write_text(json.dumps({"machine": machine(), **runs}) + "\n")
    print(text)


if __name__ == "__main__":
    main()
