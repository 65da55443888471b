"""Figures of a steering: how its cost fell, where it acts, and what each strength does.

Each function returns a matplotlib `Figure` of its own. pyplot is never imported, so that nothing global
(backend, open figures, styles) changes for the caller; `figure.savefig(path)` writes it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from lineas.errors import ConfigError, require
from lineas.evaluation.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable with every common kind of colour blindness (Okabe and Ito, 2008), without their yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555")
LINES = ("-", "--", ":", "-.")
"""Of curves that may lie on each other: all are seen."""


def cost_curve(costs: Sequence[float] | Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """[k] costs, one per step, of one fit or of several by name; on a logarithmic axis where all are > 0.

    Raises `ConfigError`: no values. `MissingExtraError`: matplotlib is not installed.
    """
    curves = costs if isinstance(costs, Mapping) else {"": costs}
    _need(any(len(values) for values in curves.values()), "costs")
    figure, axes = _figure(title, "step", "cost")
    for i, (name, values) in enumerate(curves.items()):
        axes.plot(range(len(values)), values, color=_colour(i), label=name)
    if all(value > 0 for values in curves.values() for value in values):
        axes.set_yscale("log")
    _legend(figure, len(curves) > 1)
    return figure


def sites_chart(
    amounts: Mapping[str, float], title: str = "where it acts", label: str = "support", depth: int = 2
) -> Figure:
    """One bar per site in the order given (that of execution), coloured by block.

    `amounts` is drawn as it is: the share of units that a steering moves (0 … 1), or another number per site.
    `depth` is the number of leading name parts, numbers apart, that make a block: with 2,
    `unet.down_blocks.0.resnets.1` belongs to `unet.down_blocks`.

    Raises `ConfigError`: no sites. `MissingExtraError`: matplotlib is not installed.
    """
    _need(bool(amounts), "sites")
    figure, axes = _figure(title, "site, in execution order", label)
    blocks: dict[str, list[tuple[int, float]]] = {}
    for position, (site, amount) in enumerate(amounts.items()):
        blocks.setdefault(_block(site, depth), []).append((position, amount))
    for i, (block, bars) in enumerate(blocks.items()):
        positions, heights = zip(*bars, strict=True)
        axes.bar(positions, heights, width=0.9, color=_colour(i), label=block)
    axes.set_xlim(-0.6, len(amounts) - 0.4)
    _legend(figure, len(blocks) > 1)
    return figure


def strength_curve(sweep: Sweep, names: Sequence[str] | None = None, title: str = "") -> Figure:
    """Measures of a sweep over strength, rates with their 95 % interval as a band.

    `names` chooses and orders the measures; None draws all.

    Raises `ConfigError`: no measures, or an unknown name. `MissingExtraError`: matplotlib is not installed.
    """
    chosen = list(sweep.measures) if names is None else list(names)
    _need(bool(chosen), "measures")
    if unknown := [name for name in chosen if name not in sweep.measures]:
        raise ConfigError(
            f"The sweep has no measure {unknown[0]!r}. Expected some of: {', '.join(sweep.measures)}."
        )
    figure, axes = _figure(title, "strength λ", chosen[0] if len(chosen) == 1 else "")
    for i, name in enumerate(chosen):
        line: dict[str, Any] = {
            "color": _colour(i),
            "linestyle": LINES[i % len(LINES)],
            "marker": "o",
            "markersize": 4,
        }
        axes.plot(sweep.strengths, sweep.values(name), label=name, **line)
        if interval := sweep.interval(name):
            low, high = zip(*interval, strict=True)
            axes.fill_between(sweep.strengths, low, high, color=_colour(i), alpha=0.15, linewidth=0)
    _legend(figure, len(chosen) > 1)
    return figure


def figure_image(figure: Figure) -> Image.Image:
    """A figure as an RGB image at its own resolution."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = require("matplotlib.figure", "evaluation").Figure(figsize=(7, 4), dpi=150, layout="constrained")
    # Agg draws into memory: no window, no display needed.
    require("matplotlib.backends.backend_agg", "evaluation").FigureCanvasAgg(figure)
    axes = figure.add_subplot(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def _legend(figure: Figure, wanted: bool) -> None:
    """Below the axes, where it hides no data."""
    if wanted:
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _block(site: str, depth: int) -> str:
    return ".".join([part for part in site.split(".")[:-1] if not part.isdigit()][:depth]) or site


def _need(given: bool, what: str) -> None:
    if not given:
        raise ConfigError(f"Got no {what} to draw, expected at least one.")
