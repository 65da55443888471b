"""Where each method acts in table B, and at which λ: what is best on prompts and noise of their own.

Best is the highest share of images as wanted with all the rest kept, times the share of other prompts'
content that is kept. The place is chosen for a method and an intent, as the best in the mean over a few
concepts, each at its best λ; λ is chosen for each concept, as the intents calibrate theirs.
"""

from __future__ import annotations

from typing import Any

from benchmarks.images.bench import Bench, Way, places_of
from benchmarks.report import pooled
from benchmarks.results import Key, Results

CONCEPTS = ("at night", "red", "clock")
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
Score = tuple[float, float]
"""The product, and where that is 0 the share as wanted, all the rest or not, times what others keep."""


def chosen(bench: Bench, results: Results, intent: str, name: str, concept: str) -> Way:
    """The best place of a row's method, and the best λ for a concept there; chosen before or now."""
    key = place_key(bench.weights, intent, name)
    if key not in results:
        tried = {
            sites: [climbed(bench, results, intent, Way(name, sites), each)[1] for each in CONCEPTS]
            for sites in places_of(name, bench.pipe)
        }
        best = max(tried, key=lambda sites: _mean(tried[sites]))
        scores = {sites: _mean(each)[0] for sites, each in tried.items()}
        results.compute(key, lambda: {"sites": best, "scores": scores})
    way = Way(name, results.get(key)["sites"])
    key = strength_key(bench.weights, intent, way, concept)
    if key not in results:
        strength, score = climbed(bench, results, intent, way, concept)
        results.compute(key, lambda: {"strength": strength, "score": list(score)})
    return Way(name, way.sites, results.get(key)["strength"])


def climbed(bench: Bench, results: Results, intent: str, way: Way, concept: str) -> tuple[float, Score]:
    """The best λ of rising ones and its score; they end where the score is below half of the best."""
    found: list[tuple[Score, float]] = []
    for strength in STRENGTHS:
        each = Way(way.name, way.sites, strength)
        key = trial_key(bench.weights, intent, each, concept)
        score = score_of(results.compute(key, lambda each=each: bench.tried(each, intent, concept)))
        found.append((score, strength))
        if score[0] < max(found)[0][0] / 2:
            break
    score = max(score for score, _ in found)
    return next(strength for each, strength in found if each == score), score


def score_of(report: dict[str, Any]) -> Score:
    """Of a report as plain values."""
    done, kept = (pooled([report["steered"][name]]).value for name in ("done", "all_kept"))
    others = pooled([report["others_kept"]]).value
    return kept * others, done * others


def place_key(weights: str, intent: str, name: str) -> Key:
    return {"kind": "place", "intent": intent, "method": name, "weights": weights, "on": list(CONCEPTS)}


def strength_key(weights: str, intent: str, way: Way, concept: str) -> Key:
    key = {"kind": "strength", "intent": intent, "concept": concept, "weights": weights}
    return key | {"method": way.name, "sites": way.sites}


def trial_key(weights: str, intent: str, way: Way, concept: str) -> Key:
    key = {"kind": "trial", "intent": intent, "concept": concept, "weights": weights}
    return key | {"method": way.name, "sites": way.sites, "strength": way.strength}


def _mean(scores: list[Score]) -> Score:
    first, second = (sum(each) / len(scores) for each in zip(*scores, strict=True))
    return first, second
