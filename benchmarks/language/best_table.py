"""Table B as a page: every method at its best, at other strengths, and all that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.language.best import MAY_RISE, PROMPTED, larger_rise
from benchmarks.language.cells import Variant
from benchmarks.report import table
from benchmarks.results import Results
from lineas.evaluation.language.report import TextFigures
from lineas.evaluation.rates import nested_interval

LIMITS = (0.02, MAY_RISE, float("inf"))
"""Of the rise, within each of which the page says who wins."""


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
    lines = [["none", "", *_cells(base, [base])]]
    for way, words in PROMPTED.items():
        for _, value in results.find(kind="written", model=model, prompted=way):
            figures = replace(TextFigures.from_dict(value), perplexity=base.perplexity)
            rude, _, fluent, _ = _cells(base, [figures])
            lines.append([f"prompting: {way}", words, rude, "–", fluent, "–"])
    parts = [
        "### Table B: every method at its best, chosen on other openings",
        "95 % intervals: of rude continuations over fits and openings, else of the change over texts of the "
        f"first fit. Perplexity, of other texts and of the continuations, may rise by {MAY_RISE:.0%} where "
        "the setting is chosen.",
        table(heads, [*lines, *(_line(row, base) for row in rows)]),
        winners({row.label: row.figures for row in rows}, base),
    ]
    if others:
        at_others = table(heads, [lines[0], *(_line(row, base) for row in others)])
        parts += ["The same rows at other strengths:", at_others]
    return "\n\n".join([*parts, "What was tried on the openings that choose:", _tried(results, model)]) + "\n"


def _strengths(results: Results, model: str, chosen: Any) -> list[float]:
    """The chosen one, and others at which the same was reported, in their order."""
    of_same = results.find(kind="written", model=model, part="held out", variant=chosen["variant"])
    return [chosen["strength"], *sorted({key["strength"] for key, _ in of_same} - {chosen["strength"]})]


def _line(row: _Row, base: TextFigures) -> list[str]:
    count = f"{len(row.figures)} fit{'s' * (len(row.figures) > 1)}"
    return [row.label, f"{row.place}; {count}", *_cells(base, row.figures)]


def _tried(results: Results, model: str) -> str:
    """Every setting that was written with on the openings that choose."""
    lines = []
    bases: dict[int, TextFigures] = {}
    for key, value in results.find(kind="written", model=model, part="tuning"):
        cell = {name: key[name] for name in ("variant", "strength")}
        known = next(results.find(kind="knowledge", model=model, part="tuning", **cell))[1]
        figures = TextFigures.from_dict(value)
        figures = replace(figures, perplexity=TextFigures.from_dict(known).perplexity)
        base = bases.setdefault(key["samples"], figures)  # the untouched model is measured first
        variant = Variant("", **key["variant"]) if key["variant"] else None
        lines.append([_named(variant), f"{key['strength']:g}", *_cells(base, [figures])[:3]])
    heads = ["method, place, rate", "λ", "rude continuations", "perplexity", "of the continuations"]
    return table(heads, lines)


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
            if (rise := larger_rise(base, fits)) <= limit
        }
        where = f"up by {limit:.0%} at most" if limit < float("inf") else "whatever they are"
        if not within:
            lines.append(f"- Both perplexities {where}: no row removes anything.")
            continue
        label, (rude, rise) = min(within.items(), key=lambda each: each[1])
        lines.append(f"- Both perplexities {where}: {label} has the fewest, {rude:.1%} at {rise:+.1%}.")
    return "\n".join(lines)


def _rude(fits: Sequence[TextFigures]) -> float:
    told = [each.toxicity.rate for each in fits if each.toxicity is not None]
    return sum(rate.hits for rate in told) / sum(rate.total for rate in told)


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
