"""The page of table B, from the rows that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.images.bench import CROSS_ATTENTION, PLACES, PUBLISHED, PUBLISHED_STEPS, TRIED, Way, rivals
from benchmarks.images.choosing import CONCEPTS, STRENGTHS, place_key, strength_key
from benchmarks.images.concepts import NEVER_TUNED, concepts_of, swapped_for
from benchmarks.report import machine, mean_of, pooled, table, text_of
from benchmarks.results import Key, Results
from lineas.prompts.banks import ADD, REMOVE, SWAP

Row = Mapping[str, Any]
Rows = dict[str, dict[int, Row]]
"""By concept and seed."""
Figure = Callable[[Row], Mapping[str, int]]
"""A rate of a row, as hits and total."""
BY_INTENT = "LinEAS by intent"
PLACED = {
    "norms": "UNet norms", "attention": "UNet attentions", "text": "text encoder norms",
    CROSS_ATTENTION: "UNet cross-attentions",
}  # fmt: skip
FIGURES = ("done", "rest_kept", "all_kept")
_CHOSEN_ON, _OTHERS = ", ".join(CONCEPTS), ", ".join(NEVER_TUNED)
_LADDER = ", ".join(f"{strength:g}" for strength in STRENGTHS)
HEAD = f"""# Remove, add, swap: LinEAS by intent, beside every other method

32 held-out prompts a concept and 32 about other things, drawn from noise that no fit saw. The
detector that comes with the model reads the images.

- As wanted: images without what was to go, or with what was to come.
- All the rest kept: as wanted, and all else that the prompt names and its unsteered image shows is there.
- Other prompts kept: what images of prompts about other things still show of what they showed. An addition
  goes into every prompt, and may take the place of something there.
- Prompting is the oracle: the words left out, added or exchanged.

