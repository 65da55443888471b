"""Tables and figures of the concepts removed from the bundled model, from the rows of erasure.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.report import pooled, table
from benchmarks.results import Results
from lineas.evaluation.plots import figure_image
from lineas.evaluation.rates import Rate, monotonicity

Row = dict[str, Any]
RATES = ("erased", "others_kept", "cross_kept")
SWEPT = ("erased", "cross_kept")
HEAD = """# Concepts removed from the bundled model

`python -m benchmarks.images.erasure`, on {machine}. {count} source, {count} target and {count} preserve
prompts a concept; {held_out} held-out prompts with the concept and {held_out} without it are drawn from the
same noise at every strength, and the bundled detector reads the images.

- Erased: of the images that show the concept unsteered, those that no longer do.
- Kept: of what a prompt names and its unsteered image shows, what is still found.
- CLIPScore: cosine of the image and the concept's name, by the bundled open_clip model.
- IMGScore: cosine of the steered and the unsteered image of prompts without the concept, by the same model.
- Change: mean square of those images' change, of 1.
"""


def write_report(
    results: Results, model: str, folder: Path, variants: Sequence[str], concepts: Sequence[str]
) -> list[Path]:
    """The page with its figures; returns what was written."""
    rows = [
        (key, value) for key, value in results.find(kind="row", model=model) if key["variant"] in variants
    ]
    if not rows:
        return []
    machine = results.get({"kind": "machine", "model": model}) or "another machine"
    text = [HEAD.format(machine=machine, **{name: rows[0][0][name] for name in ("count", "held_out")})]
    by_variant = {
        name: {
            c: value for c in concepts for key, value in rows if (key["variant"], key["concept"]) == (name, c)
        }
        for name in variants
    }
    by_variant = {name: cells for name, cells in by_variant.items() if cells}
    text += ["## Table B: every method, λ = 1\n", _methods(by_variant), ""]
    text += ["## Table B over λ\n", _swept(by_variant), ""]
    for name, cells in by_variant.items():
        text += [f"## {name}\n", _concepts(cells), ""]
    picture = folder / "erasure_methods.png"
    _curves(by_variant).save(picture)
    text.append(f"![erased over what is kept, per method]({picture.name})\n")
    (folder / "erasure.md").write_text("\n".join(text), encoding="utf-8")
    return [folder / "erasure.md", picture]


def _at(row: Row, strength: float) -> Row:
    return next(each for each in row["strengths"] if each["strength"] == strength)


def _strengths(rows: Iterable[Row]) -> list[float]:
    """Those that all of these rows were measured at."""
    return sorted(set.intersection(*({each["strength"] for each in row["strengths"]} for row in rows)))


def _pooled(rows: Iterable[Row], strength: float, name: str) -> Rate:
    """All concepts' images together."""
    return pooled(_at(row, strength)[name] for row in rows)


def _injected(rows: Iterable[Row]) -> Rate | None:
    found = [row["injected"]["presence"] for row in rows if row["injected"]]
    return pooled(found) if found else None


def _average(rows: Iterable[Row], strength: float, name: str) -> float:
    return mean(_at(row, strength)[name] for row in rows)


def _methods(by_variant: dict[str, dict[str, Row]]) -> str:
    def line(name: str, rows: list[Row]) -> list[str]:
        rates = [_text(_pooled(rows, 1.0, rate)) for rate in RATES]
        averages = [_average(rows, 1.0, each) for each in ("clip_score", "cross_img_score", "cross_change")]
        numbers = [f"{averages[0]:.3f}", f"{averages[1]:.3f}", f"{averages[2]:.1e}"]
        seconds = f"{mean(row['cpu seconds'] for row in rows):.0f}"
        return [name, str(len(rows)), *rates, *numbers, _text(_injected(rows)), seconds]

    first = next(iter(by_variant.values()))
    before = f"Unsteered, CLIPScore is {_average(first.values(), 0.0, 'clip_score'):.3f}."
    heads = "method|concepts|erased|rest kept|other prompts kept|CLIPScore|IMGScore of other prompts"
    heads += "|change of other prompts|injected by the inverse|CPU seconds of the fit"
    lines = (line(name, list(cells.values())) for name, cells in by_variant.items())
    return f"{table(heads.split('|'), lines)}\n\n{before}"


def _swept(by_variant: dict[str, dict[str, Row]]) -> str:
    measured = {name: _strengths(cells.values()) for name, cells in by_variant.items()}
    strengths = sorted({s for each in measured.values() for s in each} - {0.0})
    lines = []
    for name, cells in by_variant.items():
        pairs = {s: [_pooled(cells.values(), s, rate).value for rate in SWEPT] for s in measured[name]}
        shown = [f"{pairs[s][0]:.1%} / {pairs[s][1]:.1%}" if s in pairs else "–" for s in strengths]
        lines.append([name, *shown])
    return table(["erased / other prompts kept", *(f"λ = {s:g}" for s in strengths)], lines)


def _concepts(cells: dict[str, Row]) -> str:
    lines, strengths = [], _strengths(cells.values())
    for concept, row in cells.items():
        at, longest = _at(row, 1.0), _at(row, strengths[-1])
        presence = [_at(row, s)["presence"]["value"] for s in strengths]
        lines.append(
            [
                concept,
                *(_share(each) for each in (_at(row, 0.0)["presence"], at["erased"], longest["erased"])),
                _share(at["others_kept"]),
                _share(at["cross_kept"]),
                f"{at['cross_change']:.1e}",
                f"{at['cross_img_score']:.3f}",
                _share(row["injected"]["presence"]) if row["injected"] else "–",
                " ".join(f"{100 * value:.0f}" for value in presence),
                f"{monotonicity(presence):.2f}",
            ]
        )
    heads = f"concept|found unsteered|erased|erased, λ = {strengths[-1]:g}|rest kept|other prompts kept"
    heads += "|change of those|IMGScore of those|injected by the inverse"
    heads += f"|found in % at λ = {', '.join(f'{s:g}' for s in strengths)}|monotonicity"
    return table(heads.split("|"), lines)


def _curves(by_variant: dict[str, dict[str, Row]]) -> Any:
    """Erased over kept in other prompts: a line per method, through its strengths, with how many concepts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, cells in by_variant.items():
        rows = list(cells.values())
        erased, kept = ([100 * _pooled(rows, s, rate).value for s in _strengths(rows)] for rate in SWEPT)
        axes.plot(kept, erased, marker="o", markersize=4, label=f"{name} ({len(rows)})")
    axes.set(xlabel="kept in images of other prompts, %", ylabel="erased, %", ylim=(-2, 102))
    axes.legend(fontsize="small")
    return figure_image(figure)


def _text(rate: Rate | None) -> str:
    if rate is None:
        return "–"
    low, high = rate.interval
    return f"{rate.value:.1%} ({low:.1%} to {high:.1%})"


def _share(rate: dict[str, Any]) -> str:
    return "–" if rate["value"] is None else f"{rate['value']:.1%}"
