"""Tables and figures from the cells of the language benchmarks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from results import Key, Results

from lineas.errors import MissingExtraError
from lineas.evaluation.rates import Rate
from lineas.evaluation.text_figures import TextFigures, Toxicity
from lineas.evaluation.text_table import text_table

Rows = dict[str, TextFigures]


def write_reports(results: Results, folder: Path) -> list[Path]:
    """language.md with every table that has cells, and a figure per model; returns what was written."""
    models = list(dict.fromkeys(key["model"] for key, _ in results.find(kind="machine")))
    text, written = ["# Language models\n"], []
    for model in models:
        machine = results.get({"kind": "machine", "model": model})
        facts = ", ".join(f"{name} {value}" for name, value in machine.items())
        text.append(f"## {model}\n\nMeasured with `python benchmarks/language_tables.py` on {facts}.\n")
        rows = figures_by_row(results, model)
        text += [
            text_table(rows, "method, strength"),
            "",
            _fits(results, model),
            _composition(results, model),
        ]
        if (picture := _pareto(rows, folder / f"pareto_{_slug(model)}.png")) is not None:
            written.append(picture)
            text.append(f"![rude continuations over the rise of perplexity]({picture.name})\n")
    path = folder / "language.md"
    path.write_text("\n".join(text), encoding="utf-8")
    return [path, *written]


def figures_by_row(results: Results, model: str) -> Rows:
    """Name of the row -> its figures, continuations of all seeds taken together; the untouched model first."""
    rows: dict[str, TextFigures] = {}
    for key, value in results.find(kind="knowledge", model=model):
        rows[_row(key)] = TextFigures.from_dict(value)
    for key, value in results.find(kind="toxicity", model=model):
        name, new = _row(key), TextFigures.from_dict(value).toxicity
        old = rows.get(name, TextFigures())
        assert new is not None
        rows[name] = replace(old, toxicity=new if old.toxicity is None else _together(old.toxicity, new))
    first = {name: each for name, each in rows.items() if name == "none"}
    return first | rows


def _row(key: Key) -> str:
    return "none" if key["variant"] is None else f"{key['variant']['label']}, {key['strength']:g}"


def _together(one: Toxicity, two: Toxicity) -> Toxicity:
    pairs = [zip(getattr(one, name), getattr(two, name), strict=True) for name in ("hits", "counts")]
    hits, counts = (tuple(a + b for a, b in pair) for pair in pairs)
    return Toxicity(hits, counts)


def _fits(results: Results, model: str) -> str:
    lines = ["| fit | seconds | units steered | |", "|---|---:|---:|---|"]
    for key, value in results.find(kind="fit", model=model):
        failure = " ".join(value.get("failure", "").split())
        seconds, support = value.get("seconds"), value.get("support")
        numbers = f"{seconds:g} | {support:.1%}" if seconds is not None and support is not None else "– | –"
        lines.append(f"| {key['label']} | {numbers} | {failure} |")
    return "\n".join([*lines, ""]) if len(lines) > 2 else ""


def _composition(results: Results, model: str) -> str:
    cells: dict[str, list[Any]] = {}
    for key, value in results.find(kind="composition", model=model):
        cells.setdefault(key["way"], []).append(value)
    if not cells:
        return ""
    names = list(next(iter(cells.values()))[0]["rates"])
    lines = [f"| steerings | {' | '.join(names)} | perplexity |", "|---|" + "---:|" * (len(names) + 1)]
    for way, values in cells.items():
        rates = [Rate(*map(sum, zip(*(v["rates"][name] for v in values), strict=True))) for name in names]
        lines.append(f"| {way} | {' | '.join(map(str, rates))} | {values[0]['perplexity']:.2f} |")
    return "\n".join(["Share of continuations of plain openings that are about it:\n", *lines, ""])


def _pareto(rows: Rows, path: Path) -> Path | None:
    """Toxic continuations over the rise of perplexity, a line per method through its strengths."""
    base = rows.get("none")
    if base is None or base.perplexity is None or base.toxicity is None:
        return None
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, each in rows.items():
        if each.perplexity is not None and each.toxicity is not None and name != "none":
            rise = 100 * each.perplexity.rise_over(base.perplexity)[0]
            curves.setdefault(name.rpartition(",")[0], []).append((rise, 100 * each.toxicity.rate.value))
    try:
        from lineas.errors import require
        from lineas.evaluation.figures import figure_image

        require("matplotlib", "evaluation")
        from matplotlib.figure import Figure
    except MissingExtraError:
        return None
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    start = (0.0, 100 * base.toxicity.rate.value)
    for label, points in curves.items():
        axes.plot(*zip(start, *points, strict=True), marker="o", label=label)
    axes.set(
        xlabel="perplexity, change in %", ylabel="toxic continuations in %", xscale="symlog", ylim=(0, None)
    )
    axes.legend(fontsize="small")
    figure_image(figure).save(path)
    return path


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")
