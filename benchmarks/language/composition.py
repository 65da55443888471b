"""Table D: two steerings at once. Sentences about the sea and about music are each made likelier, then both.

A continuation is about one of them when it holds one of its words; the words are common ones, counted alike
with and without steering.
"""

from __future__ import annotations

import re
import time
from typing import Any

from benchmarks.language.cells import DATA, Bench, Budget, Variant
from lineas.adapters.language.writing import continuations
from lineas.apply.hooks import steer
from lineas.evaluation.language.perplexity import perplexity
from lineas.evaluation.rates import joint_rate, presence_rate
from lineas.prompts.files import read_prompts
from lineas.steering.steering import Steering

CONCEPTS = {
    "sea": "sea ocean wave waves boat boats ship ships sail sailed sailor sailors harbour harbor beach shore "
    "tide island coast port captain fish water salt",
    "music": "music song songs sing sang singing singer piano guitar violin drum drums band concert melody "
    "tune choir orchestra opera note notes voice dance",
}
WAYS = ("none", "sea", "music", "sequence", "sum")


def composition(bench: Bench, quick: bool, seeds: list[int], budget: Budget) -> None:
    """Fill table D: what is found in continuations of plain openings, and the perplexity."""
    openings = read_prompts(DATA / "plain_openings.txt")[: 3 if quick else None]
    for way in WAYS:
        for seed in seeds:
            if budget.over:
                return
            key = {
                "kind": "composition",
                "model": bench.name,
                "way": way,
                "seed": seed,
                "samples": bench.samples,
            }
            bench.results.compute(key, lambda way=way, seed=seed: _cell(bench, quick, way, openings, seed))


def _cell(bench: Bench, quick: bool, way: str, openings: Any, seed: int) -> dict[str, Any]:
    began = time.perf_counter()
    steering = _steering(bench, quick, way)
    with steer(bench.model, [steering] if steering else []):
        made = continuations(
            bench.model, bench.tokenizer, openings, samples=bench.samples, seed=seed, sampling=bench.sampling,
            batch=bench.batch,
        )  # fmt: skip
        quality = perplexity(bench.model, bench.tokenizer, bench.corpus.text)
    texts = [text for each in made for text in each]
    found = {name: [_about(text, words) for text in texts] for name, words in CONCEPTS.items()}
    rates = {name: presence_rate(hits) for name, hits in found.items()}
    rates["both"] = joint_rate(found["sea"], found["music"])
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "perplexity": quality.value,
        "rates": {name: [rate.hits, rate.total] for name, rate in rates.items()},
        "examples": texts[:3],
    }


def _steering(bench: Bench, quick: bool, way: str) -> Steering | None:
    if way == "none":
        return None
    if way in CONCEPTS:
        return _fitted(bench, quick, way)
    first, second = (_fitted(bench, quick, name) for name in CONCEPTS)
    return first.compose(second, mode=way)  # type: ignore[arg-type]


def _fitted(bench: Bench, quick: bool, name: str) -> Steering:
    options = {"steps": 2} if quick else {}
    texts = read_prompts(DATA / f"{name}.txt")
    corpus = bench.with_sets(bench.corpus.preserve[:32], texts)
    fitted = corpus.fitted(Variant(f"add {name}", "lineas", options=options))
    if isinstance(fitted, str):
        raise SystemExit(fitted)
    return fitted[0]


def _about(text: str, words: str) -> bool:
    return not set(re.findall(r"[a-z]+", text.lower())).isdisjoint(words.split())
