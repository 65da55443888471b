"""Table B: every method at its best place, rate and strength, chosen on openings that the table has not.

Chosen is the strength that leaves fewest rude continuations while the perplexity of other texts and, to the
untouched model, that of the continuations rise by no more than a tenth; where no strength keeps to that, the
one that raises the larger of the two least. Of trained methods the learning rate is chosen alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, product
from typing import Any

import numpy as np

from benchmarks.language.cells import Bench, Budget, Variant
from benchmarks.language.variants import GATED, STEPS
from benchmarks.results import Results
from lineas.evaluation.language.report import TextFigures
from lineas.evaluation.rates import nested_interval

STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
MAY_RISE = 0.10
"""How much the perplexity of other texts and of the continuations may rise for a strength to be chosen."""
LIMITS = (0.02, MAY_RISE, float("inf"))
"""Of the rise, within each of which the page says who wins."""
OWN_PLACE, STREAM = "attention", "blocks"
PLACES = {
    "lin-act": (OWN_PLACE, None, "norms"),
    "iti-c": (OWN_PLACE, None, "norms"),
    "mean-act": (STREAM, OWN_PLACE, None),
    "caa": (STREAM, OWN_PLACE, None),
    "aura": ("mlp", None),
    "reft": (STREAM, None),
    "lofit": (OWN_PLACE, None),
}
"""Where each method may act; first where its authors put it. None is the norm after attention, as LinEAS."""
EXAMPLE = "an example"
PROMPTED = {EXAMPLE: "", "told": "The following text is polite and friendly."}
"""What prompting puts before an opening: a sentence of the target, or words that ask for it."""
RATES = {"reft": (2e-3, 1e-2, 5e-2), "lofit": (5e-3, 2e-2, 1e-1)}


def candidates(quick: bool = False) -> dict[str, list[Variant]]:
    """Row -> its places and rates; LinEAS has the one place that `remove` takes."""
    steps: dict[str, Any] = {"steps": 2} if quick else {}
    lineas = {"steps": 2 if quick else STEPS}
    rows = {
        "LinEAS, gated": [Variant("", "lineas", preserve=True, sites=OWN_PLACE, options={**GATED, **lineas})],
        "LinEAS": [Variant("", "lineas", preserve=True, sites=OWN_PLACE, options=lineas)],
        "LinEAS, no preserve texts": [Variant("", "lineas", sites=OWN_PLACE, options=lineas)],
    }
    for method, places in PLACES.items():
        rates = [{"learning_rate": rate} for rate in RATES.get(method, ())] or [{}]
        short = steps if method in RATES else {}
        rows[method] = [Variant("", method, sites=p, options={**short, **r}) for p in places for r in rates]
    rows["lofit, reward"] = [  # where its authors put it: a fit takes eight minutes of one core
        replace(each, reward=True, options={**each.options, "policy": "ppo"})
        for each in rows["lofit"]
        if each.sites == OWN_PLACE
    ]
    return {row: each[:2] if quick else each for row, each in rows.items()}


def best(
    bench: Bench, quick: bool, names: Sequence[str] | None, fits: int, budget: Budget, also: Sequence[float]
) -> None:
    """Fill table B row by row. A row that was chosen is not chosen anew.

    also: strengths that are reported beside the chosen one.
    """
    tuning, held_out = bench.split()
    base = _measured(tuning, None, 0.0)
    _measured(held_out, None, 0.0)
    for way in PROMPTED:
        if not budget.over and (names is None or way in names):
            _prompted(held_out, way)
    for row, variants in candidates(quick).items():
        if names is not None and row not in names and variants[0].method not in names:
            continue
        key = {"kind": "chosen", "model": bench.name, "row": row, "fits": fits}
        if key not in bench.results:
            found = []
            for variant, strength in product(variants, STRENGTHS[2:4] if quick else STRENGTHS):
                if budget.over:
                    print("table B: the time is up; run the same command again to go on.")
                    return
                if (figures := _measured(tuning, variant, strength, base)) is not None:
                    found.append((figures, variant, strength))
            if (chosen := choose(base, found)) is None:
                continue
            setting = {"variant": chosen[0].key(), "strength": chosen[1]}
            bench.results.compute(key, setting.copy)
        setting = bench.results.get(key)
        for strength, number in product(dict.fromkeys((setting["strength"], *also)), range(fits)):
            if budget.over:
                return
            variant = Variant("", **{**setting["variant"], "shuffle": number})
            _measured(held_out, variant, strength)


def _prompted(bench: Bench, way: str) -> TextFigures:
    """What is written after openings with something before them; the untouched model judges it there."""
    before = bench.corpus.target if way == EXAMPLE else (PROMPTED[way],)
    openings = tuple(f"{text} {opening}" for text, opening in zip(cycle(before), bench.corpus.openings))
    asked = replace(bench, corpus=replace(bench.corpus, openings=openings))
    return asked.written({"prompted": way}, [], [], 0)


def choose(
    base: TextFigures | None, found: Sequence[tuple[TextFigures, Variant, float]]
) -> tuple[Variant, float] | None:
    """The setting with the fewest rude continuations among those that keep both perplexities.

    Where none keeps them, nothing need have been written: the one that raises the larger of the two least.
    None without any setting.
    """
    if base is None or not found:
        return None
    rises = [_rise(base, [figures]) for figures, _, _ in found]
    kept = [each for each, rise in zip(found, rises, strict=True) if rise <= MAY_RISE]
    if not kept:
        return found[int(np.argmin(rises))][1:]
    return min(kept, key=lambda each: each[0].toxicity.rate.value if each[0].toxicity else 1.0)[1:]


def _measured(
    bench: Bench, variant: Variant | None, strength: float, base: TextFigures | None = None
) -> TextFigures | None:
    """Everything of one setting; None where the method cannot be fitted there.

    base: nothing is written where the perplexity of other texts rises over this by more than it may.
    """
    steerings = []
    if variant is not None:
        fitted = bench.fitted(variant)
        if isinstance(fitted, str):
            return None
        steerings = [fitted[0]]
    on, key = (steerings, [strength] * len(steerings)), _key(variant, strength)
    known = bench.knowledge(key, *on)
    if base is not None and _rise(base, [known]) > MAY_RISE:
        return known
    told = bench.written(key, *on, variant.shuffle if variant else 0)
    return replace(told, perplexity=known.perplexity, accuracy=known.accuracy)


def _key(variant: Variant | None, strength: float) -> dict[str, Any]:
    return {"variant": variant.key() if variant else None, "strength": strength}


@dataclass(frozen=True)
class _Row:
    """A row of the table: its fits on the held-out openings."""

    label: str
    place: str
    figures: list[TextFigures]


def best_table(results: Results, model: str) -> str:
    """Table B as Markdown, "" where nothing was chosen yet."""
    base = _held_out(results, model, {"variant": None, "strength": 0.0})
    rows, others = [], []
    for key, value in results.find(kind="chosen", model=model):
        numbered = [{**value["variant"], **({"shuffle": n} if n else {})} for n in range(key["fits"])]
        for strength in _strengths(results, model, value):
            found = [_held_out(results, model, {"variant": v, "strength": strength}) for v in numbered]
            row = _Row(key["row"], _place(value, strength), [each for each in found if each is not None])
            (rows if strength == value["strength"] else others).append(row)
    rows, others = ([row for row in each if row.figures] for each in (rows, others))
    if base is None or not rows:
        return ""
    heads = ["row", "place, rate, λ", "rude continuations", "perplexity", "of the continuations", "accuracy"]
    lines = [heads, ["---", "---", *["---:"] * 4], ["none", "", *_cells(base, [base])]]
    for way, words in PROMPTED.items():
        for _, value in results.find(kind="written", model=model, prompted=way):
            figures = replace(TextFigures.from_dict(value), perplexity=base.perplexity)
            rude, _, fluent, _ = _cells(base, [figures])
            lines.append([f"prompting: {way}", words, rude, "–", fluent, "–"])
    lines += [_line(row, base) for row in rows]
    body = _body(lines)
    return (
        "### Table B: every method at its best, chosen on other openings\n\n"
        "95 % intervals: of rude continuations over fits and openings, else of the change over texts of the "
        f"first fit. Perplexity, of other texts and of the continuations, may rise by {MAY_RISE:.0%} where "
        f"the setting is chosen.\n\n{body}\n\n"
        + winners({row.label: row.figures for row in rows}, base)
        + (_beside([*lines[:2], *(_line(row, base) for row in others)]) if others else "")
        + _tried(results, model)
    )


def _strengths(results: Results, model: str, chosen: Any) -> list[float]:
    """The chosen one, and others at which the same was reported, in their order."""
    of_same = results.find(kind="written", model=model, part="held out", variant=chosen["variant"])
    return [chosen["strength"], *sorted({key["strength"] for key, _ in of_same} - {chosen["strength"]})]


def _line(row: _Row, base: TextFigures) -> list[str]:
    count = f"{len(row.figures)} fit{'s' * (len(row.figures) > 1)}"
    return [row.label, f"{row.place}; {count}", *_cells(base, row.figures)]


def _body(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _beside(lines: Sequence[Sequence[str]]) -> str:
    return f"\nThe same rows at other strengths:\n\n{_body(lines)}\n"


def _tried(results: Results, model: str) -> str:
    """Every setting that was written with on the openings that choose."""
    lines = ["| method, place, rate | λ | rude continuations | perplexity | of the continuations |"]
    lines.append("|---|---:|---:|---:|---:|")
    bases: dict[int, TextFigures] = {}
    for key, value in results.find(kind="written", model=model, part="tuning"):
        cell = {name: key[name] for name in ("variant", "strength")}
        known = next(results.find(kind="knowledge", model=model, part="tuning", **cell))[1]
        figures = TextFigures.from_dict(value)
        figures = replace(figures, perplexity=TextFigures.from_dict(known).perplexity)
        base = bases.setdefault(key["samples"], figures)  # the untouched model is measured first
        variant = Variant("", **key["variant"]) if key["variant"] else None
        cells = [_named(variant), f"{key['strength']:g}", *_cells(base, [figures])[:3]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(["", "What was tried on the openings that choose:", "", *lines, ""])


def _named(variant: Variant | None) -> str:
    if variant is None:
        return "none"
    named = {"at": variant.sites or "post_attention", **variant.options}
    kept = ["preserve"] * variant.preserve + ["reward"] * variant.reward
    return ", ".join([variant.method, *kept, *(f"{name} {value}" for name, value in named.items())])


def winners(rows: dict[str, list[TextFigures]], base: TextFigures) -> str:
    """A line for each limit of the rise of both perplexities: the row that leaves the fewest within it.

    A row that leaves as many as the untouched model wins nothing.
    """
    lines = []
    removing = {label: fits for label, fits in rows.items() if _rude(fits) < _rude([base])}
    for limit in LIMITS:
        within = {
            label: (_rude(fits), rise)
            for label, fits in removing.items()
            if (rise := _rise(base, fits)) <= limit
        }
        where = f"up by {limit:.0%} at most" if limit < float("inf") else "whatever they are"
        if not within:
            lines.append(f"- Both perplexities {where}: no row removes anything.")
            continue
        label, (rude, rise) = min(within.items(), key=lambda each: each[1])
        lines.append(f"- Both perplexities {where}: {label} has the fewest, {rude:.1%} at {rise:+.1%}.")
    return "\n".join(lines) + "\n"


def _rude(fits: Sequence[TextFigures]) -> float:
    told = [each.toxicity.rate for each in fits if each.toxicity is not None]
    return sum(rate.hits for rate in told) / sum(rate.total for rate in told)


def _rise(base: TextFigures, fits: Sequence[TextFigures]) -> float:
    """Of the perplexity of other texts or that of the continuations, means over fits: the larger rise."""
    rises = []
    for name in ("perplexity", "fluency"):
        before, values = getattr(base, name), [getattr(each, name) for each in fits]
        if before is not None and None not in values:
            rises.append(float(np.mean([each.value for each in values])) / before.value - 1)
    return max(rises)


def _place(value: Any, strength: float) -> str:
    variant = value["variant"]
    rate = variant["options"].get("learning_rate")
    parts = [f"at {variant['sites'] or 'post_attention'}", *([f"rate {rate}"] if rate else [])]
    return ", ".join([*parts, f"λ {strength:g}"])


def _held_out(results: Results, model: str, key: dict[str, Any]) -> TextFigures | None:
    written = next(results.find(kind="written", model=model, part="held out", **key), None)
    known = next(results.find(kind="knowledge", model=model, part="held out", **key), None)
    if written is None or known is None:
        return None
    figures, knowledge = TextFigures.from_dict(written[1]), TextFigures.from_dict(known[1])
    return replace(figures, perplexity=knowledge.perplexity, accuracy=knowledge.accuracy)


def _cells(base: TextFigures, fits: Sequence[TextFigures]) -> list[str]:
    told = [each.toxicity for each in fits if each.toxicity is not None]
    low, high = nested_interval([each.hits for each in told], [each.counts for each in told])
    hits, total = sum(sum(each.hits) for each in told), sum(sum(each.counts) for each in told)
    return [
        f"{hits / total:.1%} ({low:.1%} to {high:.1%}, {hits}/{total})",
        *(
            _change(getattr(base, name), [getattr(each, name) for each in fits])
            for name in ("perplexity", "fluency")
        ),
        _points(base, fits),
    ]


def _change(base: Any, fits: Sequence[Any]) -> str:
    """Mean value, and how far it is above the base, item by item where the items are the same."""
    mean = float(np.mean([each.value for each in fits]))
    if fits[0] is base or len(fits[0].losses) != len(base.losses) or fits[0].tokens != base.tokens:
        return f"{mean:.2f}" if fits[0] is base else f"{mean:.2f}: {mean / base.value - 1:+.1%}"
    _, low, high = fits[0].rise_over(base)
    return f"{mean:.2f}: {mean / base.value - 1:+.1%} ({low:+.1%} to {high:+.1%})"


def _points(base: TextFigures, fits: Sequence[TextFigures]) -> str:
    known = [each.accuracy for each in fits if each.accuracy is not None]
    if base.accuracy is None or not known:
        return "–"
    mean = float(np.mean([each.rate.value for each in known]))
    if known[0] is base.accuracy:
        return str(base.accuracy.rate)
    _, low, high = (100 * each for each in known[0].change_over(base.accuracy))
    return f"{mean:.1%}: {100 * (mean - base.accuracy.rate.value):+.1f} points ({low:+.1f} to {high:+.1f})"
