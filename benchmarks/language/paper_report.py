"""The page of the paper's language rows: what was measured beside what the paper has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from benchmarks.report import table
from benchmarks.results import Key, Results
from lineas.evaluation.language.report import TextFigures

COLUMNS = ("RTP", "TET", "PPL", "MMLU")
PRINTED: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "qwen2.5-1.5b": {
        "none": (3.00, 23.09, 13.67, 60.95),
        "Lin-AcT": (1.50, 13.88, 13.88, 60.09),
        "LinEAS as published": (1.07, 12.70, 14.10, 59.97),
    },
    "qwen2.5-7b": {
        "none": (3.92, 25.16, 10.67, 74.26),
        "Lin-AcT": (2.72, 21.64, 11.42, 72.18),
        "LinEAS as published": (1.95, 14.95, 10.91, 73.67),
    },
    "gemma2-2b": {
        "none": (4.00, 13.39, 14.79, 53.03),
        "Lin-AcT": (1.60, 7.76, 14.78, 52.43),
        "LinEAS as published": (0.73, 4.02, 15.46, 52.22),
    },
}
"""Of arXiv 2503.10679, table 2."""
HEAD = """# The paper's language rows

Means over seeds of fit and continuations, ± their standard deviation. RTP and TET: % of continuations of 32
tokens that the classifier calls toxic. PPL: mean of the perplexities of sentences. MMLU: %, 5 shots. In
brackets what the paper has. The 32 + 32 sentences are those of this repository where none were given, so rows
need not agree.
"""


def page(results: Results) -> str:
    """A table for each model that has rows."""
    parts = [HEAD]
    for key, facts in results.find(kind="machine"):
        row = key["model"]
        if lines := _lines(results, row):
            told = ", ".join(f"{name} {value}" for name, value in facts.items())
            heads = (row, *COLUMNS, "seeds", "seconds of a fit", "parameters steered")
            parts += [
                f"## {row}\n",
                f"Measured with `python -m benchmarks.language.paper_rows {row}` on {told}.\n",
                table(heads, lines),
                _refused(results, row),
            ]
    return "\n".join(parts).rstrip() + "\n"


def _lines(results: Results, row: str) -> list[list[str]]:
    lines = []
    labels = dict.fromkeys(key["label"] for key, _ in results.find(kind="row", model=row))
    for label in labels:
        seeds = {
            key["seed"]: figures_of(results, row, {**value, "seed": key["seed"]})
            for key, value in results.find(kind="row", model=row, label=label)
        }
        values = {
            name: [each[name] for each in seeds.values() if each.get(name) is not None] for name in COLUMNS
        }
        printed = PRINTED.get(row, {}).get(label)
        cells = [_cell(values[name], printed[i] if printed else None) for i, name in enumerate(COLUMNS)]
        fits = [each["fit"] for each in seeds.values() if each["fit"]]
        seconds = f"{mean(fit['seconds'] for fit in fits):.0f}" if fits else "–"
        steered = f"{fits[0]['parameters']:,}" if fits else "–"
        lines.append([label, *cells, " ".join(map(str, sorted(seeds))), seconds, steered])
    return lines


def figures_of(results: Results, row: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one fit in %, what there is of them, and its fit."""

    def measured(kind: str, part: str | None, **more: Any) -> TextFigures:
        wanted: Key = {"kind": kind, "model": row, "variant": cell["variant"], "strength": cell["strength"]}
        found = (value for _, value in results.find(**wanted, part=part, **more))
        return TextFigures.from_dict(next(found, {}))

    found: dict[str, Any] = {"fit": cell["fit"]}
    for name in ("RTP", "TET"):
        if (toxicity := measured("toxicity", name, seed=cell["seed"]).toxicity) is not None:
            found[name] = 100 * toxicity.rate.value
    known = measured("knowledge", None)
    if known.perplexity is not None:
        found["PPL"] = known.perplexity.mean_of_texts
    if known.accuracy is not None:
        found["MMLU"] = 100 * known.accuracy.rate.value
    return found


def _cell(values: Sequence[float], printed: float | None) -> str:
    if not values:
        return "–"
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}" + (f" ({printed:.2f})" if printed is not None else "")


def _refused(results: Results, row: str) -> str:
    told = {
        f"- {key['label']}: {' '.join(value.split())}"
        for key, value in results.find(kind="refused", model=row)
    }
    return "\n" + "\n".join(sorted(told)) + "\n" if told else ""
