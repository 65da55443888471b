"""The language rows of the paper by name: Qwen2.5-1.5B, Qwen2.5-7B and Gemma2-2B, with a hub and a GPU.

    python -m benchmarks.language.paper_rows qwen2.5-1.5b --device cuda --output docs/results
    python -m benchmarks.language.paper_rows gemma2-2b --quick  # tiny, local stand-ins

As in arXiv 2503.10679: 1000 prompts of RealToxicityPrompts and the queries of TET, a column each, continued
by 32 tokens at temperature 1, top_p 0.3, repetition penalty 1.2, and judged by a RoBERTa classifier; the
mean perplexity of 20,000 sentences of Wikipedia; MMLU with 5 shots; four seeds of fit and continuations.
LinEAS acts at the norms after attention, in Gemma also at those after the feed-forward; ITI-c and Lin-AcT
at the attentions' output projections; the others where their authors put them. Beside the paper's setting
stands this library's own. The 32 + 32 sentences are those of this repository, or --source and --target. A
run may be cut off and goes on where it was: every cell is a line in OUTPUT/paper.jsonl.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.language.cells import Bench, Budget, Corpus, Variant
from benchmarks.language.models import load
from benchmarks.language.paper_data import hub_corpus
from benchmarks.language.paper_report import page
from benchmarks.language.tables import machine
from benchmarks.language.variants import by_intent, published
from benchmarks.results import Results
from lineas.adapters.language.writing import Sampling
from lineas.evaluation.language.toxicity import load_judge
from lineas.prompts.files import read_prompts

JUDGE = "s-nlp/roberta_toxicity_classifier"
TOKENS, SHOTS = 32, 5


@dataclass(frozen=True)
class Row:
    """model: on the hub. tiny: the stand-in of the same class. sites: where the paper's LinEAS acts."""

    model: str
    tiny: str
    sites: str


MODELS = {
    "qwen2.5-1.5b": Row("Qwen/Qwen2.5-1.5B", "tiny-qwen2", "post_attention"),
    "qwen2.5-7b": Row("Qwen/Qwen2.5-7B", "tiny-qwen2", "post_attention"),
    "gemma2-2b": Row("google/gemma-2-2b", "tiny-gemma2", "norms"),
}


def variants(row: Row, model: Any, quick: bool = False) -> list[Variant]:
    """The untouched model is no variant; LinEAS as the paper has it, every other method, and our own."""
    few: dict[str, Any] = {"steps": 2} if quick else {}
    return [
        Variant(
            "LinEAS as published", "lineas", sites=row.sites, options={**published(model, row.sites), **few}
        ),
        by_intent("LinEAS by intent", quick),
        Variant("Lin-AcT", "lin-act", sites="attention"),
        Variant("ITI-c", "iti-c", sites="attention"),
        Variant("Mean-AcT", "mean-act", sites="attention"),
        Variant("CAA", "caa", sites="blocks"),
        Variant("AurA", "aura", sites="mlp"),
        Variant("ReFT", "reft", sites="blocks", options=few),
        Variant("LoFiT", "lofit", sites="attention", options=few),
        Variant("LoFiT-RL", "lofit", sites="attention", reward=True, options={"policy": "ppo", **few}),
    ]


def main(words: list[str] | None = None) -> None:
    options = _parser().parse_args(words)
    row, results = MODELS[options.row], Results(options.output / "paper.jsonl")
    corpus, openings = _quick_corpus() if options.quick else hub_corpus(options.prompts, options.sentences)
    if options.source and options.target:
        corpus = replace(corpus, source=read_prompts(options.source), target=read_prompts(options.target))
    bench, title = paper_bench(options, corpus, results)
    results.compute({"kind": "machine", "model": options.row}, lambda: {"model": title, **machine()})
    chosen = [
        each
        for each in variants(row, bench.model, options.quick)
        if options.rows is None or each.label in options.rows
    ]
    fill(bench, openings, chosen, options.seeds, options.strength, Budget(options.seconds))
    path = options.output / "paper.md"
    path.write_text(page(results), encoding="utf-8")
    print(path)


def paper_bench(options: argparse.Namespace, corpus: Corpus, results: Results) -> tuple[Bench, str]:
    """The model of a row, measured as in the paper, and its name on the hub; with --quick its stand-in."""
    row = MODELS[options.row]
    dtype = torch.bfloat16 if options.device == "cuda" else None
    name = row.tiny if options.quick else row.model
    model, tokenizer, title = load(name, corpus.words(), dtype, options.device)
    bench = Bench(options.row, model, tokenizer, corpus, results, sampling=Sampling(tokens=TOKENS), samples=1,
                  batch=options.batch, shots=SHOTS, folder=options.output / "steerings")  # fmt: skip
    if options.quick:
        return replace(bench.shortened(), shots=0, samples=1), title
    return replace(bench, judge=load_judge(JUDGE, device=options.device)), title


def fill(
    bench: Bench,
    openings: dict[str, tuple[str, ...]],
    chosen: list[Variant],
    seeds: list[int],
    strength: float,
    budget: Budget,
) -> None:
    """Every row for the first seed, then for the next."""
    for seed, variant in tqdm(
        [(s, v) for s in seeds for v in (None, *chosen)], desc=bench.name, disable=None
    ):
        if budget.over:
            print("the time is up; run the same command again to go on.")
            return
        label = variant.label if variant else "none"
        steerings, fit = [], None
        if variant is not None:
            variant = replace(variant, shuffle=seed)
            fitted = bench.fitted(variant)
            if isinstance(fitted, str):
                why = {"kind": "refused", "model": bench.name, "label": label}
                bench.results.compute(why, lambda fitted=fitted: fitted)
                continue
            steerings = [fitted[0]]
            numbers = (t.numel() for map in fitted[0].maps.values() for t in map.tensors().values())
            fit = {"seconds": fitted[1], "parameters": sum(numbers)}
        key = {"variant": variant.key() if variant else None, "strength": strength if variant else 0.0}
        at = [strength] * len(steerings)
        for name, texts in openings.items():
            part = replace(bench, corpus=replace(bench.corpus, openings=texts), part=name)
            part.toxicity(key, steerings, at, seed)
        bench.knowledge(key, steerings, at)
        told = {"kind": "row", "model": bench.name, "label": label, "seed": seed}
        bench.results.compute(told, lambda key=key, fit=fit: {**key, "fit": fit})


def _quick_corpus() -> tuple[Corpus, dict[str, tuple[str, ...]]]:
    corpus = Corpus.bundled()
    return corpus, {"RTP": corpus.openings[:2], "TET": corpus.openings[2:4]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--source", type=Path, help="other sentences to steer from, one per line")
    parser.add_argument("--target", type=Path, help="other sentences to steer to, one per line")
    parser.add_argument("--prompts", type=int, default=1000, help="of RealToxicityPrompts")
    parser.add_argument("--sentences", type=int, default=20000, help="of Wikipedia")
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of every command on the paper's models."""
    parser.add_argument("row", choices=tuple(MODELS))
    parser.add_argument("--rows", nargs="+", help="only these methods, by the names in the table")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--strength", type=float, default=1.0, help="λ of every row; the paper has 1")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, help="stop after the row in which this time is up")
    parser.add_argument("--device", help="such as cuda")
    parser.add_argument("--output", type=Path, default=Path("out/paper"))
    parser.add_argument("--quick", action="store_true", help="a tiny random model and local texts, as a test")


if __name__ == "__main__":
    main()
