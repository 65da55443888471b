"""Table D: two steerings at once. What a model writes is to be about the sea, about music, and about both.

Steerings are what `lineas.add` gives by default, from 32 sentences about each and 32 about anything. λ is the
largest of a few at which sentences of another kind than those reported on become at most a tenth more
perplexing. A continuation is about a concept when it holds one of its words; the words are common ones,
counted alike with and without steering. Prompting puts an example before the opening, or says what the story
is about. Both are added up, or fitted in one.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.language.cells import DATA, Bench, Budget
from benchmarks.results import Key
from lineas.adapters.intents import add
from lineas.adapters.language.writing import continuations
from lineas.apply.hooks import steer
from lineas.evaluation.language.perplexity import fluency, perplexity
from lineas.evaluation.rates import joint_rate, presence_rate
from lineas.prompts.files import hash_prompts, plain_statements, read_prompts
from lineas.steering.steering import Steering

CONCEPTS = {
    "sea": "sea ocean wave waves boat boats ship ships sail sailed sailor sailors harbour harbor beach shore "
    "tide island coast port captain fish water salt",
    "music": "music song songs sing sang singing singer piano guitar violin drum drums band concert melody "
    "tune choir orchestra opera note notes voice dance",
}
TOGETHER = "both in one fit"
"""A steering whose examples are a sentence about each."""
PROMPTED = {
    "example of sea": ("sea",), "example of music": ("music",), "example of each": ("sea", "music"),
}  # fmt: skip
TOLD = {
    "told of sea": "A story about the sea.",
    "told of music": "A story about music.",
    "told of both": "A story about the sea and about music.",
}
STEERED = ("sea", "music", "sea and music", TOGETHER)
WAYS = ("none", *PROMPTED, *TOLD, *STEERED)
STRENGTHS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
MOST = 1.1
"""By how much perplexity may rise where λ is chosen."""


def composition(bench: Bench, quick: bool, seeds: list[int], budget: Budget) -> None:
    """Fill table D: what is found in continuations of plain openings, their fluency, and the perplexity."""
    openings = read_prompts(DATA / "plain_openings.txt")[: 3 if quick else None]
    for way in WAYS:
        for seed in seeds:
            if budget.over:
                return
            key = _key(bench, "additions", way=way, seed=seed, samples=bench.samples)
            bench.results.compute(key, lambda way=way, seed=seed: _cell(bench, quick, way, openings, seed))


def _cell(bench: Bench, quick: bool, way: str, openings: Sequence[str], seed: int) -> dict[str, Any]:
    began = time.perf_counter()
    steering = _steering(bench, quick, way)
    strength = _strength(bench, quick, way, steering) if steering else 0.0
    read = [_read(way, opening, number) for number, opening in enumerate(openings)]
    with steer(bench.model, [steering] if steering else [], strength if steering else 1.0):
        made = continuations(
            bench.model, bench.tokenizer, read,
            samples=bench.samples, seed=seed, sampling=bench.sampling, batch=bench.batch,
        )  # fmt: skip
        quality = perplexity(bench.model, bench.tokenizer, bench.corpus.text)
    texts = [text for each in made for text in each]
    found = {name: [_about(text, words) for text in texts] for name, words in CONCEPTS.items()}
    rates = {name: presence_rate(hits) for name, hits in found.items()}
    rates["both"] = joint_rate(found["sea"], found["music"])
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "strength": strength,
        "perplexity": quality.value,
        "fluency": fluency(bench.model, bench.tokenizer, openings, made).value,
        "rates": {name: [rate.hits, rate.total] for name, rate in rates.items()},
        "examples": texts[:3],
    }


def _read(way: str, opening: str, number: int) -> str:
    """An opening after what prompting puts before it."""
    draw = random.Random(number)
    examples = [draw.choice(read_prompts(DATA / f"{name}.txt")) for name in PROMPTED.get(way, ())]
    return " ".join([*examples, *([TOLD[way]] if way in TOLD else []), opening])


def _steering(bench: Bench, quick: bool, way: str) -> Steering | None:
    if way not in STEERED:
        return None
    fitted = [_fitted(bench, quick, name) for name in way.split(" and ")]
    return fitted[0] if len(fitted) == 1 else fitted[0].compose(fitted[1], mode="sum")


def _fitted(bench: Bench, quick: bool, name: str) -> Steering:
    lists = {"examples": _examples(name), "others": read_prompts(DATA / "plain.txt")}
    if quick:
        lists = {key: texts[:3] for key, texts in lists.items()}
    options = {"steps": 2, "preserve": []} if quick else {}
    key = _key(bench, "fit of an addition", concept=name, prompts=hash_prompts(*lists.values()), **options)
    called = f"add-{name.replace(' ', '-')}-{bench.name.replace('/', '-')}{'-quick' if quick else ''}"
    path = bench.folder / f"{called}.safetensors"
    if not path.is_file():
        bench.results.forget(key)

    def fit() -> dict[str, Any]:
        began, start = time.perf_counter(), time.process_time()
        path.parent.mkdir(parents=True, exist_ok=True)
        add(bench.model, name, tokenizer=bench.tokenizer, **lists, **options).save(path)
        spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - start}
        return {name: round(value, 1) for name, value in spent.items()}

    bench.results.compute(key, fit)
    return Steering.load(path)


def _examples(name: str) -> tuple[str, ...]:
    if name != TOGETHER:
        return read_prompts(DATA / f"{name}.txt")
    return tuple(map(" ".join, zip(*map(_examples, CONCEPTS), strict=True)))


def _strength(bench: Bench, quick: bool, way: str, steering: Steering) -> float:
    """The largest λ at which sentences stay readable enough that share no six words with those of a fit."""
    lists = (plain_statements(), read_prompts(DATA / "plain.txt"), *map(_examples, CONCEPTS))
    taken = _runs([text for texts in lists for text in texts])
    texts = [text for text in bench.corpus.preserve if not _runs([text]) & taken][: 2 if quick else None]

    def perplexities() -> dict[str, Any]:
        found = {"0": perplexity(bench.model, bench.tokenizer, texts).value}
        for strength in STRENGTHS:
            with steer(bench.model, steering, strength):
                found[str(strength)] = perplexity(bench.model, bench.tokenizer, texts).value
            if found[str(strength)] > MOST * found["0"]:
                break
        return found

    key = _key(bench, "strengths of an addition", way=way, texts=hash_prompts(texts))
    found = bench.results.compute(key, perplexities)
    fitting = [float(s) for s, value in found.items() if value <= MOST * found["0"]]
    return max(fitting) or min(STRENGTHS)


def _runs(texts: Sequence[str], length: int = 6) -> set[tuple[str, ...]]:
    """Every run of `length` words."""
    words = [re.findall(r"[a-z]+", text.lower()) for text in texts]
    return {tuple(each[i : i + length]) for each in words for i in range(len(each) - length + 1)}


def _key(bench: Bench, kind: str, **rest: Any) -> Key:
    return {"kind": kind, "model": bench.name, **rest}


def _about(text: str, words: str) -> bool:
    return not set(re.findall(r"[a-z]+", text.lower())).isdisjoint(words.split())
