"""Table B: what a person gets who says remove, add or swap, beside prompting and every other method.

    python -m benchmarks.images.intents --output docs/results
    python -m benchmarks.images.intents --intents add --concepts "at night" clock --seeds 0 1 2
    python -m benchmarks.images.intents --methods lin-act iti-c
    python -m benchmarks.images.intents --model scenes-transformer --methods "LinEAS by intent"

On a bundled model. LinEAS by intent has its calibrated strength 1, as published its strength 1, and every
other method the place and λ that are best on other prompts and noise (choosing.py). Each row is a line in
OUTPUT/intents.jsonl and computed once; a run that is cut off goes on where it was, and --render makes
intents.md from what is there. Pictures and steerings go to PICTURES. A row takes two minutes of one core by
intent, one as published and half a minute else, with as long again to choose places and λ.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.images.bench import PUBLISHED, Bench, Way, rivals
from benchmarks.images.choosing import chosen
from benchmarks.images.concepts import concepts_of, weights_there
from benchmarks.images.intents_report import BY_INTENT, page, row_key
from benchmarks.results import Results
from lineas.prompts.banks import ADD, REMOVE, SWAP
from lineas.scenes import BUNDLED
from lineas.scenes.bundled import load_pipeline

INTENTS = (REMOVE, ADD, SWAP)
Cell = tuple[str, str, str, int]
"""Method, intent, concept, seed."""


def cells(
    intents: Sequence[str],
    methods: Sequence[str] | None,
    concepts: Sequence[str] | None,
    seeds: Sequence[int],
) -> Iterator[Cell]:
    """What is to be computed, what matters most first: each seed is whole before the next begins."""
    for seed in seeds:
        for intent in intents:
            for name in (BY_INTENT, *rivals(intent)):
                if methods is None or name in methods:
                    for concept in concepts or concepts_of(intent):
                        yield name, intent, concept, seed


def compute(bench: Bench, results: Results, cell: Cell) -> None:
    """One row, and before it the choice of its method's place and of λ."""
    name, intent, concept, seed = cell
    if name == BY_INTENT:
        key = row_key(bench.weights, intent, concept, seed)
        results.compute(key, lambda: bench.by_intent(intent, concept, seed))
        return
    way = Way(PUBLISHED, "norms") if name == PUBLISHED else chosen(bench, results, intent, name, concept)
    key = row_key(bench.weights, intent, concept, seed, way)
    results.compute(key, lambda: bench.by(way, intent, concept, seed))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=BUNDLED[0], choices=BUNDLED)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--pictures", type=Path, default=Path("intents"))
    parser.add_argument("--intents", nargs="+", default=list(INTENTS), choices=INTENTS)
    parser.add_argument("--methods", nargs="+", choices=(BY_INTENT, *rivals(REMOVE)), help="default: all")
    parser.add_argument("--concepts", nargs="+", help="in the words of an intent (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of prompts and fits: 0, 1 and 2")
    parser.add_argument("--render", action="store_true", help="write the page alone")
    arguments = parser.parse_args(words)
    results, weights = Results(arguments.output / "intents.jsonl"), weights_there(arguments.model)
    written = arguments.output / ("intents.md" if arguments.model == BUNDLED[0] else "intents_transformer.md")
    wanted = cells(arguments.intents, arguments.methods, arguments.concepts, arguments.seeds)
    if not arguments.render:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
        bench = Bench(load_pipeline(name=arguments.model), arguments.pictures, weights)
        for cell in wanted:
            compute(bench, results, cell)
            print(*cell, flush=True)
            written.write_text(page(results, weights, arguments.model), encoding="utf-8")
    written.write_text(page(results, weights, arguments.model), encoding="utf-8")


if __name__ == "__main__":
    main()
