"""Where each method acts in table B, and at which λ: what is best on prompts and noise of their own.

Best is the highest share of images as wanted with all the rest kept, times the share of other prompts'
content that is kept, in the mean over a few concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.images.bench import Bench, Way, places_of
from benchmarks.report import pooled
from benchmarks.results import Key, Results

CONCEPTS = ("at night", "red", "clock")
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
Score = tuple[float, float, float]
"""What is compared: the product, then how many are as wanted, then what others keep."""


def chosen(bench: Bench, results: Results, intent: str, name: str) -> Way:
    """The best place and λ of a row's method, from the results where it was chosen before."""
    key = {"kind": "chosen", "intent": intent, "method": name, "weights": bench.weights, "on": list(CONCEPTS)}
    if key not in results:
        tried = [
            (way, score)
            for sites in places_of(name)
            for way, score in climbed(Way(name, sites), lambda way: _score(bench, results, intent, way))
        ]
        way, score = max(tried, key=lambda each: each[1])
        results.compute(key, lambda: {"sites": way.sites, "strength": way.strength, "score": list(score)})
    value = results.get(key)
    return Way(name, value["sites"], value["strength"])


def climbed(way: Way, score: Callable[[Way], Score]) -> list[tuple[Way, Score]]:
    """Rising strengths with their scores, until one is below half of the best."""
    found: list[tuple[Way, Score]] = []
    for strength in STRENGTHS:
        each = Way(way.name, way.sites, strength)
        found.append((each, score(each)))
        if found[-1][1][0] < max(s[0] for _, s in found) / 2:
            break
    return found


def _score(bench: Bench, results: Results, intent: str, way: Way) -> Score:
    cells = []
    for concept in CONCEPTS:
        key = trial_key(bench.weights, intent, way, concept)
        cells.append(results.compute(key, lambda c=concept: bench.tried(way, intent, c)))
    return score_of(cells)


def trial_key(weights: str, intent: str, way: Way, concept: str) -> Key:
    key = {"kind": "trial", "intent": intent, "concept": concept, "weights": weights}
    return key | {"method": way.name, "sites": way.sites, "strength": way.strength}


def score_of(cells: Sequence[dict[str, Any]]) -> Score:
    """Of reports as plain values, one per concept."""
    kept, done, others = (
        [pooled([find(cell)]).value for cell in cells]
        for find in (
            lambda cell: cell["steered"]["all_kept"],
            lambda cell: cell["steered"]["done"],
            lambda cell: cell["others_kept"],
        )
    )
    products = [a * b for a, b in zip(kept, others, strict=True)]
    return sum(products) / len(cells), sum(done) / len(cells), sum(others) / len(cells)
