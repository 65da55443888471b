"""The image row of the paper by name: DMD2 (one-step SDXL) and its 15 concepts, with a hub and a GPU.

    python -m benchmarks.images.paper_images --output out/paper_images
    lineas compare out/paper_images/car.safetensors other.safetensors --prompts cars.txt --recipe dmd2

Per concept: 32 prompts with it and 32 without, a steering that removes it, then CLIPScore with the concept's
name and IMGScore (DINOv2-small) on other prompts, at several strengths. Every concept is a line in
OUTPUT/images.jsonl and is computed once. The second command asks a person.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Results
from lineas.adapters.images.drawing import Drawer
from lineas.adapters.images.loading import load_pipeline
from lineas.adapters.problems import fit
from lineas.evaluation.images.clip_score import ClipScore
from lineas.evaluation.images.image_features import ImageFeatures
from lineas.evaluation.images.image_measures import image_measures
from lineas.evaluation.sweep import Measure, sweep_strengths
from lineas.prompts.concepts import concept_prompts

RECIPE = "dmd2"
CONCEPTS = {
    **dict.fromkeys(("vaporwave", "lush", "low-poly", "ukiyo-e", "fantasy"), "style"),
    **dict.fromkeys(("robots", "axolotl", "book", "car", "hourglass"), "object"),
    **dict.fromkeys(("macro", "fisheye", "bokeh", "underwater", "tilt-shift"), "perspective"),
}
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
CLIP = ("ViT-L-14", "openai")


def run(
    pipe: Any,
    concepts: Sequence[str],
    folder: Path,
    measures: Any,
    recipe: Any = RECIPE,
    count: int = 32,
    held_out: int = 32,
    **options: Any,
) -> Results:
    """Fit and measure concepts that are not in the results yet; measures(prompts, concept) -> by name."""
    results = Results(folder / "images.jsonl")
    for concept in concepts:
        key = {"concept": concept, "count": count, "held_out": held_out, "options": options}
        results.compute(
            key, lambda c=concept: _cell(pipe, c, folder, measures, recipe, count, held_out, options)
        )
    (folder / "images.md").write_text(table(results), encoding="utf-8")
    return results


def _cell(
    pipe: Any, concept: str, folder: Path, measures: Any, recipe: Any, count: int, held_out: int, options: Any
) -> dict[str, Any]:
    sets = concept_prompts(concept, CONCEPTS[concept], count=count, seed=0)
    began = time.perf_counter()
    steering = fit(pipe, sets.source, sets.target, sets.preserve, recipe=recipe, **options)
    seconds = round(time.perf_counter() - began, 1)
    steering.save(folder / f"{concept}.safetensors")
    prompts = list(concept_prompts(concept, CONCEPTS[concept], count=held_out, seed=1).source)
    draw = Drawer(pipe, [steering], recipe=recipe, seed=1000)
    chosen: dict[str, Measure] = measures(prompts, concept)
    sweep = sweep_strengths(lambda strength: draw(prompts, strength), STRENGTHS, chosen)
    return {"seconds": seconds, "strengths": list(STRENGTHS), **{n: list(sweep.values(n)) for n in chosen}}


def table(results: Results) -> str:
    """A row per concept with its figures unsteered and at strength 1, and the mean of all."""
    cells = [(key["concept"], value) for key, value in results.find()]
    if not cells:
        return ""
    names = [name for name in cells[0][1] if name not in ("seconds", "strengths")]
    lines = ["| concept | seconds | " + " | ".join(f"{name}, 0 → 1" for name in names) + " |"]
    lines.append("|---|---:|" + "---:|" * len(names))
    mean = {name: [sum(v[name][i] for _, v in cells) / len(cells) for i in (0, -1)] for name in names}
    rows = [*cells, ("mean", {**mean, "seconds": sum(v["seconds"] for _, v in cells) / len(cells)})]
    for concept, value in rows:
        figures = " | ".join(f"{value[name][0]:.3f} → {value[name][-1]:.3f}" for name in names)
        lines.append(f"| {concept} | {value['seconds']:.0f} | {figures} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", nargs="+", default=list(CONCEPTS), choices=list(CONCEPTS))
    parser.add_argument("--output", type=Path, default=Path("out/paper_images"))
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    pipe, clip, features = load_pipeline(RECIPE), ClipScore.load(*CLIP), ImageFeatures.load()
    run(
        pipe, arguments.concepts, arguments.output,
        lambda prompts, concept: image_measures(prompts, clip, features, concept), steps=arguments.steps,
    )  # fmt: skip
    print((arguments.output / "images.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