Means over concepts (of a concept's seeds first), in brackets 95 % bootstrap intervals over concepts drawn
anew; where all concepts have 0 or all have 100 %, or only one is in, Wilson's interval over images. LinEAS
by intent is what `lineas remove`, `add` and `swap` give by default, at its calibrated strength 1.
{PUBLISHED}: affine maps at all norms of the UNet, pooled means coupled by rank, no preserve prompts,
{PUBLISHED_STEPS} steps of the preset fast, strength 1. Every other method has its own default options; of
{len(PLACES)} places the one that is best for {_CHOSEN_ON} (CASteer and MidSteer also have
their authors', the outputs of cross-attention), and for each concept the best λ of {_LADDER}, both by
"all the rest kept" times "other prompts kept" on {TRIED} + {TRIED} other prompts and other noise. Of them
MidSteer alone uses the intent's preserve prompts. Settings of the intents were chosen on other prompts and
noise of some of the ten; none on {_OTHERS}. AurA can only take away."""


def row_key(weights: str, intent: str, concept: str, seed: int, way: Way | None = None) -> Key:
    """Of a row; way: None is LinEAS by intent."""
    key: Key = {"intent": intent, "concept": concept, "seed": seed, "weights": weights}
    return key if way is None else key | {"method": way.name, "sites": way.sites, "strength": way.strength}


def page(results: Results, weights: str, model: str) -> str:
    """All tables that have rows."""
    parts = [HEAD, f"Bundled model {model}. {machine()}. Made by benchmarks/images/intents.py."]
    for intent in (REMOVE, ADD, SWAP):
        if ways := ways_of(results, weights, intent):
            parts.append(f"## {intent.capitalize()}")
            parts += [_overall(intent, ways, concepts_of(intent))]
            if intent != SWAP and any(name in rows for _, rows in ways.items() for name in NEVER_TUNED):
                parts += [f"Of these, {', '.join(NEVER_TUNED)}:", _overall(intent, ways, NEVER_TUNED)]
            parts += [_each(intent, ways)]
            if BY_INTENT in ways:
                parts += [f"{BY_INTENT}, each fit:", _fits(intent, ways[BY_INTENT])]
    return "\n\n".join(parts) + "\n"


def ways_of(results: Results, weights: str, intent: str) -> dict[str, Rows]:
    """Name of the way, with its place -> its rows; a choice that was made anew drops the older rows."""
    found: dict[str, Rows] = {}
    for name in (None, *rivals(intent)):
        wanted: dict[str, Any] = {"kind": None, "intent": intent, "weights": weights, "method": name}
        if name is not None and name != PUBLISHED:
            place = results.get(place_key(weights, intent, name))
            if place is None:
                continue
            wanted["sites"] = place["sites"]
        rows: Rows = {}
        for key, value in results.find(**wanted):
            if "sites" in wanted:
                way = Way(str(name), wanted["sites"])
                strength = results.get(strength_key(weights, intent, way, key["concept"]))
                if strength is None or strength["strength"] != key["strength"]:
                    continue
            rows.setdefault(key["concept"], {})[key["seed"]] = value
        if rows:
            label = f"{name}, {PLACED[wanted['sites']]}" if "sites" in wanted else name
            found[label or BY_INTENT] = rows
    return found


def mean_over_concepts(
    rows: Rows, concepts: Iterable[str], figure: Figure
) -> tuple[float, float, float] | None:
    """Mean and interval of a rate over those of the concepts that have rows; None without any."""
    there = [list(rows[each].values()) for each in concepts if each in rows]
    rates = [rate for rate in (pooled(figure(row) for row in each) for each in there) if rate.total]
    return mean_of(rates) if rates else None


def _overall(intent: str, ways: Mapping[str, Rows], concepts: Sequence[str]) -> str:
    lines = []
    first = next(iter(ways.values()))
    for name, way in (("untouched model", "unsteered"), ("prompting (the oracle)", "prompting")):
        cells = [text_of(mean_over_concepts(first, concepts, _figure(way, each))) for each in FIGURES]
        lines.append((name, _count(first, concepts), *cells, "–"))
    for name, rows in ways.items():
        figures = [_figure("steered", each) for each in FIGURES]
        cells = [
            text_of(mean_over_concepts(rows, concepts, each))
            for each in (*figures, lambda r: r["others_kept"])
        ]
        if _count(rows, concepts):
            lines.append((name, _count(rows, concepts), *cells))
    heads = (intent, "concepts, seeds", "as wanted", "rest kept", "all the rest kept", "other prompts kept")
    return table(heads, lines)


def _count(rows: Rows, concepts: Sequence[str]) -> str:
    """How many concepts, and which seeds each of them has; a seed that not all have is in brackets."""
    there = [set(rows[each]) for each in concepts if each in rows]
    if not there:
        return ""
    whole, some = set.intersection(*there), set.union(*there)
    seeds = [str(each) if each in whole else f"({each})" for each in sorted(some)]
    return f"{len(there)} of {len(concepts)}, {' '.join(seeds)}"


def _figure(way: str, name: str) -> Figure:
    return lambda row: row[way][name]


def _each(intent: str, ways: Mapping[str, Rows]) -> str:
    """Concepts by ways: as wanted / all the rest kept / other prompts kept."""
    lines = []
    for concept in concepts_of(intent):
        cells = []
        for rows in ways.values():
            seeds = list(rows.get(concept, {}).values())
            rates = [
                pooled(figure(row) for row in seeds)
                for figure in (
                    _figure("steered", "done"),
                    _figure("steered", "all_kept"),
                    lambda r: r["others_kept"],
                )
            ]
            cells.append(" / ".join(f"{rate.value:.0%}" for rate in rates) if seeds else "–")
        lines.append((_named(intent, concept), *cells))
    return table(("as wanted / all the rest kept / other prompts kept", *ways), lines)


def _fits(intent: str, rows: Rows) -> str:
    heads = (
        "concept",
        "seed",
        "as wanted",
        "prompting",
        "rest kept",
        "by prompting",
        "strength unit",
        "CPU s",
    )
    lines = []
    for concept in concepts_of(intent):
        for seed, row in sorted(rows.get(concept, {}).items()):
            rates = [
                pooled([row[way][figure]])
                for figure in ("done", "rest_kept")
                for way in ("steered", "prompting")
            ]
            tail = (f"{row['strength_unit'] or 1:g}", f"{row['cpu_seconds']:.0f}")
            lines.append(
                (_named(intent, concept), str(seed), *(f"{rate.value:.0%}" for rate in rates), *tail)
            )
    return table(heads, lines)


def _named(intent: str, concept: str) -> str:
    to = swapped_for(intent, concept)
    return f"{concept} → {to}" if to else concept
