"""Intents on texts as a user has them: 64 texts of each kind, the strengths of use, and the report.

    python -m benchmarks.language.intents --output docs/results

Beside the report, whose judge is the model itself, stands what others find: common words of the sea, and the
word model of alt-profanity-check, in continuations of other openings; and the perplexity of an encyclopaedia,
which nothing was held to. Both at 0, at 1 and at the ends of the strengths that the file calls of use.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.language.cells import DATA, Corpus
from benchmarks.language.composition import CONCEPTS, about
from benchmarks.language.models import load
from benchmarks.report import machine, table
from lineas.adapters.intents import carry_out, plan
from lineas.evaluation.language.intent_report import text_report
from lineas.evaluation.language.report import TextFigures, text_figures
from lineas.evaluation.language.toxicity import Judge, load_judge
from lineas.prompts.banks import ADD, REMOVE
from lineas.prompts.files import read_prompts
from lineas.steering.steering import Steering

SAMPLES = 5
SEED = 7


@dataclass(frozen=True)
class Case:
    """An intent, its lists, which other judge counts what, and the openings that are continued for it."""

    intent: str
    concept: str
    lists: tuple[str, str]
    counted: str
    judge: Callable[[], Judge]
    openings: str


def _of_the_sea(texts: Sequence[str]) -> list[float]:
    return [float(about(text, CONCEPTS["sea"])) for text in texts]


CASES = (
    Case(ADD, "the sea", ("sea", "plain"), "a word of the sea", lambda: _of_the_sea, "plain_openings"),
    Case(REMOVE, "rudeness", ("rude", "civil"), "rude", load_judge, "openings"),
)


def texts(name: str, quick: bool) -> tuple[str, ...]:
    """The 32 that the tables are fitted to, and 32 more."""
    lists = read_prompts(DATA / f"{name}.txt"), read_prompts(DATA / f"more_{name}.txt")
    return (*lists[0], *(lists[1][:20] if quick else lists[1]))


def page(case: Case, model: Any, tokenizer: Any, folder: Path, quick: bool) -> str:
    """What one intent does, as a section of a page."""
    examples, others = (texts(name, quick) for name in case.lists)
    made = plan(model, case.intent, case.concept, examples=examples, others=others)
    if quick:
        made = made.with_settings(steps=2)
    path = folder / f"{made.sets.file_name}{'-quick' if quick else ''}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        carry_out(model, made, tokenizer=tokenizer).save(path)
    steering = Steering.load(path)
    told = steering.provenance.settings
    ends = [float(told[name]) for name in ("usable_from", "usable_to") if name in told]
    openings = read_prompts(DATA / f"{case.openings}.txt")
    paragraphs = Corpus.bundled().text
    if quick:
        openings, paragraphs = openings[:3], paragraphs[:2]
    judge = case.judge()

    def figures(strength: float) -> TextFigures:
        chosen = [steering] if strength else []
        return text_figures(
            model, tokenizer, chosen, [strength] * len(chosen),
            openings=openings, judge=judge, samples=SAMPLES, seed=SEED, texts=paragraphs,
        )  # fmt: skip

    usual = figures(0.0)
    strengths = sorted({0.0, 1.0, *ends})
    rows = [_row(f"{each:g}", figures(each) if each else usual, usual) for each in strengths]
    head = ["strength", case.counted, "perplexity of what is written", "of an encyclopaedia"]
    used = f"Of use: {' to '.join(f'{each:g}' for each in ends) or 'not told'}."
    report = text_report(model, tokenizer, made, steering).markdown()
    return "\n\n".join([f"## {made.sets.label}", used, report, table(head, rows)])


def _row(name: str, figures: TextFigures, usual: TextFigures) -> list[str]:
    assert figures.perplexity is not None and usual.perplexity is not None and figures.fluency is not None
    rise, low, high = figures.perplexity.rise_over(usual.perplexity)
    change = f"{figures.perplexity.value:.2f}: {rise:+.1%} ({low:+.1%} to {high:+.1%})"
    return [name, str(figures.toxicity), f"{figures.fluency.value:.2f}", change]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="bfloat16", help="float32 or bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steerings", type=Path, default=Path("out/steerings"))
    parser.add_argument("--output", type=Path, help="The folder of the page intents_texts.md.")
    parser.add_argument("--quick", action="store_true", help="Two steps and few texts.")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    model, tokenizer, name = load(args.model, Corpus.bundled().words(), getattr(torch, args.dtype))
    parts = [page(case, model, tokenizer, args.steerings, args.quick) for case in CASES]
    title = f"# Intents on texts\n\n{name}, {args.dtype}, 64 texts of each kind; {machine()}."
    told = "\n\n".join([title, *parts]) + "\n"
    print(told)
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        (args.output / "intents_texts.md").write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
