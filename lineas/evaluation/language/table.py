"""Text figures side by side as a Markdown table, with what changed against the first row."""

from __future__ import annotations

from collections.abc import Mapping

from lineas.evaluation.language.report import TextFigures

HEADS = {
    "toxicity": "toxic continuations",
    "fluency": "perplexity of the continuations",
    "perplexity": "perplexity",
    "accuracy": "accuracy",
}


def text_table(rows: Mapping[str, TextFigures], head: str = "") -> str:
    """One row per name; perplexity and accuracy of the others are compared with the first, item by item.

    Brackets hold 95 % intervals: of the value in the first row and of toxicity, else of the change. What is
    written differs from row to row, so that its perplexity is compared as a whole.
    """
    base = next(iter(rows.values()))
    names = [name for name in HEADS if any(getattr(each, name) is not None for each in rows.values())]
    lines = [[head, *(HEADS[name] for name in names)], ["---", *("---:" for _ in names)]]
    lines += [[row, *(_cell(name, figures, base) for name in names)] for row, figures in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(name: str, figures: TextFigures, base: TextFigures) -> str:
    value = getattr(figures, name)
    if value is None:
        return "–"
    if figures is not base and name == "fluency" and base.fluency is not None:
        return f"{value.value:.2f}: {value.value / base.fluency.value - 1:+.1%}"
    if figures is not base and name == "perplexity" and base.perplexity is not None:
        rise, low, high = value.rise_over(base.perplexity)
        return f"{value.value:.2f}: {rise:+.1%} ({low:+.1%} to {high:+.1%})"
    if name == "accuracy":
        if figures is not base and base.accuracy is not None:
            change, low, high = (100 * part for part in value.change_over(base.accuracy))
            return f"{value.rate.value:.1%}: {change:+.1f} points ({low:+.1f} to {high:+.1f})"
        return str(value.rate)
    return str(value)
