"""Table D: two steerings at once. What a model writes is to be about the sea, about music, and about both.

Steerings are what `lineas.add` gives by default, from 32 sentences about each and 32 about anything. λ is the
largest, in steps of a tenth, at which every third paragraph of an encyclopaedia becomes at most 8 % more
perplexing; what is reported is of the others. A continuation is about a concept when it holds one of its
words; the words are common ones, counted alike with and without steering. Prompting puts an example or three
before the opening, or says what the story is about. Both are added up, or fitted in one.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.language.cells import DATA, Bench, Budget
from benchmarks.results import Key
from lineas.adapters.intents import add
from lineas.adapters.language.writing import continuations
from lineas.apply.hooks import steer
from lineas.evaluation.language.perplexity import fluency, perplexity
from lineas.evaluation.rates import joint_rate, presence_rate
from lineas.prompts.files import hash_prompts, read_prompts
from lineas.steering.steering import Steering

CONCEPTS = {
    "sea": "sea ocean wave waves boat boats ship ships sail sailed sailor sailors harbour harbor beach shore "
    "tide island coast port captain fish water salt",
    "music": "music song songs sing sang singing singer piano guitar violin drum drums band concert melody "
    "tune choir orchestra opera note notes voice dance",
}
TOGETHER, TOLD_TOO = "both in one fit", "both in one fit, told so"
"""Steerings whose examples are a sentence about each; in the second after TEMPLATE."""
CALLED, TEMPLATE = "the sea and about music", "A story about {}."
PROMPTED = {
    "example of sea": ("sea",), "example of music": ("music",), "example of each": ("sea", "music"),
    "three examples of sea": ("sea",) * 3, "three examples of music": ("music",) * 3,
    "three examples of each": ("sea", "music") * 3,
}  # fmt: skip
TOLD = {
    "told of sea": "A story about the sea.",
    "told of music": "A story about music.",
    "told of both": "A story about the sea and about music.",
}
STEERED = ("sea", "music", "sea and music", TOGETHER, TOLD_TOO)
WAYS = ("none", *PROMPTED, *TOLD, *STEERED)
STRENGTHS = tuple(tenths / 10 for tenths in range(5, 31))
MOST = 1.08
"""By how much perplexity may rise where λ is chosen, so that elsewhere it rises by a tenth at most."""


def composition(bench: Bench, quick: bool, seeds: list[int], budget: Budget) -> None:
    """Fill table D: what is found in continuations of plain openings, their fluency, and the perplexity."""
    openings = read_prompts(DATA / "plain_openings.txt")[: 3 if quick else None]
    tuning, held_out = bench.split()
    for way in WAYS:
        for seed in seeds:
            if budget.over:
                return
            steering = _steering(bench, quick, way)
            strength = _strength(tuning, way, steering) if steering else 0.0
            key = _key(bench, "additions", way=way, seed=seed, samples=bench.samples, part=held_out.part)
            cell = partial(_cell, held_out, way, openings, seed, steering, strength)
            bench.results.compute(key, cell)


def _cell(
    bench: Bench, way: str, openings: Sequence[str], seed: int, steering: Steering | None, strength: float
) -> dict[str, Any]:
    began = time.perf_counter()
    read = [_read(way, opening, number) for number, opening in enumerate(openings)]
    with steer(bench.model, [steering] if steering else [], strength if steering else 1.0):
        made = continuations(
            bench.model, bench.tokenizer, read,
            samples=bench.samples, seed=seed, sampling=bench.sampling, batch=bench.batch,
        )  # fmt: skip
        quality = perplexity(bench.model, bench.tokenizer, bench.corpus.text)
    texts = [text for each in made for text in each]
    found = {name: [about(text, words) for text in texts] for name, words in CONCEPTS.items()}
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
    options: dict[str, Any] = {"steps": 2, "preserve": []} if quick else {}
    if name == TOLD_TOO:
        options["template"] = TEMPLATE
    key = _key(bench, "fit of an addition", concept=name, prompts=hash_prompts(*lists.values()), **options)
    concept = CALLED if name in (TOGETHER, TOLD_TOO) else name
    called = "-".join(["add", *re.findall(r"\w+", f"{name} {bench.name}"), *(["quick"] if quick else [])])
    path = bench.folder / f"{called}.safetensors"
    if not path.is_file():
        bench.results.forget(key)

    def fit() -> dict[str, Any]:
        began, start = time.perf_counter(), time.process_time()
        path.parent.mkdir(parents=True, exist_ok=True)
        add(bench.model, concept, tokenizer=bench.tokenizer, **lists, **options).save(path)
        spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - start}
        return {name: round(value, 1) for name, value in spent.items()}

    bench.results.compute(key, fit)
    return Steering.load(path)


def _examples(name: str) -> tuple[str, ...]:
    if name not in (TOGETHER, TOLD_TOO):
        return read_prompts(DATA / f"{name}.txt")
    return tuple(map(" ".join, zip(*map(_examples, CONCEPTS), strict=True)))


def _strength(bench: Bench, way: str, steering: Steering) -> float:
    """The largest λ at which the texts that λ is chosen on become at most 8 % more perplexing."""

    def perplexities() -> dict[str, Any]:
        found = {"0": perplexity(bench.model, bench.tokenizer, bench.corpus.text).value}
        for strength in STRENGTHS:
            with steer(bench.model, steering, strength):
                found[str(strength)] = perplexity(bench.model, bench.tokenizer, bench.corpus.text).value
            if found[str(strength)] > MOST * found["0"]:
                break
        return found

    key = _key(bench, "strengths of an addition", way=way, texts=hash_prompts(bench.corpus.text))
    found = bench.results.compute(key, perplexities)
    fitting = [float(s) for s, value in found.items() if value <= MOST * found["0"]]
    return max(fitting) or min(STRENGTHS)


def _key(bench: Bench, kind: str, **rest: Any) -> Key:
    return {"kind": kind, "model": bench.name, **rest}


def about(text: str, words: str) -> bool:
    return not set(re.findall(r"[a-z]+", text.lower())).isdisjoint(words.split())
