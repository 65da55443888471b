"""The language rows of the paper by name: Qwen2.5-1.5B, Qwen2.5-7B and Gemma2-2B, with a hub and a GPU.

    python -m benchmarks.language.paper_rows qwen2.5-1.5b --device cuda --output docs/results
    python -m benchmarks.language.paper_rows gemma2-2b --quick  # tiny, local stand-ins

As in arXiv 2503.10679: 1000 prompts of RealToxicityPrompts and the prompts of TET, continued and judged by a
RoBERTa classifier; perplexity of 20,000 sentences of Wikipedia; MMLU with 5 shots; sampling at temperature 1,
top_p 0.3, repetition penalty 1.2; LinEAS at the norms after attention and feed-forward. Beside the preset
`paper` the default is measured. The 32 + 32 sentences are those of this repository, or --source and --target.
A run may be cut off and goes on where it was: every cell is a line in OUTPUT/paper.jsonl.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.language.cells import Bench, Budget, Corpus, Variant
from benchmarks.language.models import load
from benchmarks.language.report import write_reports
from benchmarks.language.tables import machine, run
from benchmarks.results import Results
from lineas.errors import HubError, require
from lineas.evaluation.language.toxicity import load_judge
from lineas.prompts.files import read_prompts

JUDGE = "s-nlp/roberta_toxicity_classifier"
RTP, TET = "allenai/real-toxicity-prompts", "convoicon/Thoroughly_Engineered_Toxicity"
WIKIPEDIA = ("wikimedia/wikipedia", "20231101.en")


@dataclass(frozen=True)
class Row:
    """model: on the hub. tiny: the stand-in of the same class."""

    model: str
    tiny: str


MODELS = {
    "qwen2.5-1.5b": Row("Qwen/Qwen2.5-1.5B", "tiny-qwen2"),
    "qwen2.5-7b": Row("Qwen/Qwen2.5-7B", "tiny-qwen2"),
    "gemma2-2b": Row("google/gemma-2-2b", "tiny-gemma2"),
}


def variants(quick: bool) -> list[Variant]:
    """The preset of the paper, and what this library does by default."""
    few: dict[str, Any] = {"steps": 2} if quick else {}
    return [
        Variant("LinEAS", "lineas", preserve=True, options=few),
        Variant("LinEAS, as in the paper", "lineas", sites="norms", options={"preset": "paper", **few}),
    ]


def main(words: list[str] | None = None) -> None:
    options = _parser().parse_args(words)
    row, results = MODELS[options.row], Results(options.output / "paper.jsonl")
    corpus = Corpus.bundled() if options.quick else hub_corpus(options.prompts, options.sentences)
    if options.source and options.target:
        corpus = replace(corpus, source=read_prompts(options.source), target=read_prompts(options.target))
    dtype = torch.bfloat16 if options.device == "cuda" else None
    name = row.tiny if options.quick else row.model
    model, tokenizer, title = load(name, corpus.words(), dtype, options.device)
    bench = Bench(title, model, tokenizer, corpus, results, samples=1, batch=options.batch, shots=5,
                  folder=options.output / "steerings")  # fmt: skip
    bench = replace(bench.shortened(), shots=0) if options.quick else replace(bench, judge=load_judge(JUDGE))
    results.compute({"kind": "machine", "model": title}, machine)
    run(bench, "A", variants(options.quick), [1.0], options.seeds, Budget(options.seconds))
    for path in write_reports(results, options.output, "paper.md"):
        print(path)


def hub_corpus(prompts: int, sentences: int) -> Corpus:
    """The paper's data from the hub; `HubError` when it cannot be had."""
    datasets, own = require("datasets", "language-evaluation"), Corpus.bundled()
    try:
        rtp = datasets.load_dataset(RTP, split="train").shuffle(seed=0).select(range(prompts))
        tet = datasets.load_dataset(TET, split="train")
        articles = datasets.load_dataset(*WIKIPEDIA, split="train", streaming=True)
        texts = first_sentences((article["text"] for article in articles), sentences)
    except Exception as error:  # the hub's client raises errors of many families
        raise HubError(
            f"The paper's data cannot be loaded from the hub ({str(error).strip().partition(chr(10))[0]}). "
            f"Check the connection, accept the terms of {TET} on the hub, or try --quick."
        ) from error
    column = next(name for name in ("prompt", "text", "input") if name in tet.column_names)
    openings = (*(each["text"] for each in rtp["prompt"]), *map(str, tet[column]))
    return Corpus(own.source, own.target, own.preserve, openings, tuple(texts), "mmlu")


def first_sentences(articles: Any, count: int) -> list[str]:
    """The first sentences of articles, one paragraph at a time, until there are `count`."""
    found: list[str] = []
    for text in articles:
        for paragraph in text.split("\n"):
            found += [part.strip() + "." for part in paragraph.split(". ") if len(part.split()) > 5]
            if len(found) >= count:
                return found[:count]
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", choices=tuple(MODELS))
    parser.add_argument("--source", type=Path, help="other sentences to steer from, one per line")
    parser.add_argument("--target", type=Path, help="other sentences to steer to, one per line")
    parser.add_argument("--prompts", type=int, default=1000, help="of RealToxicityPrompts")
    parser.add_argument("--sentences", type=int, default=20000, help="of Wikipedia")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, help="stop after the cell in which this time is up")
    parser.add_argument("--device", help="such as cuda")
    parser.add_argument("--output", type=Path, default=Path("out/paper"))
    parser.add_argument("--quick", action="store_true", help="a tiny random model and local texts, as a test")
    return parser


if __name__ == "__main__":
    main()
