"""What a step of each intent takes on texts: in float32, in bfloat16, and there with fused attention.

    python -m benchmarks.language.speed                     # SmolLM2
    python -m benchmarks.language.speed --model gemma3-270m

Cases run in turns in one process; times are those of the process, by one thread unless told otherwise. On a
CPU without instructions for bfloat16 it is slower than float32.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from functools import partial
from unittest.mock import patch

import torch

from benchmarks.language.cells import DATA, Corpus
from benchmarks.language.models import load
from benchmarks.report import machine, table
from benchmarks.turns import in_turns
from lineas.adapters.intents import plan
from lineas.adapters.problems import problem_for
from lineas.methods.lineas.trainer import Trainer
from lineas.prompts.banks import ADD, INTENTS, REMOVE
from lineas.prompts.files import read_prompts

CASES = {"float32": (torch.float32, False), "bfloat16": (torch.bfloat16, False),
         "bfloat16, fused attention": (torch.bfloat16, True)}  # fmt: skip


def trainer(model: torch.nn.Module, tokenizer: object, intent: str, count: int | None) -> Trainer:
    """A training as the intent sets it up, with the first `count` texts of each list."""
    corpus = Corpus.bundled()
    if intent == ADD:
        lists = {"examples": read_prompts(DATA / "sea.txt"), "others": read_prompts(DATA / "plain.txt")}
    else:
        lists = {"examples": corpus.source, "others": corpus.target}
    made = plan(model, intent, "it", **{name: texts[:count] for name, texts in lists.items()})
    sets = made.sets
    groups = (sets.source, sets.target, sets.preserve)
    problem = problem_for(model, *groups, sites=made.sites, contexts=sets.contexts, tokenizer=tokenizer)
    return Trainer(problem, made.config)


def steps(name: str, intent: str, rounds: int, count: int | None = None) -> list[list[str]]:
    """A row for each case: seconds of a step, and its ratio to that in float32."""
    made = {dtype: load(name, Corpus.bundled().words(), dtype)[:2] for dtype in dict(CASES.values())}
    trainers = {case: trainer(*made[dtype], intent, count) for case, (dtype, _) in CASES.items()}

    def step(case: str) -> None:
        own = patch("lineas.adapters.language.problem.SHORT", 0) if CASES[case][1] else nullcontext()
        with own:
            trainers[case].step()

    timings = in_turns({case: partial(step, case) for case in CASES}, rounds)
    told = {case: each.over(timings["float32"]) for case, each in timings.items()}
    return [
        [f"{intent}, {case}", *(f"{found[name]:.2f}" for name in ("seconds", "ratio", "median ratio"))]
        for case, found in told.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2", help="smollm2, gemma3-270m, a folder or a hub name")
    parser.add_argument("--intents", nargs="+", choices=INTENTS, default=[REMOVE, ADD])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [row for intent in arguments.intents for row in steps(arguments.model, intent, arguments.rounds)]
    print(f"{arguments.model}; {machine()}; smallest of {arguments.rounds} rounds in turns.\n")
    print(table(["a step", "seconds", "ratio", "median of the rounds"], rows))


if __name__ == "__main__":
    main()
