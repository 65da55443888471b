"""What the demo shows: its table of figures and its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineas.cli import files

if TYPE_CHECKING:
    from PIL import Image

    from lineas.evaluation.images.concept_report import ConceptReport
    from lineas.steering.steering import Steering

GRID_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
GRID_WITH, GRID_WITHOUT = 4, 2
GRID_SEED = 2000


def table(concept: tuple[str, str], report: ConceptReport, inside: int, cross: int) -> str:
    """The figures at strength 0 and 1, with 95 % intervals, for people."""
    off, full = report.at(0.0), report.at(1.0)
    name = concept[1]
    rows = [
        ("", "unsteered", "at strength 1"),
        (f"{inside} new prompts with {name}", "", ""),
        (f"  {name} found", off.presence, full.presence),
        ("  the rest of the prompt found", off.others_found, full.others_found),
        ("  of that rest, kept", "", full.others_kept),
        (f"{cross} new prompts without {name}", "", ""),
        (f"  {name} found", off.cross_presence, full.cross_presence),
        ("  of what they show, kept", "", full.cross_kept),
        ("  mean square change", "", f"{full.cross_change:.4f}"),
    ]
    if full.cross_img_score is not None:
        rows.append(("  IMGScore, 1 is unchanged", "", f"{full.cross_img_score:.3f}"))
    left, middle = (max(len(str(row[i])) for row in rows) for i in (0, 1))
    return "\n".join(f"{a!s:{left}}   {b!s:{middle}}   {c!s}".rstrip() for a, b, c in rows)


def draw_figures(
    folder: Path, pipe: Any, steering: Steering, sets: Any, costs: list[float], report: ConceptReport
) -> list[Path]:
    """Write grid.png, cost.png, sites.png and strengths.png; returns their paths."""
    from lineas.evaluation.plots import cost_curve, figure_image, sites_chart, strength_curve

    support = {str(site): float(units.float().mean()) for site, units in steering.support.items()}
    written = [files.write_image(_grid(pipe, steering, sets), folder / "grid.png")]
    figures = {
        "cost.png": cost_curve(costs, "cost while training") if costs else None,
        "sites.png": sites_chart(_amounts(steering, support), "where it acts", "mean |ω − 1|"),
        "strengths.png": strength_curve(report.sweep(), title="what each strength does"),
    }
    for name, figure in figures.items():
        if figure is not None:
            written.append(files.write_image(figure_image(figure), folder / name))
    return written


def _amounts(steering: Steering, support: dict[str, float]) -> dict[str, float]:
    """Mean size of the scale's deviation per site; the share of steered units where a map has none."""
    tensors = {str(site): map.tensors() for site, map in steering.maps.items()}
    return {
        name: float(t["deviation"].abs().mean()) if "deviation" in t else support[name]
        for name, t in tensors.items()
    }


def _grid(pipe: Any, steering: Steering, sets: Any) -> Image.Image:
    from lineas.adapters.images.drawing import Drawer
    from lineas.pictures.contact_sheet import strength_sheet

    prompts = [*sets.held_out_with[:GRID_WITH], *sets.held_out_without[:GRID_WITHOUT]]
    draw = Drawer(pipe, [steering], seed=GRID_SEED, batch=len(prompts))
    columns = [draw(prompts, strength) for strength in GRID_STRENGTHS]
    return strength_sheet(columns, GRID_STRENGTHS, prompts)
