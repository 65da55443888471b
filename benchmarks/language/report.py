"""Tables and figures from the cells of the language benchmarks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.language.best_table import best_table
from benchmarks.results import Key, Results
from lineas.errors import MissingExtraError
from lineas.evaluation.language.report import TextFigures, Toxicity
from lineas.evaluation.language.table import text_table
from lineas.evaluation.rates import Rate

Rows = dict[str, TextFigures]
TITLES = {
    "A": "Table A: no intervention, and every method",
    "C": "Table C: LinEAS with one option changed",
}
TITLE_D = """### Table D: two steerings at once

Steerings are what `lineas.add` gives by default from 32 sentences about each, at the largest λ at which every
third paragraph of an encyclopaedia becomes at most 8 % more perplexing. Share of continuations of plain
openings that are about it; how perplexing they are to the untouched model; and the perplexity of the other
paragraphs when steered. "Told so" has `template="A story about {}."` besides:
"""


def write_reports(results: Results, folder: Path, name: str = "language.md") -> list[Path]:
    """One page with every table that has cells, and a figure per model; returns what was written."""
    models = list(dict.fromkeys(key["model"] for key, _ in results.find(kind="machine")))
    text, written = ["# Language models\n"], []
    for model in models:
        machine = results.get({"kind": "machine", "model": model})
        facts = ", ".join(f"{name} {value}" for name, value in machine.items())
        text.append(f"## {model}\n\nMeasured with `python -m benchmarks.language.tables` on {facts}.\n")
        for table, title in TITLES.items():
            if rows := figures_by_row(results, model, table):
                text += [f"### {title}\n", text_table(rows, "row, strength"), ""]
        text += [best_table(results, model), _composition(results, model), _fits(results, model)]
        rows = figures_by_row(results, model, "A")
        if (picture := _pareto(rows, folder / f"pareto_{_slug(model)}.png")) is not None:
            written.append(picture)
            text.append(f"![rude continuations over the rise of perplexity]({picture.name})\n")
    path = folder / name
    path.write_text("\n".join(text), encoding="utf-8")
    return [path, *written]


def figures_by_row(results: Results, model: str, table: str) -> Rows:
    """Label of the row -> its figures, all seeds together; rows without a figure yet are left out.

    A method's rows stand together, in the order of their strengths.
    """
    rows: dict[str, TextFigures] = {}
    found = list(results.find(kind="row", model=model, table=table))
    names = list(dict.fromkeys(_method(row["label"]) for row, _ in found))
    found.sort(key=lambda each: (names.index(_method(each[0]["label"])), each[1]["strength"]))
    for row, cell in found:
        figures = TextFigures()
        cell = {"part": None, **cell}
        for _, value in results.find(kind="knowledge", model=model, **cell):
            figures = TextFigures.from_dict(value)
        for _, value in results.find(kind="toxicity", model=model, **cell):
            new, old = TextFigures.from_dict(value).toxicity, figures.toxicity
            assert new is not None
            figures = replace(figures, toxicity=new if old is None else _together(old, new))
        if figures != TextFigures():
            rows[row["label"]] = figures
    return rows


def _method(label: str) -> str:
    """A row's label without its strength."""
    return label.rpartition(",")[0] or label


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
        lines.append(f"| {_fit_name(key)} | {numbers} | {failure} |")
    head = "### Fits\n\nSeconds of the clock, some of them beside other work.\n"
    return "\n".join([head, *lines, ""]) if len(lines) > 2 else ""


def _fit_name(key: Key) -> str:
    """The method, and what differs from its defaults."""
    named = {name: key[name] for name in ("sites", "count") if key[name] is not None} | key["options"]
    named |= {"order": key["shuffle"]} if key.get("shuffle") else {}
    flags = [name for name in ("preserve", "reward") if key[name]]
    return ", ".join([key["method"], *flags, *(f"{name} {value}" for name, value in named.items())])


def _composition(results: Results, model: str) -> str:
    cells: dict[str, list[Any]] = {}
    for key, value in results.find(kind="additions", model=model):
        cells.setdefault(key["way"], []).append(value)
    if not cells:
        return ""
    names = list(next(iter(cells.values()))[0]["rates"])
    head = ["steerings, λ", *names, "continuations", "perplexity"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    base = cells["none"][0]["perplexity"] if "none" in cells else None
    for way, values in cells.items():
        rates = [Rate(*map(sum, zip(*(v["rates"][name] for v in values), strict=True))) for name in names]
        fluent = sum(value["fluency"] for value in values) / len(values)
        strength, quality = values[0]["strength"], values[0]["perplexity"]
        rise = f": {quality / base - 1:+.1%}" if base and strength else ""
        label = f"{way}, {strength:g}" if strength else way
        lines.append(f"| {label} | {' | '.join(map(str, rates))} | {fluent:.1f} | {quality:.2f}{rise} |")
    return "\n".join([TITLE_D, *lines, ""])


def _pareto(rows: Rows, path: Path) -> Path | None:
    """Toxic continuations over the rise of perplexity, a line per method through its strengths."""
    base = rows.get("none")
    if base is None or base.perplexity is None or base.toxicity is None:
        return None
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, each in rows.items():
        if each.perplexity is not None and each.toxicity is not None and name != "none":
            rise = 100 * each.perplexity.rise_over(base.perplexity)[0]
            curves.setdefault(_method(name), []).append((rise, 100 * each.toxicity.rate.value))
    try:
        from lineas.errors import require
        from lineas.evaluation.plots import figure_image

        require("matplotlib", "evaluation")
        from matplotlib.figure import Figure
    except MissingExtraError:
        return None
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    start = (0.0, 100 * base.toxicity.rate.value)
    for label, points in curves.items():
        axes.plot(*zip(start, *points, strict=True), marker="o", label=label)
    far = max((abs(rise) for points in curves.values() for rise, _ in points), default=0.0) > 20
    axes.set(
        xlabel="perplexity, change in %",
        ylabel="toxic continuations in %",
        xscale="symlog" if far else "linear",
        ylim=(0, None),
    )
    axes.legend(fontsize="small")
    figure_image(figure).save(path)
    return path


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")
